"""Verify a dataset: check every file against everything that the index promises."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from vocsmooth.dataset.check import Problem, check_shard
from vocsmooth.dataset.journal import (
    JOURNAL_NAME,
    identity_of,
    note_intact,
    promise_of,
    read_journal,
    remove_journal,
)
from vocsmooth.dataset.plan import plan_digest
from vocsmooth.errors import DatasetError, InputError
from vocsmooth.files import AnyPath, as_path
from vocsmooth.settings import parse_json, to_dict
from vocsmooth.shards.entries import Index, Plan, Sidecar
from vocsmooth.shards.index import (
    INDEX_NAME,
    PLAN_NAME,
    assemble_index,
    read_index,
    read_plan,
    read_sidecar,
    refuse_archive,
    sidecar_path,
    to_bytes,
)
from vocsmooth.shards.scan import list_shards
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

    Every shard is read once and compared with the index (presence, length, SHA-256), then its
    schema, tables and values: edges 0 or 1, masks 0..20 or 255, inputs equal to label plus texture.
    Plan, sidecars and index are compared with each other. Files that crash or hang the HDF5 library
    cost only a worker process.

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
        Read every shard, whatever the journal says.
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
    index = _read_index(root, problems)
    if index is None:
        return Verification(
            problems=tuple(problems),
            shards=0,
            images=0,
            samples=0,
            bytes=0,
            known=0,
            seconds=time.monotonic() - started,
        )
    problems.extend(_check_ids(index))
    problems.extend(_check_files(root, index))
    problems.extend(_check_consistency(root, index))
    promise = promise_of(root)
    known = set() if fresh else read_journal(root, promise) & {s.name for s in index.shards}
    with sigterm_interrupts():
        jobs = jobs or available_cores()
        problems.extend(_check_shards(root, index, promise, known, jobs, progress))
    if not problems:
        remove_journal(root)
    return Verification(
        problems=tuple(problems),
        shards=len(index.shards),
        images=len(index.images),
        samples=sum(shard.samples for shard in index.shards),
        bytes=sum(shard.bytes for shard in index.shards),
        known=len(known),
        seconds=time.monotonic() - started,
    )


def _read_index(root: Path, problems: list[Problem]) -> Index | None:
    """Return the index; if it is damaged, None, and the problem is added to the list."""
    try:
        index = read_index(root)
        list_shards(root, index)  # DatasetError if a photograph lies in an unknown shard
    except DatasetError as error:
        problems.append(_file_problem(INDEX_NAME, str(error)))
        return None
    return index


def _check_ids(index: Index) -> Iterator[Problem]:
    """Check that the index lists every photograph and shard once, and in a split that it lists."""
    for image, count in Counter(image.id for image in index.images).items():
        if count > 1:
            splits = sorted({other.split for other in index.images if other.id == image})
            message = f"is listed {count} times in the index, in {' and '.join(splits)}"
            yield Problem(shard=None, image=image, field="id", message=message)
    split_of = {shard.name: shard.split for shard in index.shards}
    for entry in index.images:
        if entry.split != split_of[entry.shard]:
            message = f"is {entry.split!r}, but that of its shard is {split_of[entry.shard]!r}"
            yield Problem(shard=entry.shard, image=entry.id, field="split", message=message)
    for name, count in Counter(shard.name for shard in index.shards).items():
        if count > 1:
            yield _file_problem(name, f"is listed {count} times in the index")
    for shard in index.shards:
        if shard.split not in index.splits:
            message = f"belongs to split {shard.split!r}, which the index does not list"
            yield _file_problem(shard.name, message)


def _check_files(root: Path, index: Index) -> Iterator[Problem]:
    """Check that the folder holds nothing but the dataset's own files."""
    shards = [Path(shard.name) for shard in index.shards]
    known = {INDEX_NAME, PLAN_NAME, JOURNAL_NAME, *DESCRIPTIONS}
    known |= {str(path) for shard in shards for path in (shard, sidecar_path(shard))}
    for path in sorted(root.iterdir()):
        if path.name not in known:
            yield _file_problem(path.name, "does not belong to the dataset")


def _check_consistency(root: Path, index: Index) -> Iterator[Problem]:
    """Compare the index with the plan and the sidecars, from which it follows."""
    yield from _check_spelling(root / INDEX_NAME)
    plan = None
    sidecars = []
    try:
        plan = read_plan(root / PLAN_NAME)
        yield from _check_spelling(root / PLAN_NAME)
    except DatasetError as error:
        yield _file_problem(PLAN_NAME, str(error))
    for shard in index.shards:
        path = sidecar_path(root / shard.name)
        try:
            sidecars.append(read_sidecar(path))
            yield from _check_spelling(path)
        except DatasetError as error:
            yield _file_problem(path.name, str(error))
    if plan is not None:
        yield from _check_plan(plan, index)
        if len(sidecars) == len(index.shards):
            yield from _check_index(plan, sidecars, index)


def _check_plan(plan: Plan, index: Index) -> Iterator[Problem]:
    """Check the plan's digest, and that it has the shards and photographs of the index."""
    if plan_digest(plan) != plan.digest:
        yield _file_problem(PLAN_NAME, "was changed: its digest does not match its content")
    planned = [(shard.name, shard.split) for shard in plan.shards]
    if planned != [(shard.name, shard.split) for shard in index.shards]:
        yield _file_problem(INDEX_NAME, f"lists different shards than {PLAN_NAME}")
    dealt_with = Counter(image.id for image in index.images)
    dealt_with.update(entry.id for entry in index.left_out)
    if dealt_with != Counter(i for shard in plan.shards for i in shard.ids):
        yield _file_problem(INDEX_NAME, f"lists different photographs than {PLAN_NAME}")


def _check_index(plan: Plan, sidecars: Sequence[Sidecar], index: Index) -> Iterator[Problem]:
    """Check that every key of the index is what the plan and the sidecars give."""
    for sidecar in sidecars:
        if sidecar.digest != plan.digest:
            yield _file_problem(sidecar.shard.name, "its sidecar belongs to another dataset")
    try:
        expected, found = to_dict(assemble_index(plan, sidecars)), to_dict(index)
    except DatasetError as error:
        yield _file_problem(INDEX_NAME, str(error))
        return
    for key, value in expected.items():
        if found[key] != value:
            message = f"{key!r} is not what {PLAN_NAME} and the sidecars of the shards give"
            yield _file_problem(INDEX_NAME, message)


def _check_spelling(path: Path) -> Iterator[Problem]:
    """Check that a readable JSON file is spelled as this package does: no byte was changed."""
    data = path.read_bytes()
    if data != to_bytes(parse_json(data)):
        yield _file_problem(path.name, "was changed after it was written")


def _check_shards(
    root: Path,
    index: Index,
    promise: str,
    known: Set[str],
    jobs: int,
    progress: Callable[[int, int], None],
) -> list[Problem]:
    """Check all shards in worker processes, except those known to be intact; note those that are.

    Returns the problems in the order of the index.
    """
    shards = [shard for shard in list_shards(root, index) if shard.entry.name not in known]
    total = len(known) + len(shards)
    before = {shard.entry.name: identity_of(shard.path) for shard in shards}
    found: dict[str, list[Problem]] = {}
    progress(len(known), total)
    with closing(run_tasks(check_shard, shards, jobs)) as results:
        for done, (shard, result) in enumerate(results, len(known) + 1):
            name = shard.entry.name
            died = [_file_problem(name, "crashes or hangs the process that reads it")]
            found[name] = died if isinstance(result, WorkerDied) else result
            identity = identity_of(shard.path)
            if not found[name] and identity is not None and identity == before[name]:
                note_intact(root, promise, name, identity)
            progress(done, total)
    return [problem for shard in index.shards for problem in found.get(shard.name, [])]


def _file_problem(name: str, message: str) -> Problem:
    """Return a problem that concerns a file as a whole."""
    shard = name if name.endswith(".h5") else None
    return Problem(shard=shard, image=None, field=name, message=message)
