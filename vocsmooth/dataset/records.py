"""Check the records of a dataset against each other: plan, sidecars and index."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vocsmooth.dataset.check import Problem, file_problem
from vocsmooth.errors import DatasetError
from vocsmooth.files import read_file
from vocsmooth.settings import parse_json
from vocsmooth.shards.assembling import assemble_index, differences
from vocsmooth.shards.entries import Index, Record
from vocsmooth.shards.index import (
    INDEX_NAME,
    PLAN_NAME,
    as_object,
    read_record,
    read_version1,
    sidecar_path,
    to_bytes,
)
from vocsmooth.shards.planned import Plan, holds_plan, plan_digest, read_plan
from vocsmooth.shards.version1 import VERSION as VERSION_1
from vocsmooth.shards.version1 import assemble_index1


def check_ids(index: Index) -> Iterator[Problem]:
    """Check that the index lists every photograph once."""
    columns = index.columns
    ids, firsts, counts = np.unique(columns.ids, return_index=True, return_counts=True)
    for number in np.flatnonzero(counts > 1)[np.argsort(firsts[counts > 1])].tolist():
        rows = np.flatnonzero(columns.ids == ids[number])
        shards = np.searchsorted(columns.first_image, rows, "right") - 1
        splits = sorted({index.splits[columns.split[shard]] for shard in shards.tolist()})
        message = f"is listed {counts[number]} times in the index, in {' and '.join(splits)}"
        yield Problem(shard=None, image=ids[number].decode(), field="id", message=message)


def check_records(root: Path, index: Index) -> Iterator[Problem]:
    """Compare the index with the plan and the sidecars, from which it follows."""
    yield from _check_spelling(root / INDEX_NAME)
    plan = None
    try:
        plan = read_plan(root / PLAN_NAME)
        if not holds_plan(root / PLAN_NAME, plan):
            yield file_problem(PLAN_NAME, "was changed after it was written")
        yield from _check_plan(plan, index)
    except DatasetError as error:
        yield file_problem(PLAN_NAME, str(error))
    problems: list[Problem] = []
    records = _read_sidecars(root, index, problems)
    if plan is not None:
        yield from _check_index(root, plan, index, records, problems)
    deque(records, 0)  # those that were not looked at yet
    yield from problems


def _read_sidecars(root: Path, index: Index, problems: list[Problem]) -> Iterator[Record]:
    """Yield the sidecars that can be read; add what is wrong with a sidecar to the problems."""
    for number, shard in enumerate(index.shards):
        path = sidecar_path(root / shard.name)
        try:
            record = read_record(path)
        except DatasetError as error:
            problems.append(file_problem(path.name, str(error)))
            continue
        expected = index.sidecar_sha256(number)
        if expected and record.sha256 != expected:
            message = f"SHA-256 {record.sha256}, expected {expected}"
            problems.append(file_problem(path.name, message))
        elif not expected:
            problems.extend(_check_spelling(path))
        if record.sidecar.digest != index.digest:
            problems.append(file_problem(shard.name, "its sidecar belongs to another dataset"))
        yield record


def _check_index(
    root: Path, plan: Plan, index: Index, records: Iterator[Record], problems: list[Problem]
) -> Iterator[Problem]:
    """Check that the index is what the plan and the sidecars give, if these are sound."""
    try:
        if index.version == VERSION_1:
            old = as_object(read_version1(root))
            expected = as_object(assemble_index1(plan, [record.sidecar for record in records]))
            names = [key for key, value in expected.items() if old[key] != value]
        else:
            names = differences(assemble_index(plan, records), index)
    except DatasetError as error:
        yield file_problem(INDEX_NAME, str(error))
        return
    if not problems:  # otherwise it is the sidecars that are wrong
        for name in names:
            message = f"{name!r} is not what {PLAN_NAME} and the sidecars of the shards give"
            yield file_problem(INDEX_NAME, message)


def _check_plan(plan: Plan, index: Index) -> Iterator[Problem]:
    """Check the plan's digest, and that it has the shards and photographs of the index."""
    if plan_digest(plan) != plan.digest:
        yield file_problem(PLAN_NAME, "was changed: its digest does not match its content")
    planned = list(zip(plan.shards.names, plan.shards.splits, strict=True))
    if planned != [(shard.name, shard.split) for shard in index.shards]:
        yield file_problem(INDEX_NAME, f"lists different shards than {PLAN_NAME}")
    columns = index.columns
    dealt_with = np.sort(np.concatenate([columns.ids, columns.left_out_ids]))
    if not np.array_equal(dealt_with, np.sort(plan.shards.ids)):
        yield file_problem(INDEX_NAME, f"lists different photographs than {PLAN_NAME}")


def _check_spelling(path: Path) -> Iterator[Problem]:
    """Check that a readable JSON file is spelled as this package does: no byte was changed."""
    data = read_file(path)
    if data != to_bytes(parse_json(data)):
        yield file_problem(path.name, "was changed after it was written")
