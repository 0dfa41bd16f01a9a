"""Teachers are judged before they judge."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from csgisnet.checkpoints.segmenters import save_segmenter
from csgisnet.errors import CheckpointError
from csgisnet.networks.segmenter import Segmenter, SegmenterConfig
from csgisnet.objective.config import LossConfig
from csgisnet.objective.teachers import load_teachers


def write_segmenter(path: Path, num_classes: int) -> Path:
    config = SegmenterConfig(width=0.125, head_width=8, num_classes=num_classes)
    with torch.random.fork_rng():
        save_segmenter(path, Segmenter(config))
    return path


@pytest.mark.parametrize("num_classes", [12, 19, 20])
def test_a_segmenter_of_fewer_classes_than_masks_have_is_refused(
    num_classes: int, tmp_path: Path
) -> None:
    path = write_segmenter(tmp_path / "teacher.safetensors", num_classes)
    with pytest.raises(CheckpointError, match=rf"tells {num_classes} classes.*21"):
        load_teachers(LossConfig(semantic=0.01, contrast=0), path, None)


def test_it_serves_as_a_feature_extractor_and_with_more_classes(tmp_path: Path) -> None:
    few = write_segmenter(tmp_path / "few.safetensors", 12)
    assert load_teachers(LossConfig(semantic=0), few, None).features is not None
    many = write_segmenter(tmp_path / "many.safetensors", 22)
    assert load_teachers(LossConfig(), many, None).segmenter is not None
