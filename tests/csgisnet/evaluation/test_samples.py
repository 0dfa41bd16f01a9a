"""The images to measure on: of a dataset or of pairs of files, all or some spread evenly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from csgisnet.evaluation.samples import samples_of, samples_of_pairs, spread_evenly
from csgisnet.training.validate import choose_samples
from vocsmooth.errors import InputError
from vocsmooth.shards.index import read_index
from vocsmooth.shards.reader import Dataset, open_dataset

PAIRS = [(name, Path(f"in/{name}"), Path(f"labels/{name}")) for name in "abcde"]


def read(path: Path) -> NDArray[np.uint8]:
    """Pixels that tell the file's name; the label of "e" is smaller than its image."""
    shape = (3, 4, 3) if path == Path("labels/e") else (5, 4, 3)
    return np.full(shape, ord(path.name), np.uint8)


def edges(label: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """All pixels but the first row."""
    found = np.ones(label.shape[:2], np.bool_)
    found[0] = False
    return found


@pytest.mark.parametrize(
    ("total", "count", "expected"),
    [
        (5, 0, [0, 1, 2, 3, 4]),
        (5, 9, [0, 1, 2, 3, 4]),
        (5, 5, [0, 1, 2, 3, 4]),
        (5, 1, [0]),
        (5, 2, [0, 4]),
        (8, 3, [0, 4, 7]),
        (0, 3, []),
    ],
)
def test_numbers_are_spread_over_both_ends(total: int, count: int, expected: list[int]) -> None:
    assert spread_evenly(total, count) == expected


def test_datasets_folders_and_validation_choose_alike(data_dir: Path) -> None:
    split = open_dataset(data_dir).split("train")
    for count in range(10):
        chosen = choose_samples(split, count)
        assert samples_of(split, count).names == tuple(f"{split.ids[i]} #{i}" for i in chosen)
        pairs = [(str(i), Path("in"), Path("label")) for i in range(len(split))]
        assert samples_of_pairs(pairs, read, edges, count).names == tuple(map(str, chosen))


def test_samples_of_a_dataset_are_its_maps(data_dir: Path) -> None:
    split = open_dataset(data_dir).split("train")
    everything, three = samples_of(split), samples_of(split, 3)
    assert len(everything.names) == len(split)
    assert len(set(everything.names)) == len(split)
    assert len(three.names) == 3
    assert three.names[0] == everything.names[0]
    assert three.names[2] == everything.names[-1]
    maps = split.read(len(split) - 1, ("input", "label", "edge"))
    sample = three.read(2)
    back: NDArray[np.uint8] = np.rint(sample.image * 255).astype(np.uint8)
    assert np.array_equal(back, maps["input"])
    assert sample.label.dtype == np.float32
    assert np.array_equal(sample.edges, maps["edge"])


def test_an_empty_split_is_named(data_dir: Path) -> None:
    index = read_index(data_dir)
    empty = replace(index, splits=(*index.splits, "test"))
    split = Dataset(data_dir, empty).split("test")
    with pytest.raises(InputError, match="no samples"):
        samples_of(split)


def test_samples_of_pairs_are_their_files() -> None:
    samples = samples_of_pairs(PAIRS, read, edges, 3)
    assert samples.names == ("a", "c", "e")
    sample = samples.read(1)
    assert sample.image.dtype == sample.label.dtype == np.float32
    assert np.array_equal(sample.image, np.full((5, 4, 3), ord("c") / 255, np.float32))
    assert np.array_equal(sample.edges, edges(read(Path("c"))))
    with pytest.raises(InputError, match=r"in/e and labels/e differ in size: 4 x 5 and 4 x 3"):
        samples.read(2)
