"""Shards are read from the disk as a whole, once, before their samples are."""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from vocsmooth.shards import SampleOrder, Split, open_dataset
from vocsmooth.shards.fetching import ShardFetcher
from vocsmooth.shards.mapped import MappedShard

MAPS = ("input", "label")


def test_a_shard_is_fetched_before_its_first_sample_and_not_again(
    data_of_shards: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    split, buffer, fetched = data_of_shards, 1, list[int]()
    will_need = Split.will_need

    def note(self: Split, shard: int, maps: Sequence[str]) -> None:
        assert maps == MAPS
        fetched.append(shard)
        will_need(self, shard, maps)

    monkeypatch.setattr(Split, "will_need", note)
    fetcher = ShardFetcher(split, MAPS, buffer)
    shard_of = np.repeat(np.arange(len(split.shard_sizes)), split.shard_sizes)
    for sample in SampleOrder(split.shard_sizes, seed=1, buffer=buffer).epoch(0):
        fetcher.fetch([sample])
        assert shard_of[sample] in fetched
    assert sorted(fetched) == list(range(len(split.shard_sizes)))


def test_what_is_fetched_comes_into_memory_without_being_read(
    data_of_shards: Split, tmp_path: Path
) -> None:
    split = data_of_shards
    split.read(0, MAPS)
    (shard,) = split._open.values()
    assert isinstance(shard, MappedShard)
    pages, path = shard._pages, shard.path
    address, length = pages.__array_interface__["data"][0], path.stat().st_size
    pages.advise("MADV_DONTNEED", 0, length)
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if pages_in_memory(address, length):
        pytest.skip("this file system keeps its files in memory")
    ShardFetcher(split, MAPS, 1).fetch([0])
    deadline = time.monotonic() + 10
    while not pages_in_memory(address, length):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_maps_that_do_not_exist_are_refused(data_of_shards: Split) -> None:
    with pytest.raises(ValueError, match="no map 'lable'"):
        ShardFetcher(data_of_shards, ["lable"], 1).fetch([0])


@pytest.fixture
def data_of_shards(pristine_dataset: Path, tmp_path: Path) -> Split:
    """A split whose files nobody else has mapped."""
    return open_dataset(shutil.copytree(pristine_dataset, tmp_path / "copy")).split("train")


def pages_in_memory(address: int, length: int) -> int:
    """Count the pages of a mapping that are in memory."""
    count = -(-length // mmap.PAGESIZE)
    found = (ctypes.c_ubyte * count)()
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(length), found) == 0
    return sum(page & 1 for page in found)
