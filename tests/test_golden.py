"""Golden values: what the operators, a build, a training run and a prediction gave when recorded.

A change that is meant to change nothing leaves the recorded values alone. A change that is meant to
change results records them anew with `pytest tests/test_golden.py --record-golden`, and the
difference in the JSON file shows which results it changed.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import csgisnet
import vocsmooth
from csgisnet.checkpoints.segmenters import save_segmenter
from csgisnet.networks.segmenter import Segmenter, SegmenterConfig
from csgisnet.networks.smoothing import NetworkConfig
from csgisnet.objective.config import LossConfig
from csgisnet.training.config import Config, RunConfig
from csgisnet.training.data import DataConfig
from csgisnet.training.train import train
from vocsmooth.dataset.build import build_dataset
from vocsmooth.maps.recipe import Grid, Labels, Negative, Recipe, Shards
from vocsmooth.maps.texture_settings import Textures
from vocsmooth.sources.tree import Entry, write_tree

RECORD = Path(__file__).with_name("golden") / "values.json"

PIXELS_COME_FROM = ("h5py", "numpy", "opencv-contrib-python", "pillow", "scikit-image", "scipy")
"""Packages whose other versions may give other bytes; the record holds for these versions."""

RECIPE = Recipe(
    labels=Labels(
        candidates=(
            Grid(operator="rtv", values={"lam": (0.004, 0.01), "sigma": (2.0,)}),
            Grid(operator="l0", values={"lam": (0.01, 0.03)}),
        ),
        min_score=0.0,
    ),
    textures=Textures(count=2),
    negatives=(
        Negative(name="over", operator="rtv", params={"lam": 0.06, "sigma": 6.0}),
        Negative(name="under", operator="guided", params={"eps": 0.004}, of="input"),
    ),
    shards=Shards(images=2),
)

CONFIG = Config(
    network=NetworkConfig(
        width=8, blocks=1, coarse_blocks=1, refine_blocks=1, shuffle=2, skip=True
    ),
    losses=LossConfig(edge=1.0, tv=0.1),
    data=DataConfig(patch=32, batch_size=2, negatives=("over", "under", "input")),
    run=RunConfig(
        check_teacher=False,
        steps=12,
        precision="float32",
        log_every=1,
        validate_every=12,
        checkpoint_every=12,
    ),
)
"""Every term has a weight."""


def drawing(height: int = 48, width: int = 64, seed: int = 0) -> NDArray[np.uint8]:
    """Two areas under noise: something to smooth."""
    rng = np.random.default_rng(seed)
    base = np.full((height, width, 3), (60, 90, 120))
    base[height // 4 : height // 2 + 5, width // 3 : width - 9] = (200, 140, 80)
    return np.clip(base + rng.integers(-25, 26, base.shape), 0, 255).astype(np.uint8)


def draw_tree(root: Path) -> None:
    """Write five photographs with masks in VOC's layout, as PNG files: no decoder may differ."""
    entries = []
    for number in range(5):
        image = drawing(40 + 3 * number, 64 - 5 * number, seed=number)
        mask = np.where(image[..., 0] > 130, number + 1, 0).astype(np.uint8)
        mask[:2] = 255
        entries.append(Entry(f"p{number}", image, mask))
    splits = {"train": ["p0", "p1", "p2"], "val": ["p3", "p4"]}
    write_tree(root, splits, entries, sources="drawn for tests", suffix=".png")


def operator_values() -> dict[str, float]:
    """Return one number for each operator: how far it moves the pixels, weighted by their place."""
    image = drawing().astype(np.float64) / 255
    weights = np.linspace(0, 1, image.size).reshape(image.shape)
    return {
        name: float((np.abs(vocsmooth.smooth(image, name) - image) * weights).mean())
        for name in sorted(vocsmooth.OPERATORS)
    }


def shard_hashes(folder: Path) -> dict[str, str]:
    """Build the tiny dataset in `folder` and return the SHA-256 of each shard."""
    draw_tree(folder / "voc")
    build_dataset(folder / "voc", folder / "data", RECIPE, jobs=1)
    shards = sorted((folder / "data").glob("*.h5"))
    return {shard.name: hashlib.sha256(shard.read_bytes()).hexdigest() for shard in shards}


def training_losses(folder: Path) -> list[dict[str, float]]:
    """Train twelve steps on the dataset in `folder` and return each step's terms."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_segmenter(
            folder / "teacher.safetensors", Segmenter(SegmenterConfig(width=0.125, head_width=8))
        )
    train(
        folder / "data",
        folder / "run",
        CONFIG,
        device="cpu",
        segmenter=folder / "teacher.safetensors",
        report=lambda _: None,
    )
    lines = [json.loads(line) for line in (folder / "run/metrics.jsonl").read_text().splitlines()]
    return [
        {t: line[t] for t in (*CONFIG.losses.terms, "loss")} for line in lines if "loss" in line
    ]


def prediction() -> list[list[list[int]]]:
    """Return the bundled network's result for a small drawing, every third pixel."""
    smoother = csgisnet.load(device="cpu", precision="float32")
    smooth = smoother.smooth(drawing().astype(np.float32) / np.float32(255))
    pixels: list[list[list[int]]] = np.rint(smooth * 255).astype(int)[::3, ::3].tolist()
    return pixels


def versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in PIXELS_COME_FROM}


def same_operator(now: float, then: float) -> bool:
    return now == pytest.approx(then, rel=1e-3)


def same_step(now: dict[str, float], then: dict[str, float]) -> bool:
    return now == pytest.approx(then, rel=2e-3)


def same_prediction(now: list[list[list[int]]], then: list[list[list[int]]]) -> bool:
    if np.shape(now) != np.shape(then):
        return False
    difference = np.abs(np.array(now) - np.array(then))
    return bool(difference.max() <= 1 and (difference > 0).mean() < 0.01)


def write_record() -> None:
    """Record anew what has changed; what only rounds differently on this machine stays."""
    old = json.loads(RECORD.read_text())
    with tempfile.TemporaryDirectory() as name:
        new: dict[str, Any] = {
            "versions": versions(),
            "operators": operator_values(),
            "shards": shard_hashes(Path(name)),
            "losses": training_losses(Path(name)),
            "prediction": prediction(),
        }
    for name, then in old["operators"].items():
        if name in new["operators"] and same_operator(new["operators"][name], then):
            new["operators"][name] = then
    for step, (now, then) in enumerate(zip(new["losses"], old["losses"], strict=False)):
        if same_step(now, then):
            new["losses"][step] = then
    if same_prediction(new["prediction"], old["prediction"]):
        new["prediction"] = old["prediction"]
    lines = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in new.items())
    RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n")


@pytest.fixture(scope="module")
def record(request: pytest.FixtureRequest) -> dict[str, Any]:
    if request.config.getoption("record_golden"):
        write_record()
    content: dict[str, Any] = json.loads(RECORD.read_text())
    return content


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder that holds the tiny dataset."""
    return tmp_path_factory.mktemp("golden")


def test_operators_give_the_recorded_values(record: dict[str, Any]) -> None:
    values = operator_values()
    assert sorted(values) == sorted(record["operators"])
    changed = [
        name for name, now in values.items() if not same_operator(now, record["operators"][name])
    ]
    assert changed == []


def test_shards_have_the_recorded_bytes_and_training_the_recorded_losses(
    record: dict[str, Any], folder: Path
) -> None:
    hashes = shard_hashes(folder)
    assert sorted(hashes) == sorted(record["shards"])
    if versions() == record["versions"]:
        assert hashes == record["shards"]
    losses = training_losses(folder)
    assert len(losses) == len(record["losses"]) == CONFIG.run.steps
    for step, (now, then) in enumerate(zip(losses, record["losses"], strict=True)):
        assert all(value != 0 for value in now.values())
        assert same_step(now, then), f"step {step + 1}: {now}, recorded {then}"


def test_a_prediction_has_the_recorded_pixels(record: dict[str, Any]) -> None:
    assert same_prediction(prediction(), record["prediction"])
