"""Build a dataset: in parallel, in any order, after any interruption, always the same bytes."""

from __future__ import annotations

import functools
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

import numpy as np

from vocsmooth.dataset.folder import begin, count_missing, read_finished, tidy
from vocsmooth.dataset.make import (
    counted,
    explained_writing,
    finish_shards,
)
from vocsmooth.dataset.parts import Listing, listing_key, shared_listing, write_listing
from vocsmooth.dataset.plan import check_folder, make_plan, needed_bytes
from vocsmooth.dataset.runner import open_runner
from vocsmooth.dataset.tally import Tally
from vocsmooth.dataset.work import Work
from vocsmooth.files import (
    AnyPath,
    as_path,
    as_path_or_none,
    temporary_path,
    write_atomically,
    write_pieces,
)
from vocsmooth.maps.recipe import Recipe, as_recipe
from vocsmooth.maps.textures import open_textures
from vocsmooth.shards.assembling import assemble_index
from vocsmooth.shards.entries import Index, LeftOutEntry
from vocsmooth.shards.index import (
    INDEX_NAME,
    PLAN_NAME,
    index_files,
    read_record,
    sidecar_path,
)
from vocsmooth.shards.planned import Plan, largest_shard
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
    splits = tuple(dict.fromkeys(splits))
    textures = open_textures(textures_dir, procedural=recipe.textures.procedural)
    tree = find_tree(voc_root)
    key = listing_key(tree, splits, ids_file, recipe, textures) if parts > 1 else None
    with sigterm_interrupts(), ExitStack() as planning:
        listed = planning.enter_context(shared_listing(out, key, tree)) if key else None
        photographs = (
            listed.photographs
            if listed
            else list_photographs(tree, splits, ids_file, recipe.val_fraction, ids=recipe.ids)
        )
        size = largest_shard(out / PLAN_NAME) if recipe.shards.bytes else None
        known = listed.digest if listed else None
        plan = make_plan(photographs, recipe, textures, splits, size, known)
        if not listed:
            check_folder(out, plan)
        index, missing = read_finished(out, plan), 0
        complete_before = index is not None
        if index is None:
            shards, rows = plan.shards.choose(np.arange(len(plan.shards)) % parts == number - 1)
            work = Work(
                shards=shards,
                photographs=photographs.take(rows),
                digest=plan.digest,
                recipe=recipe,
                textures=textures,
                out=out,
                strict=strict,
            )
            shared = (out / PLAN_NAME, photographs[0].image)
            tally = Tally(temporary_path(out / _TALLY_NAME, os.getpid()))
            idle = functools.partial(_report_count, tally, len(work.photographs), progress)
            with open_runner(scheduler, jobs, shared, idle) as run:
                begin(out, None if listed else plan)
                if key and not listed:
                    write_listing(out, key, Listing(photographs=photographs, digest=plan.digest))
                planning.close()  # the other parts wait for the plan, not for shards
                index, missing = _build(plan, work, run, tally, progress)
        else:
            tidy(out)  # of workers that froze, and woke when others had done their work
    return BuildSummary(
        **vars(index.totals),
        seconds=time.monotonic() - started,
        complete_before=complete_before,
        missing=missing,
        failed_checks=index.failed_checks,
        left_out=index.left_out,
    )


def _build(
    plan: Plan, work: Work, run: Runner, tally: Tally, progress: Callable[[Progress], None]
) -> tuple[Index, int]:
    """Make the shards of a part, and complete the dataset if no other is missing.

    Returns the index and 0, or an index of this part alone and the number of shards that are still
    missing from other parts.
    """
    out, total = work.out, len(work.photographs)
    progress(_start(work))
    finished_photographs = 0
    tasks = counted(work.tasks(), tally)
    with tasks as numbered, closing(finish_shards(numbered, run)) as finished:
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
    missing = count_missing(out, plan, work.shards.names)
    names = work.shards.names if missing else plan.shards.names
    index = assemble_index(plan, (read_record(sidecar_path(out / name)) for name in names))
    if not missing:
        with explained_writing(out / INDEX_NAME):
            tidy(out)  # of workers that have died
            files = index_files(index)
            for name, describe in DESCRIPTIONS.items():
                write_pieces(out / name, (text.encode() for text in describe(index, files)))
            for name, data in files.items():
                write_atomically(out / name, data)
    return index, missing


def _report_count(tally: Tally, total: int, progress: Callable[[Progress], None]) -> None:
    """Report how many photographs are made while none of the running shards is finished."""
    if done := tally.count():
        progress(Progress(done=done, total=total, shard=None))


def _start(work: Work) -> Progress:
    """Return the first report, with the space that is needed and free on the disk."""
    taken = sum(shard.stat().st_size for shard in work.out.glob("*.h5"))
    needed = needed_bytes(work.photographs, work.recipe, work.textures)
    free = shutil.disk_usage(work.out).free + taken
    return Progress(
        done=0, total=len(work.photographs), shard=None, needed_bytes=needed, free_bytes=free
    )
