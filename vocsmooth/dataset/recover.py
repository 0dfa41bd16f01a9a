"""Everything except the shards is stored twice, so either copy can be rebuilt from the other.

One copy is the index, the other is the plan with the sidecars. Where they disagree, one is wrong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from vocsmooth.dataset.plan import plan_digest
from vocsmooth.errors import DatasetError
from vocsmooth.files import write_atomically
from vocsmooth.settings import to_dict
from vocsmooth.shards.entries import ImageEntry, Index, LeftOutEntry, Plan, Sidecar
from vocsmooth.shards.index import (
    INDEX_NAME,
    PLAN_NAME,
    assemble_index,
    read_index,
    read_plan,
    read_sidecar,
    sidecar_path,
    to_bytes,
)
from vocsmooth.views.croissant import DESCRIPTIONS


def read_sound_index(root: Path) -> Index | None:
    """Return the index, or None if it is damaged or missing."""
    try:
        return read_index(root)
    except DatasetError:
        return None


def read_sound_plan(root: Path) -> Plan | None:
    """Return the plan, or None if it is damaged or missing."""
    try:
        plan = read_plan(root / PLAN_NAME)
    except DatasetError:
        return None
    return plan if plan_digest(plan) == plan.digest else None


def find_records(root: Path, plan: Plan, index: Index | None) -> dict[str, list[Sidecar]]:
    """Return, for each shard of a plan, what its sidecar and the index say about it.

    That is one record if they agree or only one can be read, two if they disagree, and none if both
    are lost.
    """
    indexed = _split_index(index, plan) if index and index.digest == plan.digest else {}
    records: dict[str, list[Sidecar]] = {}
    for planned in plan.shards:
        found = [indexed[planned.name]] if planned.name in indexed else []
        with suppress(DatasetError):
            sidecar = read_sidecar(sidecar_path(root / planned.name))
            same_shard = sidecar.shard.name == planned.name and sidecar.digest == plan.digest
            if same_shard and sidecar not in found:
                found.append(sidecar)
        records[planned.name] = found
    return records


def write_records(root: Path, plan: Plan, sidecars: Mapping[str, Sidecar]) -> tuple[str, ...]:
    """Write the plan, the sidecars and, last, the index, each only if it is not right already.

    The descriptions, which may have been edited, are written only if they are missing. Returns the
    names of the files that were written.
    """
    index = assemble_index(plan, [sidecars[planned.name] for planned in plan.shards])
    wanted = {PLAN_NAME: to_bytes(to_dict(plan))}
    for name, sidecar in sidecars.items():
        wanted[sidecar_path(Path(name)).name] = to_bytes(to_dict(sidecar))
    for name, describe in DESCRIPTIONS.items():
        if not (root / name).is_file():
            wanted[name] = describe(index).encode()
    wanted[INDEX_NAME] = to_bytes(to_dict(index))
    written = []
    for name, data in wanted.items():
        path = root / name
        if not path.is_file() or path.read_bytes() != data:
            write_atomically(path, data)
            written.append(name)
    return tuple(written)


def _split_index(index: Index, plan: Plan) -> dict[str, Sidecar]:
    """Derive the sidecars of all shards from the index."""
    shard_of = {i: planned.name for planned in plan.shards for i in planned.ids}
    images: dict[str, list[ImageEntry]] = defaultdict(list)
    left_out: dict[str, list[LeftOutEntry]] = defaultdict(list)
    for image in index.images:
        images[image.shard].append(image)
    for entry in index.left_out:
        left_out[shard_of.get(entry.id, "")].append(entry)
    return {
        shard.name: Sidecar(
            digest=index.digest,
            versions=index.versions,
            shard=shard,
            images=tuple(images[shard.name]),
            left_out=tuple(left_out[shard.name]),
        )
        for shard in index.shards
    }
