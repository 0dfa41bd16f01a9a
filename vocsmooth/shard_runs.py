"""Making many shards in worker processes, some of which may die of a photograph."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace

from vocsmooth.errors import InputError
from vocsmooth.index import Sidecar
from vocsmooth.shard_task import FinishedShard, ShardTask, build_shard, finish_shard, make_nothing
from vocsmooth.workers import Runner, WorkerDied

_DIED = "the process that worked on it died, out of memory or of a fault in a library."
_DIED_TOGETHER = (
    "the process that made its shard died, though not of any photograph alone; "
    "with more memory, or fewer images a shard, the same command may succeed."
)


def finish_shards(
    tasks: Sequence[ShardTask], run: Runner
) -> Generator[tuple[ShardTask, FinishedShard], None, None]:
    """Keep or make every shard; yield each when it is whole.

    A photograph that ends its process is found and left out; the others of its shard are made.
    """
    with closing(run(finish_shard, tasks)) as results:
        for task, result in results:
            if isinstance(result, WorkerDied):
                yield task, FinishedShard(sidecar=_build_around_deaths(task, run), kept=False)
            else:
                yield task, result


def _build_around_deaths(task: ShardTask, run: Runner) -> Sidecar:
    """Make a shard that ends its worker without the photographs that do so."""
    singles = [replace(task, photographs=(photograph,)) for photograph in task.photographs]
    with closing(run(make_nothing, singles)) as results:
        deadly = {
            single.photographs[0].id for single, result in results if isinstance(result, WorkerDied)
        }
    culprits = [photo for photo in task.photographs if photo.id in deadly]
    if task.strict and culprits:
        raise InputError(f"{culprits[0].image}: {_DIED}")
    reason = _DIED if culprits else _DIED_TOGETHER
    fatal = {photo.id: f"{photo.image}: {reason}" for photo in culprits or task.photographs}
    with closing(run(build_shard, [replace(task, fatal=fatal)])) as results_of_rest:
        _, sidecar = next(results_of_rest)
    if isinstance(sidecar, WorkerDied):
        raise InputError(f"{task.out / task.planned.name}: {_DIED}")
    return sidecar
