"""Assemble the index of a dataset: it follows from the plan and the sidecars, and from no more."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from vocsmooth.errors import DatasetError
from vocsmooth.shards.entries import (
    Index,
    IndexFile,
    LabelCount,
    PlanHead,
    Record,
    Sidecar,
    TableEntry,
    failed_checks,
    totals_of,
)
from vocsmooth.shards.table import (
    KINDS,
    UNKNOWN,
    Table,
    encode_table,
    join_tables,
    make_table,
)


def assemble_index(plan: PlanHead, records: Iterable[Record]) -> Index:
    """Return the index of a finished dataset.

    Parameters
    ----------
    plan : PlanHead
        Its plan.
    records : iterable of Record
        Those of the shards, in the order of the plan. Each is looked at once and not kept.

    Raises
    ------
    DatasetError
        The shards were made by different versions of the packages, or a sidecar's provenance lacks
        what the index counts.
    """
    made = _Made()
    table = join_tables(_table_of(made.counted(record), plan.splits) for record in records)
    data = encode_table(table)
    return Index(
        digest=plan.digest,
        recipe=plan.recipe,
        versions=made.versions,
        maps=plan.maps,
        splits=plan.splits,
        totals=totals_of(table),
        labels=made.label_counts(),
        textures=dict(sorted(made.textures.items())),
        failed_checks=made.failed,
        table=TableEntry(bytes=len(data), sha256=hashlib.sha256(data).hexdigest()),
        columns=table,
    )


def differences(expected: Index, found: Index) -> list[str]:
    """Name the keys and columns in which two indices differ.

    The bytes of the table do not count: another version of HDF5 may write the same columns in other
    bytes.
    """
    keys = [field.name for field in fields(IndexFile) if field.name not in ("format", "table")]
    return [name for name in keys if getattr(expected, name) != getattr(found, name)] + [
        field.name
        for field in fields(Table)
        if not np.array_equal(
            getattr(expected.columns, field.name), getattr(found.columns, field.name)
        )
    ]


def same_versions(versions: dict[str, str], sidecar: Sidecar) -> dict[str, str]:
    """Return the versions of the shards so far, if any, which must be those of the next one."""
    if versions and sidecar.versions != versions:
        raise DatasetError(
            "The shards of the dataset were made by different versions of the packages."
        )
    return sidecar.versions


@dataclass
class _Made:
    """What the labels and inputs of a dataset were made with, counted shard by shard."""

    labels: Counter[str] = field(default_factory=Counter)
    """By the operator, its parameters and the method, as JSON."""
    textures: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    """Of the packages that made all shards."""

    def counted(self, record: Record) -> Record:
        """Count the photographs of a shard, and return its record.

        DatasetError if other packages made it, or its provenance is not understood.
        """
        sidecar = record.sidecar
        self.versions = same_versions(self.versions, sidecar)
        try:
            for image in sidecar.images:
                self._add_one(image.provenance)
        except (AttributeError, LookupError, TypeError) as error:
            name = sidecar.shard.name
            raise DatasetError(
                f"The record of {name} does not say how its photographs were made: {error!r}."
            ) from None
        return record

    def _add_one(self, provenance: dict[str, Any]) -> None:
        """Count one photograph."""
        label = provenance.get("label")
        if label is not None:
            key = (label["operator"], label["params"], label["method"])
            self.labels[json.dumps(key, sort_keys=True)] += 1
        self.textures.update(texture["texture"] for texture in provenance.get("textures", ()))
        self.failed += bool(failed_checks(provenance))

    def label_counts(self) -> tuple[LabelCount, ...]:
        """Return the counts of the labels, the largest first."""
        ordered = sorted(self.labels.items(), key=lambda item: (-item[1], item[0]))
        keys = ((json.loads(key), count) for key, count in ordered)
        return tuple(
            LabelCount(operator=operator, params=params, method=method, count=count)
            for (operator, params, method), count in keys
        )


def _table_of(record: Record, splits: tuple[str, ...]) -> Table:
    """Return the rows of one shard; DatasetError if the record contradicts itself."""
    shard, images, left_out = record.sidecar.shard, record.sidecar.images, record.sidecar.left_out
    counts = (len(images), sum(image.samples for image in images))
    places = {(shard.name, shard.split), *((image.shard, image.split) for image in images)}
    if (shard.images, shard.samples) != counts or len(places) > 1:
        raise DatasetError(
            f"The record of {shard.name} contradicts itself in its counts, names or splits."
        )
    try:
        reasons = [entry.reason.encode() for entry in left_out]
        return make_table(
            split=[splits.index(shard.split)],
            images=[len(images)],
            left_out=[len(left_out)],
            bytes=[shard.bytes],
            sha256=_digest(shard.sha256),
            blake3=_digest(shard.blake3 or UNKNOWN),
            sidecar=_digest(record.sha256),
            ids=[image.id.encode() for image in images],
            shapes=[(image.height, image.width) for image in images],
            samples=[image.samples for image in images],
            left_out_ids=[entry.id.encode() for entry in left_out],
            left_out_kinds=[KINDS.index(entry.kind) for entry in left_out],
            reason_lengths=list(map(len, reasons)),
            reasons=list(b"".join(reasons)),
        )
    except (ValueError, OverflowError) as error:
        raise DatasetError(
            f"The record of {shard.name} holds a value that cannot be: {error}."
        ) from None


def _digest(spelled: str) -> list[int]:
    """Return the 32 bytes of a hexadecimal digest; ValueError if it is none."""
    digest = bytes.fromhex(spelled)
    if len(digest) != len(UNKNOWN) // 2:
        raise ValueError(f"{spelled!r} is not a digest of {len(UNKNOWN)} hexadecimal digits")
    return list(digest)
