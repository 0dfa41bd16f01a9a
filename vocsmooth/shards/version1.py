"""The index of older datasets: one JSON file with an entry for each shard and photograph.

Plan, sidecars and shards have not changed since. ``vocsmooth verify --upgrade`` gives such a
dataset the index of today.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from vocsmooth.errors import DatasetError
from vocsmooth.shards.assembling import assemble_index, same_versions
from vocsmooth.shards.entries import (
    ImageEntry,
    Index,
    LeftOutEntry,
    PlanHead,
    Record,
    ShardEntry,
    Sidecar,
    Totals,
    shard_name,
)
from vocsmooth.shards.schema import FORMAT
from vocsmooth.shards.table import UNKNOWN

VERSION = 1
"""Version of this index."""


@dataclass(frozen=True, kw_only=True)
class Index1:
    """What a dataset holds, and in which shard."""

    format: str = FORMAT
    version: int = VERSION
    digest: str
    """Digest of the plan; every shard holds it, too."""
    recipe: dict[str, Any]
    """The resolved recipe."""
    versions: dict[str, str]
    """Versions of the packages that made it."""
    maps: dict[str, Any]
    """Channels of each map by name, in the groups "images" and "samples"."""
    splits: tuple[str, ...]
    """Names of the splits, in order; a split may be empty."""
    totals: Totals
    shards: tuple[ShardEntry, ...]
    images: tuple[ImageEntry, ...]
    left_out: tuple[LeftOutEntry, ...]


def convert(old: Index1, where: str) -> Index:
    """Return the index of today that says the same, but for the SHA-256 of the sidecars.

    Raises
    ------
    DatasetError
        `old`, which was read from `where`, contradicts itself.
    """
    numbers = dict.fromkeys(old.splits, 0)
    firsts: dict[str, str] = {}
    for shard in old.shards:
        number = numbers.get(shard.split)
        if number is None or shard.name != shard_name(shard.split, number):
            raise DatasetError(f"{where} lists {shard.name!r} where another shard was expected.")
        numbers[shard.split] += 1
        firsts.setdefault(shard.split, shard.name)
    # From which shard of its split a photograph was left out, only the plan says.
    shard_of = {entry.id: firsts.get(entry.split, "") for entry in old.left_out}
    plan = PlanHead(
        package="",
        digest=old.digest,
        recipe=old.recipe,
        textures={},
        maps=old.maps,
        splits=old.splits,
    )
    try:
        sidecars = sidecars_of(old, shard_of).values()
        records = (Record(sidecar=sidecar, sha256=UNKNOWN) for sidecar in sidecars)
        index = assemble_index(plan, records)
    except DatasetError as error:
        raise DatasetError(f"{where}: {error}") from None
    return replace(index, version=VERSION, versions=old.versions)


def sidecars_of(old: Index1, shard_of: dict[str, str]) -> dict[str, Sidecar]:
    """Derive the sidecars of all shards.

    Parameters
    ----------
    old : Index1
        The index.
    shard_of : dict
        Name of the shard from which each photograph was left out, by id.

    Raises
    ------
    DatasetError
        A photograph lies in an unknown shard, or a shard is listed twice.
    """
    images: dict[str, list[ImageEntry]] = defaultdict(list)
    left_out: dict[str, list[LeftOutEntry]] = defaultdict(list)
    for image in old.images:
        images[image.shard].append(image)
    for entry in old.left_out:
        left_out[shard_of.get(entry.id, "")].append(entry)
    sidecars = {
        shard.name: Sidecar(
            digest=old.digest,
            versions=old.versions,
            shard=shard,
            images=tuple(images[shard.name]),
            left_out=tuple(left_out[shard.name]),
        )
        for shard in old.shards
    }
    if unknown := sorted((images.keys() | left_out.keys()) - sidecars.keys()):
        raise DatasetError(f"photographs are put into an unknown shard {unknown[0]!r}.")
    if len(sidecars) < len(old.shards):
        raise DatasetError("a shard is listed twice.")
    return sidecars


def assemble_index1(plan: PlanHead, sidecars: Sequence[Sidecar]) -> Index1:
    """Return the index of version 1 that follows from a plan and the sidecars in its order.

    Raises
    ------
    DatasetError
        The shards were made by different versions of the packages.
    """
    versions: dict[str, str] = {}
    for sidecar in sidecars:
        versions = same_versions(versions, sidecar)
    shards = tuple(sidecar.shard for sidecar in sidecars)
    left_out = tuple(entry for sidecar in sidecars for entry in sidecar.left_out)
    kinds = [entry.kind for entry in left_out]
    return Index1(
        digest=plan.digest,
        recipe=plan.recipe,
        versions=versions,
        maps=plan.maps,
        splits=plan.splits,
        totals=Totals(
            images=sum(shard.images for shard in shards),
            samples=sum(shard.samples for shard in shards),
            rejected=kinds.count("rejected"),
            errors=kinds.count("error"),
            bytes=sum(shard.bytes for shard in shards),
        ),
        shards=shards,
        images=tuple(image for sidecar in sidecars for image in sidecar.images),
        left_out=left_out,
    )
