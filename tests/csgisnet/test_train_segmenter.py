"""The segmenter learns from the masks, and its score is what its definition says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from csgisnet.config import Config
from csgisnet.segmenter import Segmenter, SegmenterConfig, load_segmenter
from csgisnet.train_segmenter import mean_iou, train_segmenter
from vocsmooth.errors import InputError
from vocsmooth.shards import open_dataset

CPU = torch.device("cpu")


class Oracle(Segmenter):
    """Finds the disc by its brightness, which no other pixel of the label has, as class 5 or 6."""

    def __init__(self, guess: int) -> None:
        nn.Module.__init__(self)
        self.config = SegmenterConfig()
        self.guess = guess

    def forward(self, image: Tensor) -> Tensor:
        disc = (image.mean(dim=1) > 0.4).long() * self.guess
        return nn.functional.one_hot(disc, 21).permute(0, 3, 1, 2).float()


def test_training_writes_a_segmenter_that_loads(
    data_dir: Path, config: Config, tmp_path: Path
) -> None:
    lines: list[str] = []
    out = tmp_path / "new" / "segmenter.safetensors"
    summary = train_segmenter(data_dir, out, config, device="cpu", report=lines.append)
    assert (summary.steps, summary.path) == (6, out)
    segmenter = load_segmenter(out)
    assert segmenter.config == config.segmenter.network
    split = open_dataset(data_dir).split("val")
    assert mean_iou(segmenter, split, CPU) == pytest.approx(summary.mean_iou)
    assert "mean IoU" in lines[-1]


def test_the_same_seed_gives_the_same_weights(
    data_dir: Path, config: Config, tmp_path: Path
) -> None:
    files = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    for file in files:
        train_segmenter(data_dir, file, config, device="cpu", report=lambda _: None)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_mean_iou_counts_the_classes_in_the_masks(data_dir: Path) -> None:
    split = open_dataset(data_dir).split("val")  # discs of class 5 and class 6
    score = mean_iou(Oracle(5), split, CPU)
    background, five, six = 1.0, 0.5, 0.0  # all discs of about equal size are called class 5
    assert score == pytest.approx((background + five + six) / 3, abs=0.1)


def test_an_existing_file_is_kept(data_dir: Path, config: Config, tmp_path: Path) -> None:
    out = tmp_path / "mine.safetensors"
    out.write_bytes(b"mine")
    with pytest.raises(InputError, match="exists"):
        train_segmenter(data_dir, out, config, device="cpu")
    assert out.read_bytes() == b"mine"


def test_longer_training_learns_the_masks(data_dir: Path, config: Config, tmp_path: Path) -> None:
    longer = dataclasses.replace(
        config, segmenter=dataclasses.replace(config.segmenter, steps=40, lr=1e-2)
    )
    lines: list[str] = []
    train_segmenter(data_dir, tmp_path / "s", longer, device="cpu", report=lines.append)
    losses = [float(line.split()[-1]) for line in lines if "cross-entropy" in line]
    assert losses[-1] < 0.6 * losses[0]
