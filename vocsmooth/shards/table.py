"""The index's table: what a reader needs to know of every shard and photograph, in columns.

The file index.hdf5 is HDF5 like a shard, see `vocsmooth.shards.schema`: contiguous, without links,
filters or variable-length types. The shards are in the order of the splits, and the photographs in
that of the shards, so that names and starts follow from counts and are not stored.

/shards           for each shard: split (its number), images, left_out (how many), bytes, sha256,
                  blake3, and sidecar, the SHA-256 of the JSON file beside it
/images           for each photograph: id, shape (height and width), samples
/left_out         for each photograph that was left out: id, kind (a number), reason (its bytes)
/text/reason      the reasons one after the other, UTF-8
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from vocsmooth.errors import DatasetError
from vocsmooth.shards.guarded import expect, find_dataset, locate, new_file, refusing
from vocsmooth.shards.schema import ID_DTYPE

KINDS = ("rejected", "error")
"""Why photographs are left out, in the order of the column's numbers."""

UNKNOWN = 64 * "0"
"""Instead of a digest that is not known, hexadecimal."""

_MOST = 2.0**60

_ODD = np.uint64(0x9E3779B97F4A7C15)

Column = NDArray[Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """The columns; S shards, N photographs, L photographs that were left out."""

    split: Column
    """(S,) int32: number of each shard's split; never decreases."""
    images: Column
    """(S,) int32: photographs in each shard."""
    left_out: Column
    """(S,) int32: photographs that were left out of each shard."""
    bytes: Column
    """(S,) int64: size of each shard."""
    sha256: Column
    """(S, 32) uint8: SHA-256 of each shard."""
    blake3: Column
    """(S, 32) uint8: BLAKE3 of each shard; zeros if not known. Not stored if none is known."""
    sidecar: Column
    """(S, 32) uint8: SHA-256 of each shard's sidecar; zeros if not known (index version 1)."""
    ids: Column
    """(N,) bytes: ids of the photographs, UTF-8, as wide as the longest."""
    shapes: Column
    """(N, 2) int32: height and width of each photograph."""
    samples: Column
    """(N,) int32: samples of each photograph."""
    left_out_ids: Column
    """(L,) bytes: ids of the photographs that were left out."""
    left_out_kinds: Column
    """(L,) uint8: why, a number of `KINDS`."""
    reason_lengths: Column
    """(L,) int64: bytes of each reason."""
    reasons: Column
    """(B,) uint8: the reasons."""

    @cached_property
    def place_in_split(self) -> NDArray[np.int64]:
        """(S,) number of each shard among those of its split."""
        return np.arange(len(self.split)) - np.searchsorted(self.split, self.split)

    @cached_property
    def first_image(self) -> NDArray[np.int64]:
        """(S + 1,) number of each shard's first photograph; last, that of all photographs."""
        return starts(self.images)

    @cached_property
    def first_left_out(self) -> NDArray[np.int64]:
        """(S + 1,) likewise for the photographs that were left out."""
        return starts(self.left_out)

    @cached_property
    def first_reason(self) -> NDArray[np.int64]:
        """(L + 1,) first byte of each reason."""
        return starts(self.reason_lengths)

    @cached_property
    def shard_samples(self) -> NDArray[np.int64]:
        """(S,) samples in each shard."""
        return np.diff(starts(self.samples)[self.first_image])


_PLACES: dict[str, tuple[str, str, str, tuple[int, ...]]] = {
    "split": ("shards", "split", "<i4", ()),
    "images": ("shards", "images", "<i4", ()),
    "left_out": ("shards", "left_out", "<i4", ()),
    "bytes": ("shards", "bytes", "<i8", ()),
    "sha256": ("shards", "sha256", "u1", (32,)),
    "blake3": ("shards", "blake3", "u1", (32,)),
    "sidecar": ("shards", "sidecar", "u1", (32,)),
    "ids": ("images", "id", "S", ()),
    "shapes": ("images", "shape", "<i4", (2,)),
    "samples": ("images", "samples", "<i4", ()),
    "left_out_ids": ("left_out", "id", "S", ()),
    "left_out_kinds": ("left_out", "kind", "u1", ()),
    "reason_lengths": ("left_out", "reason", "<i8", ()),
    "reasons": ("text", "reason", "u1", ()),
}
"""Of each column its group, name, type and the shape of one entry."""


_OPTIONAL = {"blake3"}
"""Columns that the tables of older software lack: one value for each shard, zeros if not known."""


def make_table(**columns: Any) -> Table:
    """Return the table of these columns, each turned into its type; ids are bytes."""
    return Table(
        **{
            name: _as_ids(columns[name])
            if dtype == "S"
            else np.asarray(columns[name], dtype).reshape(-1, *tail)
            for name, (_, _, dtype, tail) in _PLACES.items()
        }
    )


def join_tables(tables: Iterable[Table]) -> Table:
    """Return one table with the rows of all, in their order; each is looked at once and not kept.

    The columns grow in place: that takes little more memory than the table.
    """
    columns = {name: bytearray() for name in _PLACES}
    types = {n: np.dtype("S1" if kind == "S" else kind) for n, (_, _, kind, _) in _PLACES.items()}
    for table in tables:
        for name in _PLACES:
            column = getattr(table, name)
            if column.itemsize > types[name].itemsize:  # an id is longer than all before
                wider = np.frombuffer(columns[name], types[name]).astype(column.dtype)
                columns[name], types[name] = bytearray(), column.dtype  # not all three at a time
                columns[name] += wider.data.cast("B")
            columns[name] += column.astype(types[name]).tobytes()
    return make_table(**{n: np.frombuffer(joined, types[n]) for n, joined in columns.items()})


def encode_table(table: Table) -> bytes:
    """Return the HDF5 file that holds a table; the same bytes for the same columns."""
    buffer = io.BytesIO()
    with new_file(buffer) as file:
        for field, (group, name, _, _) in _PLACES.items():
            column = getattr(table, field)
            if field in _OPTIONAL and not column.any():
                continue
            file.create_dataset(f"{group}/{name}", data=column, track_times=False)
    return buffer.getvalue()


def decode_table(data: bytes, where: str) -> Table:
    """Return the table that an HDF5 file holds, as views of its bytes.

    Parameters
    ----------
    data : bytes
        The whole file.
    where : str
        Its path, for messages.

    Raises
    ------
    DatasetError
        It is not HDF5, a column is missing, linked, unpacked elsewhere, mistyped or reaches beyond
        the end, or the columns contradict each other.
    """
    with refusing(where), h5py.File(io.BytesIO(data), "r", locking=False) as file:
        if file.userblock_size:
            raise DatasetError(f"{where} has a user block, which shifts every offset.")
        columns: dict[str, Column] = {}
        for field, (group, name, dtype, tail) in _PLACES.items():
            if field in _OPTIONAL and f"{group}/{name}" not in file:
                columns[field] = np.zeros((len(columns["split"]), *tail), dtype)
                continue
            dataset = find_dataset(file, group, name, where)
            place = locate(dataset, len(data), where)
            kind = place.dtype.kind == "S" and place.dtype.itemsize <= ID_DTYPE.itemsize
            expect(kind if dtype == "S" else place.dtype == dtype, dataset, f"type {dtype}", where)
            expect(
                len(place.shape) == 1 + len(tail) and place.shape[1:] == tail,
                dataset,
                f"shape (entries, *{tail})",
                where,
            )
            column = np.frombuffer(data, place.dtype, math.prod(place.shape), place.offset)
            columns[field] = column.reshape(place.shape)
        table = Table(**columns)
        _check(table, where)
    return table


def starts(lengths: Column) -> NDArray[np.int64]:
    """Return where items of these lengths start that follow each other, and last where they end."""
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)))


def find_repeated(ids: Column) -> str | None:
    """Return an id that is listed twice, if there is one.

    Of a million, 8 bytes each that depend on the whole id are sorted in 0.04 s, the ids in 1.3 s.
    """
    width = -(-ids.itemsize // 8)
    words = ids.astype(f"S{8 * width}").view(np.uint64).reshape(len(ids), width)
    hashes = np.zeros(len(ids), np.uint64)
    for word in words.T:
        hashes = (hashes ^ word) * _ODD
        hashes ^= hashes >> np.uint64(29)
    hashes.sort()
    if not (hashes[1:] == hashes[:-1]).any():
        return None
    names, counts = np.unique(ids, return_counts=True)
    repeated = names[counts > 1].tolist()
    return repeated[0].decode() if repeated else None


def _as_ids(ids: Any) -> Column:
    """Return ids as an array that is as wide as the longest; HDF5 has no strings of no width."""
    column = np.asarray(ids, "S")
    return column.astype("S1") if not column.itemsize or not column.size else column


def _check(table: Table, where: str) -> None:
    """Raise DatasetError if the columns contradict each other."""
    shards, images = len(table.split), len(table.ids)
    left_out = len(table.left_out_ids)
    lengths = {
        "shards": (shards, (table.images, table.left_out, table.bytes, table.sha256)),
        "sidecars": (shards, (table.sidecar,)),
        "BLAKE3": (shards, (table.blake3,)),
        "photographs": (images, (table.shapes, table.samples)),
        "photographs left out": (left_out, (table.left_out_kinds, table.reason_lengths)),
    }
    for what, (expected, columns) in lengths.items():
        if any(len(column) != expected for column in columns):
            raise DatasetError(f"{where}: the columns about {what} differ in length.")
    for name, counts, expected in (
        ("images", table.images, images),
        ("left_out", table.left_out, left_out),
        ("reason", table.reason_lengths, len(table.reasons)),
    ):
        # Checked one by one first, so that their sum cannot overflow.
        if counts.size and not 0 <= counts.min() <= counts.max() <= expected:
            raise DatasetError(f"{where}: {name} holds a count outside 0..{expected}.")
        if counts.sum(dtype=np.int64) != expected:
            raise DatasetError(f"{where}: {name} does not add up to {expected}.")
    if (np.diff(table.split) < 0).any():
        raise DatasetError(f"{where}: its shards are not in the order of the splits.")
    if (table.split < 0).any() or (table.left_out_kinds >= len(KINDS)).any():
        raise DatasetError(f"{where}: the number of a split or of a kind is out of range.")
    if (table.bytes < 1).any() or table.bytes.sum(dtype=np.float64) > _MOST:
        raise DatasetError(f"{where}: a shard has an impossible size.")
    pixels = table.shapes.prod(axis=1, dtype=np.float64) * np.maximum(table.samples, 1)
    if (table.shapes < 1).any() or (table.samples < 0).any() or pixels.sum() > _MOST:
        raise DatasetError(f"{where}: a photograph has impossible sizes.")
    for ids in (table.ids, table.left_out_ids):
        # One byte wider, each id ends with a zero, and none can lend its last bytes to the next.
        ids.astype(f"S{ids.itemsize + 1}").tobytes().decode()
