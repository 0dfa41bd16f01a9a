"""The short way to the maps of a shard: what HDF5 says, or nothing."""

from __future__ import annotations

import os
import random
from pathlib import Path

import h5py
import numpy as np
import pytest

from vocsmooth.shards.headers import find_maps
from vocsmooth.shards.index import read_index
from vocsmooth.shards.listing import IndexedShard, list_shard
from vocsmooth.shards.schema import read_layout

FLIPS = 20_000 if os.environ.get("SOAK") else 1_500


class Shard:
    """A shard of a dataset, and what the index says about it."""

    def __init__(self, root: Path, number: int) -> None:
        index = read_index(root)
        self.maps, self.digest = index.maps, index.digest
        self.indexed: IndexedShard = list_shard(index, number)
        self.path = root / self.indexed.entry.name

    def find(self) -> tuple[int, ...] | None:
        with self.path.open("rb") as file:
            return find_maps(file.fileno(), self.indexed, self.digest, self.maps)

    def ask_hdf5(self) -> tuple[int, ...]:
        places = read_layout(self.path, self.maps).maps
        return tuple(places[name].offset for names in self.maps.values() for name in names)


def test_finds_what_hdf5_finds(pristine_dataset: Path) -> None:
    for number in range(len(read_index(pristine_dataset).columns.split)):
        shard = Shard(pristine_dataset, number)
        assert shard.find() == shard.ask_hdf5()


def test_a_flipped_bit_never_moves_a_map(dataset: Path) -> None:
    shard = Shard(dataset, 0)
    whole, expected = shard.path.read_bytes(), shard.find()
    assert expected is not None
    headers = min(expected)  # the maps follow
    rng = random.Random(3)
    refused = 0
    for _ in range(FLIPS):
        damaged = bytearray(whole)
        damaged[rng.randrange(headers)] ^= 1 << rng.randrange(8)
        shard.path.write_bytes(damaged)
        found = shard.find()
        assert found in (None, expected)
        refused += found is None
    assert refused > FLIPS // 20


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


def test_ids_that_fill_their_field(dataset: Path) -> None:
    shard = Shard(dataset, 0)
    shard.indexed.raw_ids.astype("S64")  # narrower columns of the index are padded
    assert shard.indexed.raw_ids.dtype.itemsize <= 64
    assert np.dtype("S64").itemsize == 64
    assert shard.find() is not None
