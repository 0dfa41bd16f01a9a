"""Tables that are damaged or were made to do harm are refused with one error."""

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from helpers import edit_table, flip_a_bit

from vocsmooth.errors import DatasetError
from vocsmooth.shards.guarded import locate
from vocsmooth.shards.index import read_index
from vocsmooth.shards.reader import open_dataset
from vocsmooth.shards.table import (
    decode_table,
    encode_table,
    find_repeated,
    join_tables,
    make_table,
)


@pytest.mark.parametrize(
    ("column", "change", "message"),
    [
        ("images", lambda c: c * -1, "count outside"),
        ("images", lambda c: c + 1, "does not add up"),
        ("images", lambda c: c[1:], "differ in length"),
        ("samples", lambda c: c * -1, "impossible sizes"),
        ("shapes", lambda c: c * 0, "impossible sizes"),
        ("shapes", lambda c: c * 0 + (2**31 - 1), "impossible sizes"),
        ("shapes", lambda c: c.astype(float) + np.nan, "integers or fixed-length"),
        ("shapes", lambda c: c[:, 0], "expected shape"),
        ("bytes", lambda c: c * 0 + 2**62, "impossible size"),
        ("bytes", lambda c: c.astype("i4"), "type <i8"),
        ("split", lambda c: c[::-1], "not in the order of the splits"),
        ("split", lambda c: c + 7, "more splits than"),
        ("sha256", lambda c: c[:, :31], "expected shape"),
        ("blake3", lambda c: c[:, :31], "expected shape"),
        ("blake3", lambda c: c[1:], "about BLAKE3 differ in length"),
        ("ids", lambda c: np.array([b"\xff"] * len(c)), "cannot be read"),
        ("ids", lambda c: c.astype("S65"), "type S"),
    ],
)
def test_columns_that_cannot_be(
    dataset: Path, column: str, change: Callable[[Any], Any], message: str
) -> None:
    edit_table(dataset, **{column: change})
    with pytest.raises(DatasetError, match=message):
        read_index(dataset)


@pytest.mark.parametrize(
    ("ids", "repeated"),
    [
        ([], None),
        (["a"], None),
        (["a", "b", "a"], "a"),
        (["é" * 32, "e", "é" * 31, "é" * 32], "é" * 32),
        ([f"{number}" for number in range(5000)], None),
        ([f"{number:016d}" for number in range(5000)], None),
        ([f"{number:09d}" for number in (*range(5000), 4321)], "000004321"),
        # Eight bytes of one and the next eight of another.
        (["12345678abcdefgh", "abcdefgh12345678", "12345678", "abcdefgh"], None),
    ],
)
def test_an_id_that_is_there_twice_is_found(ids: list[str], repeated: str | None) -> None:
    column = np.array([name.encode() for name in ids], "S")
    assert find_repeated(column if column.itemsize else column.astype("S1")) == repeated


def test_an_index_that_lists_a_photograph_twice_does_not_open(dataset: Path) -> None:
    edit_table(dataset, ids=lambda c: np.concatenate((c[:-1], c[:1])))
    with pytest.raises(DatasetError, match=r"lists the photograph '.+' more than once"):
        open_dataset(dataset)
    read_index(dataset)  # for `verify`, which says where


@pytest.mark.parametrize("damage", ["flip", "truncation", "missing"])
def test_damage_is_named(dataset: Path, damage: str) -> None:
    path = dataset / "index.hdf5"
    if damage == "flip":
        flip_a_bit(path)
    elif damage == "truncation":
        path.write_bytes(path.read_bytes()[:100])
    else:
        path.unlink()
    with pytest.raises(DatasetError, match=r"index\.hdf5"):
        read_index(dataset)


@pytest.mark.parametrize("storage", [{"chunks": (1,)}, {"external": [("/etc/passwd", 0, 4)]}])
def test_values_elsewhere_are_refused(dataset: Path, storage: dict[str, Any]) -> None:
    path = dataset / "index.hdf5"
    with h5py.File(path, "r+") as file:
        del file["images/samples"]
        file.create_dataset("images/samples", shape=(1,), dtype="<i4", **storage)
    with pytest.raises(DatasetError, match="breaks the schema"):
        decode_table(path.read_bytes(), str(path))


@pytest.mark.parametrize("entries", [1_002_000, 2**40, 2**61 + 1])
def test_a_contiguous_column_that_ends_beyond_the_file_is_refused(
    dataset: Path, entries: int
) -> None:
    """Headers of the oldest version of HDF5 have no checksum, so sizes in them can be changed."""
    length, buffer = 1001, io.BytesIO()
    with (
        h5py.File(dataset / "index.hdf5") as table,
        h5py.File(buffer, "w", libver="earliest") as file,
    ):
        for name in (f"{group}/{column}" for group in table for column in table[group]):
            file[name] = np.ones(length, "<i4") if name == "images/samples" else table[name][:]
    data = buffer.getvalue()
    with pytest.raises(DatasetError, match="about photographs differ in length"):
        decode_table(data, "index.hdf5")  # so nothing else is wrong with it
    for size in (1, 4):
        there, wanted = (struct.pack("<Q", size * n % 2**64) for n in (length, entries))
        assert there in data
        data = data.replace(there, wanted)
    with pytest.raises(DatasetError, match=r"index\.hdf5.*(invalid|impossible|within the file)"):
        decode_table(data, "index.hdf5")


def test_a_column_must_end_within_the_file(dataset: Path) -> None:
    """HDF5 finds that out, too, if its version is not old."""
    with h5py.File(dataset / "index.hdf5") as file:
        shapes = file["images/shape"]
        end = shapes.id.get_offset() + 4 * shapes.size
        assert locate(shapes, end, "index.hdf5").shape == shapes.shape
        with pytest.raises(DatasetError, match=f"expected {4 * shapes.size} bytes within the file"):
            locate(shapes, end - 1, "index.hdf5")


def test_joined_tables_are_one_after_the_other() -> None:
    """Also when a later one has longer ids than all before, or no row at all."""
    digests = np.arange(64, dtype=np.uint8).reshape(2, 32)
    tables = [
        make_table(
            split=[0],
            images=[len(ids)],
            left_out=[0],
            bytes=[100],
            sha256=digests[:1],
            blake3=digests[1:],
            sidecar=digests[:1],
            ids=ids,
            shapes=[(2, 3)] * len(ids),
            samples=[1] * len(ids),
            left_out_ids=[],
            left_out_kinds=[],
            reason_lengths=[],
            reasons=[],
        )
        for ids in ([b"bb"], [], [b"a", b"cccc"], [b"d"])
    ]
    joined = join_tables(iter(tables))
    assert joined.ids.tolist() == [b"bb", b"a", b"cccc", b"d"]
    assert joined.ids.dtype == "S4"
    assert joined.images.tolist() == [1, 0, 2, 1]
    assert joined.shapes.tolist() == [[2, 3]] * 4
    np.testing.assert_array_equal(joined.blake3, np.repeat(digests[1:], 4, axis=0))
    assert decode_table(encode_table(joined), "here").ids.tolist() == joined.ids.tolist()
    empty = join_tables([])
    assert len(empty.split) == len(empty.ids) == 0
