"""Building a dataset: in parallel, in any order, after any interruption, always the same bytes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from vocsmooth.errors import DatasetError, InputError
from vocsmooth.files import sha256_file
from vocsmooth.index import (
    INDEX_NAME,
    PLAN_NAME,
    Index,
    LeftOutEntry,
    Plan,
    Sidecar,
    assemble_index,
    read_index,
    read_sidecar,
    sidecar_path,
    write_object,
)
from vocsmooth.plan import check_folder, make_plan, needed_bytes, remove_leftovers
from vocsmooth.recipe import Recipe
from vocsmooth.shard_task import (
    ShardTask,
    build_shard,
    explained_writing,
    make_nothing,
    package_versions,
)
from vocsmooth.textures import open_textures
from vocsmooth.voc import find_tree, list_photographs
from vocsmooth.workers import WorkerDied, available_cores, run_tasks, sigterm_interrupts

_DIED = "the process that worked on it died, out of memory or of a fault in a library."
_DIED_TOGETHER = (
    "the process that made its shard died, though not of any photograph alone; "
    "with more memory, or fewer images a shard, the same command may succeed."
)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a build is: reported once at its start, then after every shard."""

    done: int
    """Photographs that are dealt with."""
    total: int
    """All photographs."""
    shard: str | None
    """File name of the shard that has just been finished, None at the start."""
    kept: bool = False
    """The shard is whole from an earlier run."""
    left_out: tuple[LeftOutEntry, ...] = ()
    """Photographs of the shard that are not in it."""
    needed_bytes: int = 0
    """At the start: estimated size of the dataset if no photograph is left out."""
    free_bytes: int = 0
    """At the start: space on the disk, shards of earlier runs counted as free."""


@dataclass(frozen=True, kw_only=True)
class BuildSummary:
    """What a build has made."""

    images: int
    """Photographs in the dataset."""
    samples: int
    """Inputs in the dataset."""
    rejected: int
    """Photographs without a good enough label."""
    errors: int
    """Photographs whose files could not be used; the same command tries them again."""
    bytes: int
    """Size of all shards."""
    seconds: float
    """Wall-clock time of this run."""
    complete_before: bool
    """Nothing was left to do."""
    left_out: tuple[LeftOutEntry, ...]
    """Every photograph that is not in the dataset, with the reason."""


def build_dataset(
    voc_root: Path,
    out: Path,
    recipe: Recipe,
    *,
    textures_dir: Path | None = None,
    splits: Sequence[str] = ("train", "val"),
    ids_file: Path | None = None,
    jobs: int | None = None,
    strict: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
) -> BuildSummary:
    """Build a dataset in the folder `out`, or go on with one that was interrupted.

    Whole shards of an earlier run are kept, those with photographs that failed are made again.
    The bytes of all files depend on the recipe, the photographs, the textures and the versions
    of the packages only.

    Parameters
    ----------
    voc_root : Path
        VOC tree, see `vocsmooth.voc.find_tree`.
    out : Path
        New or empty folder, or one with the same dataset.
    recipe : Recipe
        What to make.
    textures_dir : Path, optional
        Folder of texture images instead of the bundled textures.
    splits : sequence of str
        The splits to build.
    ids_file : Path, optional
        Restrict to the ids of this list.
    jobs : int, optional
        Worker processes; one per core if not given.
    strict : bool
        Raise for the first photograph that cannot be used instead of leaving it out.
    progress : callable
        Told how far the build is.

    Raises
    ------
    InputError
        Anything given cannot be used; nothing has been written then, or with `strict` only
        shards that are whole.
    OSError
        Something could not be written; no file is partial, and the same call goes on from there.
    KeyboardInterrupt
        Ctrl-C or SIGTERM; likewise.
    """
    started = time.monotonic()
    textures = open_textures(textures_dir)
    photographs = list_photographs(
        find_tree(voc_root), splits, ids_file, recipe.val_fraction, ids=recipe.ids
    )
    plan = make_plan(photographs, recipe, textures, splits)
    check_folder(out, plan)
    index = _finished(out, plan)
    complete_before = index is not None
    if index is None:
        by_id = {photograph.id: photograph for photograph in photographs}
        tasks = [
            ShardTask(
                planned=planned,
                photographs=tuple(by_id[i] for i in planned.ids),
                digest=plan.digest,
                recipe=recipe,
                textures=textures,
                out=out,
                strict=strict,
            )
            for planned in plan.shards
        ]
        with sigterm_interrupts():
            index = _build(plan, tasks, jobs or available_cores(), progress)
    return BuildSummary(
        **vars(index.totals),
        seconds=time.monotonic() - started,
        complete_before=complete_before,
        left_out=index.left_out,
    )


def _finished(out: Path, plan: Plan) -> Index | None:
    """Return the index of a dataset that needs no work: complete, no photograph failed."""
    try:
        index = read_index(out)
        sizes = [(out / shard.name).stat().st_size for shard in index.shards]
    except (DatasetError, OSError):
        return None
    whole = sizes == [shard.bytes for shard in index.shards]
    return index if whole and index.digest == plan.digest and not index.totals.errors else None


def _build(
    plan: Plan, tasks: Sequence[ShardTask], jobs: int, progress: Callable[[Progress], None]
) -> Index:
    """Make what is missing of a dataset: the plan first, the index last."""
    out = tasks[0].out
    with explained_writing(out / PLAN_NAME):
        out.mkdir(parents=True, exist_ok=True)
        remove_leftovers(out)
        # While shards may change, no index must vouch for them.
        (out / INDEX_NAME).unlink(missing_ok=True)
        write_object(out / PLAN_NAME, plan)
    total = sum(len(task.photographs) for task in tasks)
    progress(_start(tasks, total))
    sidecars: dict[str, Sidecar] = {}
    done = 0
    with closing(_finish_shards(tasks, jobs)) as finished:
        for task, sidecar, kept in finished:
            name = task.planned.name
            sidecars[name] = sidecar
            done += len(task.photographs)
            progress(
                Progress(done=done, total=total, shard=name, kept=kept, left_out=sidecar.left_out)
            )
    index = assemble_index(plan, [sidecars[shard.name] for shard in plan.shards])
    with explained_writing(out / INDEX_NAME):
        write_object(out / INDEX_NAME, index)
    return index


def _start(tasks: Sequence[ShardTask], total: int) -> Progress:
    """Return the first report, with what the disk must and can hold."""
    first = tasks[0]
    there = sum(shard.stat().st_size for shard in first.out.glob("*.h5"))
    return Progress(
        done=0,
        total=total,
        shard=None,
        needed_bytes=needed_bytes(
            [photograph for task in tasks for photograph in task.photographs],
            first.recipe,
            first.textures,
        ),
        free_bytes=shutil.disk_usage(first.out).free + there,
    )


def _finish_shards(
    tasks: Sequence[ShardTask], jobs: int
) -> Generator[tuple[ShardTask, Sidecar, bool], None, None]:
    """Yield every shard with its sidecar and whether it was there already, those first."""
    missing = []
    for task in tasks:
        sidecar = _whole(task)
        if sidecar is None:
            missing.append(task)
        else:
            yield task, sidecar, True
    with closing(run_tasks(build_shard, missing, jobs)) as results:
        for task, result in results:
            if isinstance(result, WorkerDied):
                yield task, _build_around_deaths(task, jobs), False
            else:
                yield task, result, False


def _whole(task: ShardTask) -> Sidecar | None:
    """Return the sidecar of a shard that an earlier run finished just as this one would."""
    path = task.out / task.planned.name
    try:
        sidecar = read_sidecar(sidecar_path(path))
        same = (
            sidecar.digest == task.digest
            and sidecar.versions == package_versions()
            and sidecar.shard.name == path.name
            and not any(entry.kind == "error" for entry in sidecar.left_out)
            and path.stat().st_size == sidecar.shard.bytes
            and sha256_file(path) == sidecar.shard.sha256
        )
    except (DatasetError, OSError):
        return None
    return sidecar if same else None


def _build_around_deaths(task: ShardTask, jobs: int) -> Sidecar:
    """Make a shard that ends its worker without the photographs that do so."""
    singles = [replace(task, photographs=(photograph,)) for photograph in task.photographs]
    with closing(run_tasks(make_nothing, singles, jobs)) as results:
        deadly = [single.photographs[0] for single, result in results if result is not None]
    if task.strict and deadly:
        raise InputError(f"{deadly[0].image}: {_DIED}")
    reason = _DIED if deadly else _DIED_TOGETHER
    fatal = {
        photograph.id: f"{photograph.image}: {reason}" for photograph in deadly or task.photographs
    }
    with closing(run_tasks(build_shard, [replace(task, fatal=fatal)], 1)) as results:
        _, sidecar = next(results)
    if isinstance(sidecar, WorkerDied):
        raise InputError(f"{task.out / task.planned.name}: {_DIED}")
    return sidecar
