"""Validation: known scores for known networks, shared among processes, on full-size images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from csgisnet.evaluation.metrics import psnr, ssim
from csgisnet.networks.levels import at_level
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from csgisnet.prediction.smoother import Smoother
from csgisnet.training.config import Config
from csgisnet.training.data import DataConfig
from csgisnet.training.distributed import Processes
from csgisnet.training.validate import Validation, choose_samples, draw_panel, score
from vocsmooth.shards.reader import open_dataset

ALONE = Processes(device=torch.device("cpu"))


class Darken(Smoother):
    """Takes 0.1 off every pixel."""

    def __init__(self) -> None:
        small = NetworkConfig(width=1, blocks=1, coarse_blocks=1, refine_blocks=1)
        super().__init__(SmoothingNetwork(small), device="cpu")

    def smooth(self, image: NDArray[np.float32], strength: float = 1.0) -> NDArray[np.float32]:
        darker: NDArray[np.float32] = np.clip(image - np.float32(0.1 * strength), 0, 1)
        return darker


def test_scores_are_means_over_full_size_images(data_dir: Path) -> None:
    split = open_dataset(data_dir).split("val")
    found = score(Darken(), split, [0, 2], ALONE)
    expected = []
    for index in (0, 2):
        maps = split.read(index, ("input", "label"))
        image, label = (maps[n].astype(np.float32) / 255 for n in ("input", "label"))
        dark = np.clip(image - 0.1, 0, 1)
        expected.append(
            [psnr(image, label), psnr(dark, label), ssim(image, label), ssim(dark, label)]
        )
    means = np.mean(expected, axis=0)
    assert found.samples == 2
    assert [found.psnr_input, found.psnr_result] == pytest.approx(means[:2], abs=1e-4)
    assert [found.ssim_input, found.ssim_result] == pytest.approx(means[2:], abs=1e-5)


def test_a_network_that_learns_levels_is_measured_at_that_of_exact_labels(data_dir: Path) -> None:
    torch.manual_seed(1)
    sizes = NetworkConfig(width=8, blocks=1, coarse_blocks=0, refine_blocks=0, level=True)
    network = SmoothingNetwork(sizes).eval()
    with torch.no_grad():
        network.descriptor.conv_in.weight[:, -1] *= 5  # so that the level matters
    split = open_dataset(data_dir).split("val")

    def found(passes: int, level: float) -> float:
        config = Config(data=DataConfig(level_passes=passes))
        return Validation(split, config, ALONE).score(at_level(network, level)).psnr_result

    assert found(1, 0.9) == found(1, 0.0) == found(0, 0.0)
    assert found(0, 0.9) != found(0, 0.0)


def test_inputs_are_measured_once_a_run(
    data_dir: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[int] = []

    def counted(image: NDArray[np.float32], label: NDArray[np.float32]) -> float:
        compared.append(len(compared))
        return ssim(image, label)

    monkeypatch.setattr("csgisnet.training.validate.ssim", counted)
    validation = Validation(open_dataset(data_dir).split("val"), config, ALONE)
    network = SmoothingNetwork(config.network).eval()
    first = validation.score(network)
    assert len(compared) == 2 * first.samples
    assert validation.score(network) == first
    assert len(compared) == 3 * first.samples


def test_samples_are_spread_evenly(data_dir: Path) -> None:
    split = open_dataset(data_dir).split("train")
    assert choose_samples(split, 0) == list(range(8))
    assert choose_samples(split, 3) == [0, 4, 7]
    assert choose_samples(split, 100) == list(range(8))


def test_a_panel_shows_input_result_label_and_negatives(data_dir: Path) -> None:
    split = open_dataset(data_dir).split("val")
    panel = draw_panel(Darken(), split, [0, 1], ("over", "input"))
    assert panel.dtype == torch.uint8
    assert panel.shape == (3, 2 * 192, 4 * 192)
    maps = split.read(0, ("input", "label", "over"))
    height, width = maps["label"].shape[:2]
    tiles = [panel[:, :height, i * 192 : i * 192 + width].permute(1, 2, 0) for i in range(4)]
    for tile, name in zip((tiles[0], tiles[2], tiles[3]), ("input", "label", "over"), strict=True):
        np.testing.assert_array_equal(tile.numpy(), maps[name])
    assert tiles[1].float().mean() < tiles[0].float().mean()


def test_a_network_gone_wrong_shows_black_instead_of_failing(data_dir: Path) -> None:
    """The loss says so at the next step, and saves its batch."""

    class Broken(Darken):
        def smooth(self, image: NDArray[np.float32], strength: float = 1.0) -> NDArray[np.float32]:
            return np.full_like(image, np.nan)

    panel = draw_panel(Broken(), open_dataset(data_dir).split("val"), [0], ("input",))
    assert not panel[:, :, 192:384].any()
    assert panel[:, :, :192].any()
