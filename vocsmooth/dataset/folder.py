"""The folder of a dataset while it is being built: begun, short of some shards, complete."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vocsmooth.dataset.claim import CLAIM_NAME
from vocsmooth.dataset.make import explained_writing, find_finished
from vocsmooth.dataset.parts import LISTING_NAME
from vocsmooth.errors import DatasetError
from vocsmooth.files import remove_leftovers
from vocsmooth.shards.entries import Index
from vocsmooth.shards.index import INDEX_NAME, PLAN_NAME, TABLE_NAME, read_index, sidecar_path
from vocsmooth.shards.planned import Plan, write_plan


def read_finished(out: Path, plan: Plan) -> Index | None:
    """Return the index if there is nothing to do: the dataset is complete and nothing failed."""
    try:
        index = read_index(out)
        if index.digest != plan.digest or index.totals.errors:
            return None
        shards = map(index.shard, range(len(index.columns.split)))
        complete = all((out / shard.name).stat().st_size == shard.bytes for shard in shards)
    except (DatasetError, OSError):
        return None
    return index if complete else None


def begin(out: Path, plan: Plan | None) -> None:
    """Write the plan, if one is given, and remove the index of an earlier run."""
    with explained_writing(out / PLAN_NAME):
        out.mkdir(parents=True, exist_ok=True)
        remove_leftovers(out)
        # No index may vouch for shards that are about to change.
        for name in (INDEX_NAME, TABLE_NAME):
            (out / name).unlink(missing_ok=True)
        if plan is not None:
            write_plan(out / PLAN_NAME, plan)


def tidy(out: Path) -> None:
    """Remove what a complete dataset does not need, and what killed processes left."""
    for name in (LISTING_NAME, CLAIM_NAME):
        (out / name).unlink(missing_ok=True)
    remove_leftovers(out)


def count_missing(out: Path, plan: Plan, own: Iterable[str]) -> int:
    """Return how many shards are not finished, besides one's own."""
    others = set(plan.shards.names) - set(own)
    there = {path.name for path in out.iterdir()} if others else set()
    missing = sum(sidecar_path(Path(name)).name not in there for name in others)
    return missing or sum(find_finished(out / name, plan.digest) is None for name in others)
