"""Mapped shards: more than a process has descriptors for, and checked again once they change."""

import contextlib
import gc
import os
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import pytest

from vocsmooth.errors import DatasetError
from vocsmooth.shards import native
from vocsmooth.shards.pages import Pages
from vocsmooth.shards.reader import open_dataset
from vocsmooth.shards.split import Split
from vocsmooth.shards.windows import MappedShards


def sums_of(split: Split) -> list[int]:
    """Return the sum of all maps of every sample."""
    return [sum(int(pixels.sum()) for pixels in sample.values()) for sample in split]


def open_files() -> Counter[str]:
    """Count the files and folders that this process has open."""
    found = Counter[str]()
    for path in list(Path("/proc/self/fd").iterdir()):
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            found[str(path.readlink())] += 1
    return found


def test_take_one_descriptor_for_the_folder_and_give_it_back(pristine_dataset: Path) -> None:
    split = open_dataset(pristine_dataset).split("train")
    gc.collect()
    before = open_files()
    sums_of(split)
    assert len(split._open) == 3
    assert open_files() - before == Counter([str(pristine_dataset)] * (native.library is not None))
    del split
    gc.collect()
    assert open_files() == before


def test_more_than_stay_mapped(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = sums_of(open_dataset(dataset).split("train"))
    monkeypatch.setattr("vocsmooth.shards.windows._MOST_MAPPED", 1)
    split = open_dataset(dataset).split("train")
    assert sums_of(split) == sums_of(split) == expected
    assert len(split._open) == 1
    # One that has changed since it was checked is checked again.
    path = dataset / "train-00000.h5"
    with h5py.File(path, "r+") as file:
        file["images/id"][0] = b"other"
    with pytest.raises(DatasetError, match="not the one that the index describes"):
        split.read(0, ["label"])


def test_counts_what_the_process_has_mapped(pristine_dataset: Path) -> None:
    gc.collect()
    before = Pages.mapped
    splits = [open_dataset(pristine_dataset).split("train") for _ in range(2)]
    for split in splits:
        sums_of(split)
    assert Pages.mapped == before + 6
    del split, splits
    gc.collect()
    assert Pages.mapped == before


def test_arrays_outlive_the_shard(pristine_dataset: Path) -> None:
    split = open_dataset(pristine_dataset).split("val")
    expected = split.read(0, ["label"])["label"]
    pixels = split._open.current(split._shards[0]).arrays["label"]
    assert isinstance(pixels, np.ndarray)
    del split
    gc.collect()
    assert not pixels.flags.writeable
    np.testing.assert_array_equal(pixels[: expected.size // 3], expected.reshape(-1, 3))


class Written(np.ndarray):
    """A table that notes what of it Python writes."""

    log: ClassVar[list[Any]] = []

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        self.log.append((self.ndim, key))


@pytest.mark.skipif(native.library is None, reason="it was not compiled")
def test_python_writes_no_row_that_c_may_be_reading(pristine_dataset: Path) -> None:
    """It has no barriers: a processor might show the address of a shard before all the rest."""
    split = open_dataset(pristine_dataset).split("train")
    assert isinstance(split._open, MappedShards)
    split._open._records = split._open._records.view(Written)
    Written.log.clear()
    split.read(0, ["label"])
    assert Written.log == []
    number = split._shards[0]
    row = split._open._records[number - split._shards.start]
    assert tuple(row.tolist()) == split._open[number].record


@pytest.mark.skipif(native.library is None, reason="it was not compiled")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_gives_mappings_back(
    pristine_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though a thread that only its parent has was copying."""
    monkeypatch.setattr("vocsmooth.shards.windows._MOST_MAPPED", 1)
    split = open_dataset(pristine_dataset).split("train")
    shards, copy_windows = split._open, native.copy_windows
    assert isinstance(shards, MappedShards)
    left: list[int] = []
    parent = os.getpid()

    def copy_and_fork(*arguments: Any, **options: Any) -> int:
        if os.getpid() == parent and not left:  # this thread is copying now
            child = os.fork()
            if not child:
                sums_of(split)
                os._exit(len(shards._leaving))
            left.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        return copy_windows(*arguments, **options)

    monkeypatch.setattr(native, "copy_windows", copy_and_fork)
    sums_of(split)
    assert left == [0]


@pytest.mark.parametrize("compiled", [True, False])
def test_a_shard_that_was_cut_short_and_then_replaced_is_read_again(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    """As after `vocsmooth verify --repair`, without opening the dataset again."""
    if not compiled:
        monkeypatch.setattr(native, "library", None)
    split = open_dataset(dataset).split("train")
    expected = sums_of(split)
    path = dataset / "train-00000.h5"
    whole = path.read_bytes()
    os.truncate(path, 100)
    for _ in range(2):
        with pytest.raises(DatasetError, match=f"changed its length from {len(whole)} to 100"):
            split.read(0, ["label"])
    (dataset / "new").write_bytes(whole)
    (dataset / "new").rename(path)
    assert sums_of(split) == expected
