"""Build a dataset: in parallel, in any order, after any interruption, always the same bytes."""

from __future__ import annotations

import functools
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from vocsmooth.dataset.make import (
    ShardTask,
    counted,
    explained_writing,
    find_finished,
    finish_shards,
)
from vocsmooth.dataset.plan import check_folder, make_plan, needed_bytes
from vocsmooth.dataset.runner import open_runner
from vocsmooth.dataset.tally import Tally
from vocsmooth.errors import DatasetError
from vocsmooth.files import (
    AnyPath,
    as_path,
    as_path_or_none,
    remove_leftovers,
    temporary_path,
    write_atomically,
)
from vocsmooth.maps.recipe import Recipe, as_recipe
from vocsmooth.maps.textures import open_textures
from vocsmooth.shards.assembling import assemble_index
from vocsmooth.shards.entries import Index, LeftOutEntry, Plan
from vocsmooth.shards.index import (
    INDEX_NAME,
    PLAN_NAME,
    TABLE_NAME,
    index_files,
    read_index,
    read_record,
    sidecar_path,
    write_object,
)
from vocsmooth.sources.voc import find_tree, list_photographs
from vocsmooth.views.croissant import DESCRIPTIONS
from vocsmooth.workers.processes import Runner, sigterm_interrupts

_TALLY_NAME = "photographs"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a build has come: reported at its start, after every shard, and in between."""

    done: int
    """Photographs that are made, kept or left out; their shard may not be written yet."""
    total: int
    """All photographs."""
    shard: str | None
    """File name of the shard that has just been finished; None at the start and in between."""
    kept: bool = False
    """An earlier run had finished the shard."""
    left_out: tuple[LeftOutEntry, ...] = ()
    """Photographs that were left out of the shard."""
    needed_bytes: int = 0
    """At the start: the estimated size of the dataset if no photograph is left out."""
    free_bytes: int = 0
    """At the start: free space on the disk; that of shards of earlier runs counts as free."""


@dataclass(frozen=True, kw_only=True)
class BuildSummary:
    """What a build has made."""

    images: int
    """Photographs in the dataset."""
    samples: int
    """Inputs in the dataset."""
    rejected: int
    """Photographs whose best label was not good enough."""
    errors: int
    """Photographs whose files could not be used; the same command tries them again."""
    bytes: int
    """Size of all shards."""
    seconds: float
    """Wall-clock time of this run."""
    complete_before: bool
    """The dataset was complete before; there was nothing to do."""
    missing: int
    """Shards that other parts still have to make; if any, all counts are of this part only."""
    failed_checks: int
    """Photographs with a negative that should be worse than the label and is not."""
    left_out: tuple[LeftOutEntry, ...]
    """Every photograph that was left out, with the reason."""


def build_dataset(
    voc_root: AnyPath,
    out: AnyPath,
    recipe: Recipe | AnyPath,
    *,
    textures_dir: AnyPath | None = None,
    splits: Sequence[str] = ("train", "val"),
    ids_file: AnyPath | None = None,
    jobs: int | None = None,
    scheduler: str | None = None,
    part: tuple[int, int] = (1, 1),
    strict: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
) -> BuildSummary:
    """Build a dataset in the folder `out`, or continue one that was interrupted.

    Finished shards of an earlier run are kept; those in which photographs failed are rebuilt.
    The bytes of all files depend only on the recipe, the photographs, the textures and the versions
    of the packages.

    Parameters
    ----------
    voc_root : str or path-like
        VOC tree, see `vocsmooth.sources.voc.find_tree`.
    out : str or path-like
        New or empty folder, or one with the same dataset.
    recipe : Recipe, str or path-like
        What to make, or what `vocsmooth.maps.recipe.load_recipe` reads.
    textures_dir : str or path-like, optional
        Folder of texture images instead of the bundled textures.
    splits : sequence of str
        The splits to build.
    ids_file : str or path-like, optional
        Take only the ids in this list.
    jobs : int, optional
        Worker processes; one per core if not given.
    scheduler : str, optional
        Dask scheduler whose workers do the work instead, see `vocsmooth.workers.cluster`. They must
        see all folders under the same paths as this machine.
    part : (int, int)
        (I, N) makes every N-th shard, starting with the I-th. All N parts may run at the same time,
        on any machines that share `out`; the part that finishes last completes the dataset.
    strict : bool
        Raise at the first photograph that cannot be used, instead of leaving it out.
    progress : callable
        Called with how far the build has come.

    Raises
    ------
    InputError
        An argument cannot be used. Nothing has been written then, or with `strict` only finished
        shards.
    ClusterError
        The cluster cannot be used or was lost.
    DatasetError
        The parts were made by different versions of the packages.
    OSError
        Something could not be written. No file is partial, and the same call continues from there.
    KeyboardInterrupt
        Ctrl-C or SIGTERM; likewise.
    """
    recipe = as_recipe(recipe)
    voc_root = as_path(voc_root, "voc_root")
    out = as_path(out, "out")
    textures_dir = as_path_or_none(textures_dir, "textures_dir")
    ids_file = as_path_or_none(ids_file, "ids_file")
    started = time.monotonic()
    number, parts = part
    if not 1 <= number <= parts:
        raise ValueError(f"part must be (I, N) with 1 <= I <= N, got {part}")
    if scheduler is not None:  # its workers run in other folders
        voc_root, out = voc_root.resolve(), out.resolve()
        textures_dir = textures_dir and textures_dir.resolve()
    textures = open_textures(textures_dir, procedural=recipe.textures.procedural)
    photographs = list_photographs(
        find_tree(voc_root), splits, ids_file, recipe.val_fraction, ids=recipe.ids
    )
    plan = make_plan(photographs, recipe, textures, splits)
    check_folder(out, plan)
    index, missing = _finished(out, plan), 0
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
        shared = (out / PLAN_NAME, photographs[0].image)
        tasks = tasks[number - 1 :: parts]
        tally = Tally(temporary_path(out / _TALLY_NAME, os.getpid()))
        total = sum(len(task.photographs) for task in tasks)
        idle = functools.partial(_report_count, tally, total, progress)
        with sigterm_interrupts(), open_runner(scheduler, jobs, shared, idle) as run:
            index, missing = _build(plan, out, tasks, run, tally, progress)
    else:
        remove_leftovers(out)  # of workers that froze, and woke when others had done their work
    return BuildSummary(
        **vars(index.totals),
        seconds=time.monotonic() - started,
        complete_before=complete_before,
        missing=missing,
        failed_checks=index.failed_checks,
        left_out=index.left_out,
    )


def _finished(out: Path, plan: Plan) -> Index | None:
    """Return the index if there is nothing to do: the dataset is complete and nothing failed."""
    try:
        index = read_index(out)
        sizes = [(out / shard.name).stat().st_size for shard in index.shards]
    except (DatasetError, OSError):
        return None
    complete = sizes == [shard.bytes for shard in index.shards]
    return index if complete and index.digest == plan.digest and not index.totals.errors else None


def _build(
    plan: Plan,
    out: Path,
    tasks: Sequence[ShardTask],
    run: Runner,
    tally: Tally,
    progress: Callable[[Progress], None],
) -> tuple[Index, int]:
    """Write the plan, make the shards of a part, and complete the dataset if no other is missing.

    Returns the index and 0, or an index of this part alone and the number of shards that are still
    missing from other parts.
    """
    _begin(out, plan)
    total = sum(len(task.photographs) for task in tasks)
    progress(_start(out, tasks, total))
    finished_photographs = 0
    with counted(tasks, tally) as numbered, closing(finish_shards(numbered, run)) as finished:
        for task, shard in finished:
            tally.tick(task.first, len(task.photographs))
            finished_photographs += len(task.photographs)
            done = max(tally.count(), finished_photographs)
            progress(
                Progress(
                    done=done,
                    total=total,
                    shard=task.planned.name,
                    kept=shard.kept,
                    left_out=shard.left_out,
                )
            )
    made = {task.planned.name for task in tasks}
    missing = _count_missing(out, [p.name for p in plan.shards if p.name not in made], plan.digest)
    names = [planned.name for planned in plan.shards if not missing or planned.name in made]
    index = assemble_index(plan, (read_record(sidecar_path(out / name)) for name in names))
    if not missing:
        with explained_writing(out / INDEX_NAME):
            remove_leftovers(out)  # of workers that have died
            files = index_files(index)
            described = {n: describe(index, files).encode() for n, describe in DESCRIPTIONS.items()}
            for name, data in (described | files).items():
                write_atomically(out / name, data)
    return index, missing


def _report_count(tally: Tally, total: int, progress: Callable[[Progress], None]) -> None:
    """Report how many photographs are made while none of the running shards is finished."""
    if done := tally.count():
        progress(Progress(done=done, total=total, shard=None))


def _begin(out: Path, plan: Plan) -> None:
    """Write the plan, and remove the index of an earlier run."""
    with explained_writing(out / PLAN_NAME):
        out.mkdir(parents=True, exist_ok=True)
        remove_leftovers(out)
        # No index may vouch for shards that are about to change.
        for name in (INDEX_NAME, TABLE_NAME):
            (out / name).unlink(missing_ok=True)
        write_object(out / PLAN_NAME, plan)


def _start(out: Path, tasks: Sequence[ShardTask], total: int) -> Progress:
    """Return the first report, with the space that is needed and free on the disk."""
    taken = sum(shard.stat().st_size for shard in out.glob("*.h5"))
    photographs = [photograph for task in tasks for photograph in task.photographs]
    needed = needed_bytes(photographs, tasks[0].recipe, tasks[0].textures) if tasks else 0
    free = shutil.disk_usage(out).free + taken
    return Progress(done=0, total=total, shard=None, needed_bytes=needed, free_bytes=free)


def _count_missing(out: Path, names: Sequence[str], digest: str) -> int:
    """Return how many shards of other parts are not finished."""
    missing = sum(not sidecar_path(out / name).is_file() for name in names)
    return missing or sum(find_finished(out / name, digest) is None for name in names)
