"""Mapped shards: more than a process has descriptors for, and checked again once they change."""

import contextlib
import gc
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest

from vocsmooth.errors import DatasetError
from vocsmooth.shards import native
from vocsmooth.shards.pages import Pages
from vocsmooth.shards.reader import open_dataset
from vocsmooth.shards.split import Split


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
    monkeypatch.setattr("vocsmooth.shards.mapped._MOST_MAPPED", 1)
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
    pixels = split._shard(split._shards[0]).arrays["label"]
    assert isinstance(pixels, np.ndarray)
    del split
    gc.collect()
    assert not pixels.flags.writeable
    np.testing.assert_array_equal(pixels[: expected.size // 3], expected.reshape(-1, 3))
