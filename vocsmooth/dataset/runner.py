"""Choose what runs the tasks of a build: the processes of this machine, or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vocsmooth.dataset.make import package_versions
from vocsmooth.errors import InputError
from vocsmooth.operators import kernels
from vocsmooth.workers.processes import Runner, available_cores, local_runner


@contextmanager
def open_runner(
    scheduler: str | None, jobs: int | None, shared: Sequence[Path], idle: Callable[[], None]
) -> Iterator[Runner]:
    """Yield what runs the tasks: processes of this machine, or a cluster."""
    if scheduler is None:
        kernels.warn_if_slow()  # the workers do not
        yield local_runner(jobs or available_cores(), idle)
        return
    try:
        from vocsmooth.workers.cluster import cluster_runner, connected
    except ModuleNotFoundError as error:
        raise InputError(
            f"A cluster needs more packages: pip install csgisnet[cluster] ({error})."
        ) from None
    with connected(scheduler, package_versions) as client:
        yield cluster_runner(client, shared, package_versions, idle)
