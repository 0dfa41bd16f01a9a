"""What the end of a build needs, for `benchmarks.scale`: all records are read, the index is made.

One shard of photographs is built. The records of all others are its record with other ids, and
their photographs and shards, which the end of a build does not read, are empty or missing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.scale_growth import Row
from benchmarks.scale_steps import (
    RECIPE,
    SPLITS,
    TEXTURES,
    apart,
    build,
    make_links,
    make_tree,
    measure,
)
from vocsmooth.dataset.build import _build
from vocsmooth.dataset.folder import begin
from vocsmooth.dataset.make import FinishedShard
from vocsmooth.dataset.plan import make_plan
from vocsmooth.dataset.tally import Tally
from vocsmooth.dataset.work import Work
from vocsmooth.maps.textures import open_textures
from vocsmooth.settings import to_dict
from vocsmooth.shards.entries import Sidecar
from vocsmooth.shards.index import read_record, sidecar_path, to_bytes
from vocsmooth.shards.planned import Plan, PlannedShard
from vocsmooth.sources.voc import find_tree, list_photographs


def measure_end(count: int) -> Row:
    """Measure the end of a build of this number of photographs, a multiple of a shard's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_tree(folder, RECIPE.shards.images)
        apart(build, folder)
        for path in folder.glob("JPEGImages/*"):
            path.unlink()
        make_links(folder, count)
        apart(write_records, folder)
        return apart(measure, end, folder)


def plan_of(folder: Path) -> tuple[Plan, Work]:
    """Return the plan of all photographs, and what a build of them would do."""
    textures = open_textures(folder / TEXTURES)
    photographs = list_photographs(find_tree(folder), SPLITS, val_fraction=RECIPE.val_fraction)
    plan = make_plan(photographs, RECIPE, textures, SPLITS)
    out = folder / "all"
    begin(out, plan)
    return plan, Work(
        shards=plan.shards,
        photographs=photographs,
        digest=plan.digest,
        recipe=RECIPE,
        textures=textures,
        out=out,
        strict=False,
    )


def write_records(folder: Path) -> None:
    """Write the record of every shard."""
    plan, work = plan_of(folder)
    made = next((folder / "out").glob("*.h5"))
    record = read_record(sidecar_path(made)).sidecar
    for planned in plan.shards:
        content = to_dict(renamed(record, planned, plan.digest))
        sidecar_path(work.out / planned.name).write_bytes(to_bytes(content))


def renamed(record: Sidecar, planned: PlannedShard, digest: str) -> Sidecar:
    """Return the record of another shard."""
    images = tuple(
        replace(image, id=one, shard=planned.name)
        for image, one in zip(record.images, planned.ids, strict=True)
    )
    return replace(
        record, digest=digest, shard=replace(record.shard, name=planned.name), images=images
    )


def end(folder: Path) -> None:
    """Do what a build does when no shard is left to make."""
    plan, work = plan_of(folder)
    index, missing = _build(plan, work, all_kept, Tally(folder / "tally"), lambda _: None)
    assert not missing
    assert index.totals.images == len(work.photographs)


def all_kept(function: object, tasks: Iterable[Any]) -> Generator[tuple[Any, Any], None, None]:
    """Take every shard for finished, in place of workers."""
    del function
    for task in tasks:
        yield task, FinishedShard(left_out=(), kept=True)
