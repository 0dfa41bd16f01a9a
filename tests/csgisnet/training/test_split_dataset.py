"""A split as a torch dataset: the same samples for every kind and number of workers."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from csgisnet.training.split_dataset import SplitDataset
from vocsmooth.classes import VOID
from vocsmooth.errors import DatasetError
from vocsmooth.shards import Split, open_dataset

# Python 3.12 warns of a fork while torch's threads exist; the workers use none of them.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

MAPS = ("input", "label", "over", "texture", "edge", "mask")


@pytest.fixture
def split(data_dir: Path) -> Split:
    return open_dataset(data_dir).split("train")


def jittered(sample: dict[str, Tensor]) -> Tensor:
    """A transform with a random number of its own."""
    return sample["input"] + torch.rand(())


def passes(samples: SplitDataset, epochs: tuple[int, ...], **options: Any) -> list[Tensor]:
    """All samples of some epochs, through one loader."""
    loader = DataLoader(samples, batch_size=3, **options)
    found = []
    for epoch in epochs:
        samples.set_epoch(epoch)
        found.append(torch.cat(list(loader)))
    return found


@pytest.mark.parametrize(
    ("workers", "method", "persistent"),
    [(1, "fork", False), (2, "fork", True), (1, "spawn", True)],
)
def test_workers_return_what_this_process_would(
    split: Split, workers: int, method: str, persistent: bool
) -> None:
    """Workers that persist must hear of each new epoch, which reached them before they started."""
    samples = SplitDataset(split, crop=32, transform=jittered)
    expected = passes(samples, (0, 1, 5))
    found = passes(
        samples,
        (0, 1, 5),
        num_workers=workers,
        multiprocessing_context=method,
        persistent_workers=persistent,
    )
    assert not torch.equal(expected[0], expected[1])
    for one, other in zip(expected, found, strict=True):
        assert torch.equal(one, other)


def test_a_copy_that_was_pickled_tells_its_workers_the_epoch_too(split: Split) -> None:
    samples = SplitDataset(split, crop=32, transform=jittered)
    for twin in (pickle.loads(pickle.dumps(samples)), copy.deepcopy(samples)):
        options = {"num_workers": 1, "multiprocessing_context": "fork", "persistent_workers": True}
        assert torch.equal(passes(twin, (3, 4), **options)[1], passes(samples, (4,))[0])
    samples.set_epoch(9)
    assert not torch.equal(twin[0], samples[0])  # copies have epochs of their own


def test_a_window_is_cut_out_of_all_maps_alike(split: Split) -> None:
    samples = SplitDataset(split, crop=24, maps=MAPS, seed=3)
    for index in range(len(split)):
        sample, whole = samples[index], split.read(index, MAPS)
        assert {n: tuple(t.shape) for n, t in sample.items()} == {
            **dict.fromkeys(("input", "label", "over"), (3, 24, 24)),
            "texture": (1, 24, 24),
            "edge": (1, 24, 24),
            "mask": (24, 24),
        }
        assert {t.dtype for n, t in sample.items() if n != "mask"} == {torch.float32}
        assert sample["mask"].dtype == torch.int64
        assert all(t.is_contiguous() for t in sample.values())
        pixels = {
            name: (t * (1 if name in ("edge", "mask") else 255)).round().numpy().astype(np.int64)
            for name, t in sample.items()
        }
        height, width = split.shapes[index]
        places = [
            (top, left)
            for top in range(max(height - 23, 1))
            for left in range(max(width - 23, 1))
            if all(
                np.array_equal(
                    np.moveaxis(pixels[n], 0, -1).squeeze() if n != "mask" else pixels[n],
                    padded(whole[n], 24, void=n == "mask")[top : top + 24, left : left + 24],
                )
                for n in MAPS
            )
        ]
        assert places


def padded(pixels: np.ndarray[Any, Any], side: int, *, void: bool) -> np.ndarray[Any, Any]:
    """Mirror a map that is lower than a window, see the photograph of 20 x 90 pixels."""
    missing = [(0, max(0, side - pixels.shape[0])), (0, 0), (0, 0)][: pixels.ndim]
    if void:
        return np.pad(pixels, missing, constant_values=VOID)
    return np.pad(pixels, missing, mode="symmetric")


def test_windows_depend_on_seed_epoch_and_index_alone(split: Split) -> None:
    samples, other = SplitDataset(split, crop=16, seed=1), SplitDataset(split, crop=16, seed=2)
    first = [samples[i]["input"] for i in range(len(split))]
    backwards = [samples[i]["input"] for i in reversed(range(-len(split), 0))]
    assert all(map(torch.equal, first, reversed(backwards)))
    assert not all(torch.equal(first[i], other[i]["input"]) for i in range(len(split)))
    before = torch.random.get_rng_state()
    SplitDataset(split, transform=jittered)[0]
    assert torch.equal(torch.random.get_rng_state(), before)


def test_without_a_crop_samples_are_whole(data_dir: Path) -> None:
    split = open_dataset(data_dir).split("val")
    for index, sample in enumerate(DataLoader(SplitDataset(split, maps=["label"]))):
        height, width = split.shapes[index]
        assert sample["label"].shape == (1, 3, height, width)
        expected = split.read(index, ["label"])["label"]
        assert np.array_equal((sample["label"][0] * 255).round().permute(1, 2, 0), expected)


def test_misuse_is_named_before_a_worker_starts(split: Split) -> None:
    with pytest.raises(ValueError, match=r"no map 'inputs'; the maps of this dataset are label"):
        SplitDataset(split, maps=["inputs"])
    with pytest.raises(ValueError, match="crop must be at least 1, got 0"):
        SplitDataset(split, crop=0)
    with pytest.raises(TypeError, match="crop must be a whole number"):
        SplitDataset(split, crop=1.5)  # type: ignore[arg-type]
    samples = SplitDataset(split, crop=8)
    with pytest.raises(ValueError, match="epoch must be at least 0, got -1"):
        samples.set_epoch(-1)
    with pytest.raises(IndexError, match="sample 8 requested of 8 samples"):
        samples[8]


def test_a_damaged_shard_is_named_by_a_worker(data_dir: Path, tmp_path: Path) -> None:
    for file in data_dir.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    samples = SplitDataset(open_dataset(tmp_path).split("train"), crop=8)
    shard = next(tmp_path.glob("train*.h5"))
    shard.write_bytes(shard.read_bytes()[:-100])
    loader = DataLoader(samples, num_workers=1, multiprocessing_context="fork")
    with pytest.raises(DatasetError, match=shard.name):
        next(iter(loader))
