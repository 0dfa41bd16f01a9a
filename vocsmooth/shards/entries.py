"""What the JSON files of a dataset say: a sidecar beside each shard, and the index.

Each class is one object of the JSON, each field one of its keys.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocsmooth.shards.schema import FORMAT, INDEX_VERSION, VERSION
from vocsmooth.shards.table import KINDS, Table

_SHARD_NAME = re.compile(r"[\w-]+-\d{5,}\.h5")


@dataclass(frozen=True, kw_only=True)
class ShardEntry:
    """One shard of the dataset."""

    name: str
    """File name, SPLIT-00000.h5."""
    split: str
    """The split that all its photographs belong to."""
    bytes: int
    """Size of the file."""
    sha256: str
    """SHA-256 of the file, hexadecimal."""
    images: int
    """Photographs in it."""
    samples: int
    """Samples in it: one for each input."""
    blake3: str = ""
    """BLAKE3 of the file, hexadecimal; empty, and not written, if older software made it."""

    def __post_init__(self) -> None:
        check_name(self.name)


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
    """Samples of it: one for each input made of it."""
    provenance: dict[str, Any]
    """Source files, operator, scores, textures."""

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1 or self.samples < 0:
            raise ValueError(f"photograph {self.id!r} has impossible sizes")


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
class PlanHead:
    """What decides the bytes of a dataset besides the photographs."""

    format: str = FORMAT
    version: int = VERSION
    package: str
    """Version of vocsmooth."""
    digest: str
    """Digest of everything else in the plan."""
    recipe: dict[str, Any]
    """The resolved recipe."""
    textures: dict[str, Any]
    """Names and hashes of the textures."""
    maps: dict[str, Any]
    """Channels of each map by name, in the groups "images" and "samples"."""
    splits: tuple[str, ...]
    """Names of the splits, in order."""


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """What is known about one shard; written beside it and last, so it marks the shard finished."""

    format: str = FORMAT
    version: int = VERSION
    digest: str
    """Digest of the plan that the shard belongs to."""
    versions: dict[str, str]
    """Versions of the packages that made the shard."""
    shard: ShardEntry
    images: tuple[ImageEntry, ...]
    left_out: tuple[LeftOutEntry, ...]


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is known about one shard, and in which bytes."""

    sidecar: Sidecar
    sha256: str
    """SHA-256 of the sidecar's file, hexadecimal."""


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Counts over a whole dataset."""

    images: int
    """Photographs in it."""
    samples: int
    """Samples in it."""
    rejected: int
    """Photographs whose best label was not good enough."""
    errors: int
    """Photographs whose files could not be used."""
    bytes: int
    """Size of all shards."""


@dataclass(frozen=True, kw_only=True)
class LabelCount:
    """How many labels one operator made."""

    operator: str
    params: dict[str, Any]
    """Its parameters."""
    method: str
    """How it was chosen: screened, fixed, fallback or exact."""
    count: int


@dataclass(frozen=True, kw_only=True)
class TableEntry:
    """The file of the index's table."""

    bytes: int
    """Its size."""
    sha256: str
    """Its SHA-256, hexadecimal. The table holds those of all shards and sidecars."""


@dataclass(frozen=True, kw_only=True)
class IndexFile:
    """What a dataset holds in all; the shards and photographs are in the table beside it."""

    format: str = FORMAT
    version: int = INDEX_VERSION
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
    labels: tuple[LabelCount, ...]
    """What made the labels, the most frequent first."""
    textures: dict[str, int]
    """Number of inputs with each texture, by name."""
    failed_checks: int
    """Photographs with a negative that should be worse than the label and is not."""
    table: TableEntry

    def __post_init__(self) -> None:
        for split in self.splits:
            check_name(shard_name(split, 0))
        if len(set(self.splits)) < len(self.splits):
            raise ValueError(f"splits lists one twice: {', '.join(self.splits)}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Index(IndexFile):
    """What a dataset holds, and in which shard: index.json with its table."""

    columns: Table
    """One row for each shard, photograph, and photograph that was left out."""

    @property
    def identity(self) -> str:
        """SHA-256 of the plan's digest and of those of all shards, whatever the index's version."""
        content = self.digest.encode() + self.columns.sha256.tobytes()
        return hashlib.sha256(content).hexdigest()

    def shard(self, number: int) -> ShardEntry:
        """Return what the table says about a shard's file."""
        columns = self.columns
        split = self.splits[columns.split[number]]
        return ShardEntry(
            name=shard_name(split, int(columns.place_in_split[number])),
            split=split,
            bytes=int(columns.bytes[number]),
            sha256=columns.sha256[number].tobytes().hex(),
            images=int(columns.images[number]),
            samples=int(columns.shard_samples[number]),
            blake3=_known(columns.blake3[number]),
        )

    def sidecar_sha256(self, number: int) -> str:
        """Return the SHA-256 of a shard's sidecar; empty if not known (index version 1)."""
        return _known(self.columns.sidecar[number])

    @property
    def shards(self) -> tuple[ShardEntry, ...]:
        """All shards, split by split."""
        return tuple(map(self.shard, range(len(self.columns.split))))

    def left_out_of(self, number: int) -> tuple[LeftOutEntry, ...]:
        """Return what was left out of a shard; the provenance is in its sidecar only."""
        columns, split = self.columns, self.splits[self.columns.split[number]]
        return tuple(
            LeftOutEntry(
                id=columns.left_out_ids[row].decode(),
                split=split,
                kind=KINDS[columns.left_out_kinds[row]],
                reason=columns.reasons[slice(*columns.first_reason[[row, row + 1]])]
                .tobytes()
                .decode(errors="replace"),
                provenance={},
            )
            for row in range(*columns.first_left_out[[number, number + 1]].tolist())
        )

    @property
    def left_out(self) -> tuple[LeftOutEntry, ...]:
        """All that was left out, in the order of the shards."""
        numbers = np.flatnonzero(self.columns.left_out).tolist()
        return tuple(entry for number in numbers for entry in self.left_out_of(number))


def totals_of(table: Table) -> Totals:
    """Add up the columns of a table."""
    kinds = np.bincount(table.left_out_kinds, minlength=len(KINDS)).tolist()
    return Totals(
        images=len(table.ids),
        samples=int(table.samples.sum(dtype="i8")),
        rejected=kinds[KINDS.index("rejected")],
        errors=kinds[KINDS.index("error")],
        bytes=int(table.bytes.sum()),
    )


def shard_name(split: str, number: int) -> str:
    """Return the file name of a shard: its split, and its number in the split."""
    return f"{split}-{number:05d}.h5"


def longest_name(index: Index, numbers: range) -> int:
    """Return the bytes of the longest file name of some shards, which are those of one split."""
    if not numbers:
        return 0
    split = index.splits[index.columns.split[numbers.start]]
    return len(shard_name(split, len(numbers) - 1).encode())


def check_name(name: str) -> None:
    """Refuse shard names that lead out of the dataset's folder."""
    if not _SHARD_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a shard name")


def _known(digest: NDArray[np.uint8]) -> str:
    """Return a digest of the table, hexadecimal; empty if it is not known."""
    return digest.tobytes().hex() if digest.any() else ""


def failed_checks(provenance: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the negatives that should be worse than the label and are not."""
    checks = provenance.get("negatives", {})
    return tuple(name for name, check in checks.items() if check["worse"] is False)
