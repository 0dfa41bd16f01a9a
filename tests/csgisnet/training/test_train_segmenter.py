"""The segmenter learns from the masks, and its score is what its definition says."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from csgisnet.checkpoints.format import load_weights
from csgisnet.checkpoints.segmenters import load_segmenter
from csgisnet.objective.teachers import load_teachers
from csgisnet.training.config import Config
from csgisnet.training.distributed import Processes
from csgisnet.training.teacher import score_segmenter
from csgisnet.training.train_segmenter import train_segmenter
from vocsmooth.dataset.build import build_dataset
from vocsmooth.errors import DatasetError, InputError
from vocsmooth.maps.recipe import Labels, Negative, Operator, Recipe
from vocsmooth.shards.reader import open_dataset

ALONE = Processes(device=torch.device("cpu"))


def test_training_writes_a_segmenter_that_loads(
    data_dir: Path, config: Config, tmp_path: Path
) -> None:
    lines: list[str] = []
    out = tmp_path / "new" / "segmenter.safetensors"
    summary = train_segmenter(data_dir, out, config, device="cpu", report=lines.append)
    assert (summary.steps, summary.path) == (6, out)
    segmenter = load_segmenter(out)
    assert segmenter.config == config.segmenter.network
    scores = score_segmenter(segmenter, open_dataset(data_dir).split("val"), ALONE)
    assert (summary.mean_iou, summary.constant_iou) == (scores.mean_iou, scores.constant_iou)
    metadata = load_weights(out, "segmenter").metadata
    assert {name: metadata[name] for name in vars(scores)} == vars(scores)
    assert any(scores.describe() in line for line in lines)


def test_the_same_seed_gives_the_same_weights(
    data_dir: Path, config: Config, tmp_path: Path
) -> None:
    files = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    for file in files:
        train_segmenter(data_dir, file, config, device="cpu", report=lambda _: None)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_two_classes_learn_boundaries_and_teach_them(
    data_dir: Path, config: Config, tmp_path: Path
) -> None:
    network = dataclasses.replace(config.segmenter.network, num_classes=2)
    segmenter = dataclasses.replace(config.segmenter, network=network)
    lines: list[str] = []
    summary = train_segmenter(
        data_dir,
        tmp_path / "boundaries.safetensors",
        dataclasses.replace(config, segmenter=segmenter),
        device="cpu",
        report=lines.append,
    )
    assert any("calling every pixel 'inside' would have" in line for line in lines)
    assert 0 < summary.constant_iou < 0.5  # one of two classes is never right
    teachers = load_teachers(config.losses, summary.path, None)
    assert teachers.segmenter is not None


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


@pytest.fixture
def partly_void(voc_tree: Path, tmp_path: Path) -> Path:
    """A copy of the tree in which three of four training masks are void."""
    tree = Path(shutil.copytree(voc_tree, tmp_path / "tree"))
    erase(tree, "p0", "p1", "p2")
    return tree


def erase(tree: Path, *ids: str) -> None:
    """Make masks void."""
    for name in ids:
        path = tree / f"SegmentationClass/{name}.png"
        with Image.open(path) as mask:
            void = np.full((mask.height, mask.width), 255, np.uint8)
        Image.fromarray(void).save(path)


def build(tree: Path) -> Path:
    """Build a dataset beside a tree."""
    guided = Operator(operator="guided")
    negatives = tuple(Negative(name=name, operator="guided") for name in ("over", "under"))
    recipe = Recipe(labels=Labels(fixed=guided), negatives=negatives)
    build_dataset(tree, tree.parent / "dataset", recipe, jobs=1)
    return tree.parent / "dataset"


def test_a_batch_without_classes_teaches_nothing_and_breaks_nothing(
    partly_void: Path, config: Config, tmp_path: Path
) -> None:
    small = dataclasses.replace(config.segmenter, batch_size=2, steps=12)
    data = build(partly_void)
    train_segmenter(data, tmp_path / "s", dataclasses.replace(config, segmenter=small))
    weights = load_segmenter(tmp_path / "s").state_dict().values()
    assert all(bool(tensor.isfinite().all()) for tensor in weights)


@pytest.mark.parametrize(("split", "ids"), [("train", ("p3",)), ("val", ("p4", "p5"))])
def test_void_masks_are_an_error_before_the_training(
    split: str, ids: tuple[str, ...], partly_void: Path, config: Config, tmp_path: Path
) -> None:
    erase(partly_void, *ids)
    with pytest.raises(DatasetError, match=f"split '{split}' are void everywhere"):
        train_segmenter(build(partly_void), tmp_path / "s", config)
