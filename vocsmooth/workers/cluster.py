"""Tasks on a Dask cluster whose workers share the dataset's folder with this machine.

`distributed.Client` instead of joblib's Dask backend, which waits for ever for a task that ends
its worker.
"""

from __future__ import annotations

import json
import logging
import math
import platform
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import distributed
from distributed import CancelledError, Client, Future, KilledWorker, as_completed
from distributed.comm.addressing import get_address_host_port
from distributed.comm.core import CommClosedError

from vocsmooth.dataset.make import package_versions
from vocsmooth.errors import ClusterError, InputError
from vocsmooth.files import sha256_file
from vocsmooth.workers.child import run_in_child
from vocsmooth.workers.processes import Runner, WorkerDied

Task = TypeVar("Task")

Result = TypeVar("Result")

_SECONDS_TO_CONNECT = 15

_SECONDS_TO_JOIN = 60

_SECONDS_WITHOUT_WORKERS = 300

_SECONDS_TO_APPEAR = 10

_LOGGERS = ("distributed", "distributed.client", "tornado.application")

_LOOK_EVERY = 5.0

_POLL = 0.05

_GOES_ON = "What is finished is kept; the same command goes on from there."

_GONE = f"The scheduler is gone. {_GOES_ON}"


@contextmanager
def connected(scheduler: str) -> Iterator[Client]:
    """Connect to a cluster whose workers are set up as this machine is.

    Parameters
    ----------
    scheduler : str
        Its address, such as tcp://10.0.0.1:8786, or the path of the JSON file that
        ``dask scheduler --scheduler-file`` writes.

    Raises
    ------
    InputError
        There is no such file.
    ClusterError
        No scheduler answers, it has no workers, or some have other versions of the packages.
    """
    with _loggers_silent():
        client = _connect(scheduler)
        try:
            _check_versions(client, scheduler)
            yield client
        finally:
            client.close(timeout=2)


def cluster_runner(client: Client, shared: Sequence[Path]) -> Runner:
    """Return what runs tasks on the workers of `client`, each in a process of its own.

    Parameters
    ----------
    client : Client
        From `connected`.
    shared : sequence of Path
        Absolute paths of files that all workers must see as they are here.
    """

    def run(
        function: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Generator[tuple[Task, Result | WorkerDied], None, None]:
        _check_files(client, {str(path): sha256_file(path) for path in shared})
        suspects = yield from _run(client, function, deque(tasks))
        # Dask also suspects tasks that only waited on a worker that died.
        for task in suspects:
            if (yield from _run(client, function, deque([task]))):
                yield task, WorkerDied()

    return run


@contextmanager
def _loggers_silent() -> Iterator[None]:
    """Keep back warnings and stack traces that would bury the one line that says what happened."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _connect(scheduler: str) -> Client:
    """Return a client that is connected to a scheduler with at least one worker."""
    address = _read_address(Path(scheduler)) if scheduler.endswith(".json") else scheduler
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=distributed.versions.VersionMismatchWarning)
            get_address_host_port(address)  # what has none leaves a client that cannot be closed
            client = Client(address, timeout=_SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ClusterError(f"No Dask scheduler answers at {address}: {error}.") from None
    try:
        client.wait_for_workers(1, timeout=_SECONDS_TO_JOIN)
    except distributed.TimeoutError:
        client.close(timeout=2)
        raise ClusterError(
            f"The scheduler at {address} has had no workers for {_SECONDS_TO_JOIN} s; start some: "
            f"`dask worker {address}`."
        ) from None
    return client


def _read_address(path: Path) -> str:
    """Return the address in a scheduler's file."""
    try:
        return str(json.loads(path.read_bytes())["address"])
    except FileNotFoundError:
        raise InputError(f"No scheduler file {path}; has `dask scheduler` started?") from None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{path} is no scheduler file: {error!r}.") from None


def describe_worker() -> dict[str, str]:
    """Return the versions of all that makes a shard's bytes or brings a task to its worker."""
    return {**package_versions(), "distributed": version("distributed")}


def _check_versions(client: Client, scheduler: str) -> None:
    """Compare every worker's versions with those here."""
    with _loss_named():
        answers = client.run(describe_worker, on_error="return")
    problems = [
        f"{worker} {problem}"
        for worker, answer in sorted(answers.items())
        if (problem := _differences(answer))
    ]
    if problems:
        raise ClusterError(
            f"{len(problems)} of {len(answers)} workers of {scheduler} are not set up as this "
            f"machine is: {'; '.join(problems)}. Shards would differ; install the same versions."
        )


def _differences(versions: Mapping[str, str] | Exception) -> str:
    """Say in which packages a worker differs from this machine; nothing if it does not."""
    if isinstance(versions, Exception):
        return f"cannot tell its versions ({versions!r})"
    here = describe_worker()
    differing = [
        f"{name} {versions.get(name, 'none')} (here {expected})"
        for name, expected in here.items()
        if versions.get(name) != expected
    ]
    return f"has {', '.join(differing)}" if differing else ""


def _check_files(client: Client, digests: Mapping[str, str]) -> None:
    """Check that every worker sees these files, which a network disk may show after seconds."""
    deadline = time.monotonic() + _SECONDS_TO_APPEAR
    while True:
        with _loss_named():
            answers = client.run(_list_unseen, digests, on_error="return")
        unseen = {worker: paths for worker, paths in sorted(answers.items()) if paths}
        if not unseen:
            return
        if time.monotonic() > deadline:
            worker, paths = next(iter(unseen.items()))
            what = paths if isinstance(paths, Exception) else paths[0]
            raise ClusterError(
                f"{len(unseen)} of {len(answers)} workers do not see the files of this machine, "
                f"e.g. {worker}: {what}. Use folders that all of them share under the same path."
            )
        time.sleep(1)


def _list_unseen(digests: Mapping[str, str]) -> list[str]:
    """Return the paths that are other files here, or none."""
    return [path for path, digest in digests.items() if _digest_of(Path(path)) != digest]


def _digest_of(path: Path) -> str | None:
    """Return the SHA-256 of a file, None if it cannot be read."""
    try:
        return sha256_file(path)
    except OSError:
        return None


def _run(
    client: Client, function: Callable[[Task], Result], queue: deque[Task]
) -> Generator[tuple[Task, Result | WorkerDied], None, list[Task]]:
    """Work off `queue`; return the tasks that Dask gave up because their workers died."""
    versions = describe_worker()
    suspects: list[Task] = []
    running: dict[Future[Any], Task] = {}
    completed = as_completed(loop=client.loop)
    threads, looked, seen = 0, -math.inf, time.monotonic()
    while queue or running:
        now = time.monotonic()
        if now - looked > _LOOK_EVERY:
            with _loss_named():
                threads, looked = sum(client.nthreads().values()), now
            seen = now if threads else seen
            if now - seen > _SECONDS_WITHOUT_WORKERS:
                raise ClusterError(
                    f"The cluster has had no workers for {now - seen:.0f} s. {_GOES_ON}"
                )
        # Two tasks for each thread: one to work on, one that is there when it ends.
        while queue and len(running) < 2 * threads:
            with _loss_named():
                future = client.submit(_work, function, queue[0], versions, pure=False)
            running[future] = queue.popleft()
            completed.add(future)
        batch = completed.next_batch(block=False)
        if not batch:
            time.sleep(_POLL)
        for future in batch:
            task = running.pop(future)
            result = _result_of(future)
            if isinstance(result, KilledWorker):
                suspects.append(task)
            else:
                yield task, result
    return suspects


def _work(
    function: Callable[[Task], Result], task: Task, versions: Mapping[str, str]
) -> Result | WorkerDied:
    """On a worker: run a task in a process of its own; also workers that join later are checked."""
    if describe_worker() != versions:
        raise ClusterError(
            f"A worker on {platform.node()} joined whose packages are not those of the machine "
            f"that builds. {_GOES_ON}"
        )
    return run_in_child(function, task)


def _result_of(future: Future[Any]) -> Any:
    """Return a finished task's result, or KilledWorker; raise what it raised."""
    try:
        return future.result()
    except KilledWorker as killed:
        return killed
    except (CancelledError, CommClosedError):
        raise ClusterError(_GONE) from None


@contextmanager
def _loss_named() -> Iterator[None]:
    """Say in a line that the scheduler did not answer, whatever became of it."""
    try:
        yield
    except (OSError, distributed.TimeoutError, CancelledError):
        raise ClusterError(_GONE) from None
