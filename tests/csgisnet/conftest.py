"""A small dataset, built the way users build theirs, and what a quick run on it takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from csgisnet.checkpoints.segmenters import save_segmenter
from csgisnet.networks.segmenter import Segmenter, SegmenterConfig
from csgisnet.networks.smoothing import NetworkConfig
from csgisnet.objective.config import LossConfig
from csgisnet.training.config import Config, RunConfig, SegmenterRun
from csgisnet.training.data import DataConfig
from csgisnet.training.optimise import OptimizerConfig, ScheduleConfig
from vocsmooth.dataset.build import build_dataset
from vocsmooth.maps.recipe import Labels, Negative, Operator, Recipe, Shards
from vocsmooth.maps.texture_settings import Textures
from vocsmooth.sources.tree import Entry, write_tree

SHAPES = ((64, 80), (72, 60), (20, 90), (64, 64), (80, 64), (60, 72))
"""Height and width of the photographs; the third is smaller than the patches of 32."""

SEGMENTER = SegmenterConfig(width=0.125, head_width=8)

CONFIG = Config(
    network=NetworkConfig(
        width=8, blocks=1, coarse_blocks=1, refine_blocks=1, shuffle=2, skip=True
    ),
    losses=LossConfig(edge=1.0),
    data=DataConfig(patch=32, batch_size=4),
    optimizer=OptimizerConfig(ema_decay=0.5),
    schedule=ScheduleConfig(warmup=2),
    run=RunConfig(
        steps=12,
        precision="float32",
        check_teacher=False,
        log_every=3,
        validate_every=6,
        checkpoint_every=2,
    ),
    segmenter=SegmenterRun(network=SEGMENTER, steps=6, batch_size=4, patch=32),
)
"""Settings under which a run takes about a second."""


@pytest.fixture(scope="session")
def voc_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six photographs of a disc on a ground: four to train on, two for validation."""
    root = tmp_path_factory.mktemp("voc")
    rng = np.random.default_rng(1)

    def draw(number: int, height: int, width: int) -> Entry:
        y, x = np.mgrid[:height, :width]
        disc = np.hypot(y - height / 2, x - width / 2) < min(height, width) / 3
        bright, dark = rng.integers(120, 250, 3), rng.integers(10, 110, 3)
        image = np.where(disc[..., None], bright, dark).astype(np.uint8)
        return Entry(f"p{number}", image, (disc * (number + 1)).astype(np.uint8))

    splits = {"train": ["p0", "p1", "p2", "p3"], "val": ["p4", "p5"]}
    entries = [draw(number, *shape) for number, shape in enumerate(SHAPES)]
    write_tree(root, splits, entries, sources="drawn for tests", suffix=".jpg")
    return root


@pytest.fixture(scope="session")
def data_dir(voc_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of the tree: 8 samples to train on, 4 for validation."""
    recipe = Recipe(
        labels=Labels(fixed=Operator(operator="guided", params={"radius": 2})),
        textures=Textures(count=2, scale=(0.2, 0.3)),
        negatives=(
            Negative(name="over", operator="guided", params={"radius": 6, "eps": 0.1}),
            Negative(name="under", operator="guided", params={"eps": 0.001}, of="input"),
        ),
        shards=Shards(images=3),
    )
    out = tmp_path_factory.mktemp("dataset") / "data"
    build_dataset(voc_tree, out, recipe, jobs=1)
    return out


@pytest.fixture(scope="session")
def segmenter_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained segmenter, teacher enough for tests."""
    path = tmp_path_factory.mktemp("teacher") / "segmenter.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_segmenter(path, Segmenter(SEGMENTER))
    return path


@pytest.fixture
def config() -> Config:
    """Settings under which a run takes about a second."""
    return CONFIG
