"""Verify a dataset: check every file against everything that the index promises."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Set
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from vocsmooth.dataset.check import Problem, check_shard, file_problem
from vocsmooth.dataset.journal import (
    JOURNAL_NAME,
    identity_of,
    note_intact,
    promise_of,
    read_journal,
    remove_journal,
)
from vocsmooth.dataset.records import check_ids, check_records
from vocsmooth.errors import DatasetError, InputError
from vocsmooth.files import AnyPath, as_path
from vocsmooth.shards.entries import Index
from vocsmooth.shards.index import (
    INDEX_NAME,
    PLAN_NAME,
    TABLE_NAME,
    read_index,
    refuse_archive,
    sidecar_path,
)
from vocsmooth.shards.scan import ShardScan, list_shards
from vocsmooth.views.croissant import DESCRIPTIONS
from vocsmooth.workers.processes import WorkerDied, available_cores, run_tasks, sigterm_interrupts


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was checked and what is wrong."""

    problems: tuple[Problem, ...]
    """Empty if the dataset is sound; in the order of the index."""
    shards: int
    """Shards that the index lists; the next three count likewise."""
    images: int
    samples: int
    bytes: int
    known: int
    """Shards that were not read, because an earlier run that was interrupted or found problems in
    others had found these intact."""
    index_version: int
    """Version of the index; 0 if it cannot be read."""
    seconds: float
    """Wall-clock time."""


def verify_dataset(
    root: AnyPath,
    *,
    jobs: int | None = None,
    fresh: bool = False,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Verification:
    """Check every file of a dataset; anything wrong becomes a `Problem`, never an exception.

    Every shard is read once and compared with the index (presence, length, BLAKE3 or, of older
    datasets, SHA-256), then its schema, tables and values: edges 0 or 1, masks 0..20 or 255, inputs
    equal to label plus texture. Plan, sidecars and index are compared with each other. Files that
    crash or hang the HDF5 library cost only a worker process.

    A run that is interrupted or finds problems leaves a journal of the shards that are intact, and
    the next run skips these (see `vocsmooth.dataset.journal`). After a run that finds no problems,
    the next one reads everything.

    Parameters
    ----------
    root : str or path-like
        The dataset's folder.
    jobs : int, optional
        Worker processes; one per core if not given.
    fresh : bool
        Read every shard, whatever the journal says, and compare SHA-256 also where the index has
        BLAKE3. BLAKE3 proves that no byte has changed since the index was made; this proves that
        its maker gave the right SHA-256, too.
    progress : callable
        Called with the number of finished shards and that of all shards.

    Raises
    ------
    InputError
        `root` is not a folder, or does not hold a dataset.
    DatasetError
        `root` is an archive.
    """
    root = as_path(root, "root")
    started = time.monotonic()
    if not root.is_dir():
        raise InputError(f"{root} is not a folder.")
    refuse_archive(root)
    if not any((root / name).is_file() for name in (INDEX_NAME, PLAN_NAME)):
        raise InputError(f"{root} holds no dataset: it has neither {INDEX_NAME} nor {PLAN_NAME}.")
    problems: list[Problem] = []
    try:
        index = read_index(root)
    except DatasetError as error:
        return Verification(
            problems=(file_problem(INDEX_NAME, str(error)),),
            shards=0,
            images=0,
            samples=0,
            bytes=0,
            known=0,
            index_version=0,
            seconds=time.monotonic() - started,
        )
    problems.extend(check_ids(index))
    problems.extend(_check_files(root, index))
    promise = promise_of(root)
    check = functools.partial(_check, every_digest=fresh)
    known = set() if fresh else read_journal(root, promise) & {s.name for s in index.shards}
    with sigterm_interrupts():
        jobs = jobs or available_cores()
        problems.extend(_check_shards(root, index, promise, known, check, jobs, progress))
    if not problems:
        remove_journal(root)
    return Verification(
        problems=tuple(problems),
        shards=len(index.columns.split),
        images=index.totals.images,
        samples=index.totals.samples,
        bytes=index.totals.bytes,
        known=len(known),
        index_version=index.version,
        seconds=time.monotonic() - started,
    )


def _check_files(root: Path, index: Index) -> Iterator[Problem]:
    """Check that the folder holds nothing but the dataset's own files."""
    shards = [Path(shard.name) for shard in index.shards]
    # An upgrade that was interrupted leaves a table beside an index of version 1.
    known = {INDEX_NAME, TABLE_NAME, PLAN_NAME, JOURNAL_NAME, *DESCRIPTIONS}
    known |= {str(path) for shard in shards for path in (shard, sidecar_path(shard))}
    for path in sorted(root.iterdir()):
        if path.name not in known:
            yield file_problem(path.name, "does not belong to the dataset")


def _check(task: ShardScan | Path, *, every_digest: bool) -> list[Problem]:
    """Check a shard, or all records of the dataset in a folder; a task for a worker process."""
    if isinstance(task, ShardScan):
        return check_shard(task, every_digest=every_digest)
    try:
        return [*check_records(task, read_index(task))]
    except DatasetError as error:  # a moment ago the index could be read
        return [file_problem(INDEX_NAME, str(error))]


def _check_shards(
    root: Path,
    index: Index,
    promise: str,
    known: Set[str],
    check: Callable[[ShardScan | Path], list[Problem]],
    jobs: int,
    progress: Callable[[int, int], None],
) -> list[Problem]:
    """Check records and shards in worker processes, except shards known to be intact; note those.

    To read the records of small photographs takes half as long as to check their shards, and is one
    task, so it comes first. Returns its problems, then those of shards in the order of the index.
    """
    shards = [shard for shard in list_shards(root, index) if shard.entry.name not in known]
    total = len(known) + len(shards)
    before = {shard.entry.name: identity_of(shard.path) for shard in shards}
    found: dict[str, list[Problem]] = {}
    tasks: list[ShardScan | Path] = [root, *shards]
    done = len(known)
    progress(done, total)
    with closing(run_tasks(check, tasks, jobs, ahead=jobs)) as results:
        for task, result in results:
            shard = task if isinstance(task, ShardScan) else None
            name = shard.entry.name if shard else PLAN_NAME
            died = [file_problem(name, "crashes or hangs the process that reads it")]
            found[name] = died if isinstance(result, WorkerDied) else result
            if shard is None:
                continue
            identity = identity_of(shard.path)
            if not found[name] and identity is not None and identity == before[name]:
                note_intact(root, promise, name, identity)
            done += 1
            progress(done, total)
    names = (PLAN_NAME, *(shard.name for shard in index.shards))
    return [problem for name in names for problem in found.get(name, [])]
