"""Batches: a pure function of their number, and full for any number of samples and processes."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from csgisnet.errors import ConfigError
from csgisnet.objective.losses import Batch
from csgisnet.training.augment import AugmentConfig, draw_views, sample_keys
from csgisnet.training.config import Config
from csgisnet.training.data import BatchSource, DataConfig, filled, read_windows
from vocsmooth.classes import VOID
from vocsmooth.errors import DatasetError, UnknownNameError
from vocsmooth.shards.reader import open_dataset

CPU = torch.device("cpu")


def source_of(
    data_dir: Path, config: Config, rank: int = 0, world: int = 1, **changes: object
) -> BatchSource:
    data = dataclasses.replace(config.data, **changes)  # type: ignore[arg-type]
    dataset = open_dataset(data_dir)
    return BatchSource(
        dataset, data, config.augment, seed=config.seed, device=CPU, rank=rank, world=world
    )


def test_a_batch_holds_aligned_maps_in_their_ranges(data_dir: Path, config: Config) -> None:
    batch = source_of(data_dir, config).assemble(source_of(data_dir, config).read(0))
    assert batch.input.shape == batch.label.shape == (4, 3, 32, 32)
    assert batch.negatives.shape == (4, 3, 3, 32, 32)
    assert torch.equal(batch.negatives[:, 2], batch.input)
    assert (batch.edge.shape, batch.mask.shape) == ((4, 1, 32, 32), (4, 32, 32))
    assert (batch.edge.dtype, batch.mask.dtype) == (torch.float32, torch.int64)
    assert set(batch.edge.flatten().tolist()) <= {0.0, 1.0}
    assert set(batch.mask.flatten().tolist()) <= {*range(21), VOID}
    assert 0 <= batch.input.min() < batch.input.max() <= 1
    texture = (batch.input - batch.label) * 255
    inside = (batch.input > 0) & (batch.input < 1)
    spread = (texture - texture.mean(dim=1, keepdim=True)).abs()
    assert spread[inside.all(dim=1, keepdim=True).expand_as(spread)].max() < 1e-3  # grey texture


def test_negatives_go_through_all_that_their_input_does(data_dir: Path, config: Config) -> None:
    everything = AugmentConfig(
        max_angle=15.0, scale=(0.8, 1.2), brightness=0.2, contrast=0.3, saturation=0.5
    )
    untouched = source_of(data_dir, config)
    source = source_of(data_dir, dataclasses.replace(config, augment=everything))
    for number in range(5):
        batch = source.assemble(source.read(number))
        torch.testing.assert_close(batch.negatives[:, 2], batch.input, rtol=0, atol=1e-6)
        before = untouched.assemble(untouched.read(number))
        assert (batch.input.mean() - before.input.mean()).abs() > 1e-3


def test_batches_come_from_any_split(data_dir: Path, config: Config) -> None:
    dataset, data = open_dataset(data_dir), dataclasses.replace(config.data, batch_size=2)
    labels = {}
    for split in ("train", "val"):
        source = BatchSource(dataset, data, AugmentConfig(), seed=1, device=CPU, split=split)
        labels[split] = next(source.batches(0, 1)).label
        colours = {tuple(c) for c in labels[split].movedim(1, -1).flatten(0, 2).tolist()}
        known: set[tuple[float, ...]] = set()
        for index in range(len(dataset.split(split))):
            label = dataset.split(split).read(index, ["label"])["label"]
            known |= {tuple(c) for c in (label.reshape(-1, 3) / np.float32(255)).tolist()}
        assert colours <= known
    assert not torch.equal(labels["train"], labels["val"])
    with pytest.raises(UnknownNameError, match="no split 'vall'"):
        BatchSource(dataset, data, AugmentConfig(), seed=1, device=CPU, split="vall")


@pytest.mark.parametrize("spoilt", [{"noise": 0.05}, {"jpeg": 30}, {"noise": 0.05, "jpeg": 30}])
def test_about_half_of_the_inputs_are_spoilt_and_nothing_else(
    data_dir: Path, config: Config, spoilt: dict[str, Any]
) -> None:
    augment = dataclasses.replace(config.augment, **spoilt)
    source = source_of(data_dir, dataclasses.replace(config, augment=augment))
    clean, changed, count = source_of(data_dir, config), 0, 0
    for number in range(10):
        batch, before = (s.assemble(s.read(number)) for s in (source, clean))
        for name in ("label", "edge", "mask", "level"):
            assert torch.equal(getattr(batch, name), getattr(before, name)), name
        assert torch.equal(batch.negatives[:, 2], batch.input)
        apart = (batch.input - before.input).abs().flatten(1).mean(dim=1)
        assert apart.max() < 0.1
        changed, count = changed + int((apart > 0).sum()), count + len(apart)
    expected = 1 - 0.5 ** len(spoilt)
    assert abs(changed / count - expected) < 0.25


@pytest.mark.parametrize(
    "augment",
    [AugmentConfig(), AugmentConfig(max_angle=15.0), AugmentConfig(noise=0.05, jpeg=30)],
)
def test_processes_share_the_batches_of_one(
    data_dir: Path, config: Config, augment: AugmentConfig
) -> None:
    config = dataclasses.replace(config, augment=augment)
    check_shares(data_dir, config)


def test_processes_share_the_batches_of_a_buffer(data_dir: Path, config: Config) -> None:
    data = dataclasses.replace(config.data, shuffle_buffer=2)
    check_shares(data_dir, dataclasses.replace(config, data=data))


def check_shares(data_dir: Path, config: Config) -> None:
    """Check that the parts of two processes make up the batches of one."""
    alone = list(source_of(data_dir, config).batches(0, 5))
    shares = [list(source_of(data_dir, config, rank, 2).batches(0, 5)) for rank in (0, 1)]
    for whole, *parts in zip(alone, *shares, strict=True):
        joined = Batch(*(torch.cat(maps) for maps in zip(*parts, strict=True)))
        assert all(torch.equal(a, b) for a, b in zip(whole, joined, strict=True))


def test_a_batch_depends_on_its_number_only(data_dir: Path, config: Config) -> None:
    first = list(source_of(data_dir, config).batches(0, 6))
    later = list(source_of(data_dir, config).batches(4, 6))
    for a, b in zip(first[4:], later, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert not torch.equal(first[0].input, first[2].input)


def test_a_small_photograph_is_reflected_and_its_filling_is_void(data_dir: Path) -> None:
    split = open_dataset(data_dir).split("train")
    small = split.ids.index("p2")
    indices = np.array([small, 0])
    views = draw_views(
        AugmentConfig(), 32, sample_keys(1, np.zeros(2, int), indices), split.shapes[indices]
    )
    windows = read_windows(split, indices, views, 32, ("label", "mask"))
    whole, left = split.read(small, ("label", "mask")), views.lefts[0]
    np.testing.assert_array_equal(windows["label"][0, :20], whole["label"][:, left : left + 32])
    np.testing.assert_array_equal(windows["label"][0, 20:], windows["label"][0, 8:20][::-1])
    assert (windows["mask"][0, 20:] == VOID).all()
    np.testing.assert_array_equal(windows["mask"][0, :20], whole["mask"][:, left : left + 32])
    crop = split.crop([0], views.tops[1:], views.lefts[1:], 32, ("label",))
    np.testing.assert_array_equal(windows["label"][1:], crop["label"])


def test_an_unknown_negative_is_an_error_that_names_the_nearest(
    data_dir: Path, config: Config
) -> None:
    with pytest.raises(ConfigError, match=r"'ovr'.*mean 'over'"):
        source_of(data_dir, config, negatives=("ovr",))


def test_a_batch_that_does_not_divide_is_an_error(data_dir: Path, config: Config) -> None:
    with pytest.raises(ConfigError, match="4 does not divide among 3"):
        source_of(data_dir, config, world=3)


def test_a_missing_split_is_an_error(data_dir: Path) -> None:
    with pytest.raises(UnknownNameError, match="no split 'test'"):
        filled(open_dataset(data_dir), "test")


def test_an_error_while_reading_ahead_reaches_the_caller(
    data_dir: Path, config: Config, tmp_path: Path
) -> None:
    copy = shutil.copytree(data_dir, tmp_path / "copy")
    source = source_of(copy, config)
    for path in copy.glob("train-*.h5"):
        path.unlink()
    with pytest.raises(DatasetError, match=r"train-\d+"):
        next(source.batches(0, 3))


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="patch must be at least 1"):
        DataConfig(patch=0)
    with pytest.raises(ValueError, match="shuffle_buffer must be at least 0, got -1"):
        DataConfig(shuffle_buffer=-1)
    with pytest.raises(ValueError, match=r"one_pass_level must be in \[0, 1\), got 1.0"):
        DataConfig(level_passes=1, one_pass_level=1.0)
    with pytest.raises(ValueError, match="one_pass_level needs level_passes"):
        DataConfig(one_pass_level=0.5)


def test_a_buffer_of_shards_changes_the_order_and_a_later_start_does_not(
    data_dir: Path, config: Config
) -> None:
    source = source_of(data_dir, config, shuffle_buffer=1)
    first = list(source.batches(0, 6))
    later = list(source_of(data_dir, config, shuffle_buffer=1).batches(4, 6))
    for a, b in zip(first[4:], later, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    usual = list(source_of(data_dir, config).batches(0, 6))
    assert any(not torch.equal(a.input, b.input) for a, b in zip(first, usual, strict=True))
