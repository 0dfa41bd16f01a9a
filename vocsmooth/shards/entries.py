"""The records of a dataset: what its JSON files say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vocsmooth.shards.schema import FORMAT, VERSION

_SHARD_NAME = re.compile(r"[\w-]+-\d{5,}\.h5")


@dataclass(frozen=True, kw_only=True)
class ShardEntry:
    """One shard of the dataset."""

    name: str
    """File name, SPLIT-00000.h5."""
    split: str
    """The split of all its photographs."""
    bytes: int
    """Length of the file."""
    sha256: str
    """SHA-256 of the file, hexadecimal."""
    images: int
    """Photographs in it."""
    samples: int
    """Inputs in it."""

    def __post_init__(self) -> None:
        _check_name(self.name)


@dataclass(frozen=True, kw_only=True)
class ImageEntry:
    """One photograph of the dataset."""

    id: str
    """The photograph's id."""
    split: str
    """Its split."""
    shard: str
    """File name of its shard."""
    height: int
    width: int
    samples: int
    """Inputs made of it."""
    provenance: dict[str, Any]
    """Source files, operator, scores, textures."""

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1 or self.samples < 0:
            raise ValueError(f"image {self.id!r} has impossible sizes")


@dataclass(frozen=True, kw_only=True)
class LeftOutEntry:
    """One photograph that was left out of the dataset."""

    id: str
    """The photograph's id."""
    split: str
    """The split that it would have been in."""
    kind: str
    """rejected: no label was good enough. error: its files could not be used."""
    reason: str
    """A sentence: what, where, expected, got."""
    provenance: dict[str, Any]
    """Of a rejected photograph: source files and the scores of all candidates; else empty."""


@dataclass(frozen=True, kw_only=True)
class PlannedShard:
    """The photographs that one shard is made of."""

    name: str
    """File name, SPLIT-00000.h5."""
    split: str
    """Their split."""
    ids: tuple[str, ...]
    """Their ids, in order; those left out later stay in this list."""

    def __post_init__(self) -> None:
        _check_name(self.name)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that decides a dataset's bytes, written before its first shard."""

    format: str = FORMAT
    version: int = VERSION
    package: str
    """Version of vocsmooth."""
    digest: str
    """Digest of all else in the plan."""
    recipe: dict[str, Any]
    """The resolved recipe."""
    textures: dict[str, Any]
    """Names and hashes of the textures."""
    maps: dict[str, Any]
    """Channels of each map by name, in the groups "images" and "samples"."""
    splits: tuple[str, ...]
    """Names of the splits, in order."""
    shards: tuple[PlannedShard, ...]


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """What is known of one shard, written beside it after it; with it the shard is finished."""

    format: str = FORMAT
    version: int = VERSION
    digest: str
    """Digest of the plan that the shard is part of."""
    versions: dict[str, str]
    """Of the packages that made the shard."""
    shard: ShardEntry
    images: tuple[ImageEntry, ...]
    left_out: tuple[LeftOutEntry, ...]


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Counts over a dataset."""

    images: int
    """Photographs in it."""
    samples: int
    """Inputs in it."""
    rejected: int
    """Photographs without a good enough label."""
    errors: int
    """Photographs whose files could not be used."""
    bytes: int
    """Of all shards."""


@dataclass(frozen=True, kw_only=True)
class Index:
    """What a dataset holds and where."""

    format: str = FORMAT
    version: int = VERSION
    digest: str
    """Digest of the plan, also in every shard."""
    recipe: dict[str, Any]
    """The resolved recipe."""
    versions: dict[str, str]
    """Of the packages that made it."""
    maps: dict[str, Any]
    """Channels of each map by name, in the groups "images" and "samples"."""
    splits: tuple[str, ...]
    """Names of the splits; one may be without images."""
    totals: Totals
    shards: tuple[ShardEntry, ...]
    images: tuple[ImageEntry, ...]
    left_out: tuple[LeftOutEntry, ...]


def _check_name(name: str) -> None:
    """Refuse shard names that lead out of the dataset's folder."""
    if not _SHARD_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no shard name")


def failed_checks(provenance: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the negatives that are not worse than the label where they should be."""
    checks = provenance.get("negatives", {})
    return tuple(name for name, check in checks.items() if check["worse"] is False)
