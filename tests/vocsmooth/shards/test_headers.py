"""The short way to the maps of a shard: what HDF5 says, or nothing."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from vocsmooth.shards import native, open_dataset
from vocsmooth.shards.headers import find_maps
from vocsmooth.shards.index import read_index
from vocsmooth.shards.listing import IndexedShard, list_shard
from vocsmooth.shards.schema import read_layout
from vocsmooth.shards.writer import ImageMaps, encode_shard

pytestmark = pytest.mark.skipif(native.library is None, reason="it was not compiled")


class Shard:
    """A shard of a dataset, and what the index says about it."""

    def __init__(self, root: Path, number: int) -> None:
        index = read_index(root)
        self.maps, self.digest = index.maps, index.digest
        self.indexed: IndexedShard = list_shard(index, number)
        self.path = root / self.indexed.entry.name

    def find(self) -> tuple[int, ...] | None:
        with self.path.open("rb") as file:
            return find_maps(file, self.indexed, self.digest, self.maps)

    def ask_hdf5(self) -> tuple[int, ...]:
        places = read_layout(self.path, self.maps).maps
        return tuple(places[name].offset for names in self.maps.values() for name in names)


def test_finds_what_hdf5_finds(pristine_dataset: Path) -> None:
    for number in range(len(read_index(pristine_dataset).columns.split)):
        shard = Shard(pristine_dataset, number)
        assert shard.find() == shard.ask_hdf5()


def test_a_flipped_bit_never_moves_a_map(dataset: Path) -> None:
    shard = Shard(dataset, 0)
    whole, places = np.fromfile(shard.path, np.uint8), read_layout(shard.path, shard.maps).maps
    expected = shard.ask_hdf5()
    outside = np.ones(len(whole), bool)
    for place in places.values():
        length = math.prod(place.shape) * place.dtype.itemsize
        outside[place.offset : place.offset + length] = False
    # Nothing but zeros lies between the maps, where nobody looks.
    used = np.convolve(whole != 0, np.ones(17), "same") > 0.5
    refused = 0
    with shard.path.open("r+b", buffering=0) as file:
        for at in np.flatnonzero(outside & used).tolist():
            for bit in range(8):
                os.pwrite(file.fileno(), bytes([whole[at] ^ (1 << bit)]), at)
                found = find_maps(file, shard.indexed, shard.digest, shard.maps)
                assert found in (None, expected), (at, bit)
                refused += found is None
            os.pwrite(file.fileno(), bytes([whole[at]]), at)
    assert refused > 10_000
    assert shard.find() == expected


def test_checksums_are_those_of_lookup3() -> None:
    assert native.checksum(b"") == 0xDEADBEEF
    assert native.checksum(b"Four score and seven years ago") == 0x17770551


def test_without_the_library_hdf5_is_asked(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = open_dataset(dataset).split("train")[0]
    monkeypatch.setattr(native, "library", None)
    assert Shard(dataset, 0).find() is None
    found = open_dataset(dataset).split("train")[0]
    for name, pixels in expected.items():
        np.testing.assert_array_equal(found[name], pixels)


@pytest.mark.parametrize("length", [0, 10, 47, 48, 200, 1000, 5000])
def test_a_file_that_is_cut_short_is_left_to_hdf5(dataset: Path, length: int) -> None:
    shard = Shard(dataset, 0)
    os.truncate(shard.path, length)
    assert shard.find() is None


def test_another_dataset_another_photograph_other_storage(dataset: Path) -> None:
    shard = Shard(dataset, 0)
    shard.digest = "0" * 64
    assert shard.find() is None
    shard = Shard(dataset, 0)
    with h5py.File(shard.path, "r+") as file:
        first = file["images/id"][0]
        file["images/id"][0] = b"other"
    assert shard.find() is None
    with h5py.File(shard.path, "r+") as file:
        file["images/id"][0] = first
    assert shard.find() == shard.ask_hdf5()
    with h5py.File(shard.path, "r+") as file:
        edge = file["images/edge"][()]
        del file["images/edge"]
        file["images"].create_dataset("edge", data=edge, chunks=(16,))
    assert shard.find() is None


def test_ids_that_fill_their_field(pristine_dataset: Path, tmp_path: Path) -> None:
    """The narrower ids of an index are padded, those of 64 bytes have no zero at their end."""
    shard = Shard(pristine_dataset, 0)
    known = {"label", "edge", "mask", "input", "texture"}
    image, plane = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)
    ids = ["x" * 64, "y"]
    images = [
        ImageMaps(
            id=name,
            split="train",
            label=image,
            edge=plane,
            mask=plane,
            image_negatives=dict.fromkeys(shard.maps["images"].keys() - known, image),
            inputs=image[None],
            textures=np.zeros((1, 8, 8), np.int16),
            input_negatives=dict.fromkeys(shard.maps["samples"].keys() - known, image[None]),
            provenance={},
        )
        for name in ids
    ]
    shard.path = tmp_path / "shard.h5"
    length = shard.path.write_bytes(encode_shard(images, shard.maps, "{}", shard.digest))
    shard.indexed = dataclasses.replace(
        shard.indexed,
        entry=dataclasses.replace(shard.indexed.entry, bytes=length),
        raw_ids=np.array(ids, "S"),
        shapes=np.full((2, 2), 8),
        samples=np.ones(2, np.int64),
    )
    assert shard.find() == shard.ask_hdf5()
    shard.indexed = dataclasses.replace(shard.indexed, raw_ids=np.array(["x" * 63, "y"], "S"))
    assert shard.find() is None
