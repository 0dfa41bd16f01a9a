"""`csgisnet evaluate`: a dataset or two folders, operators given and tuned, one error each."""

from __future__ import annotations

import csv
import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from numpy.typing import NDArray
from PIL import Image

from csgisnet.checkpoints.networks import save_network
from csgisnet.evaluation.report import FILES
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from vocsmooth.files import sha256_file
from vocsmooth.operators.table import OPERATORS, smooth
from vocsmooth.operators.tuning import combinations
from vocsmooth.settings import describe_operator

Command = Callable[..., Result]

TINY = NetworkConfig(width=4, blocks=1, coarse_blocks=1, refine_blocks=1, shuffle=2, skip=True)


@pytest.fixture
def run(csgisnet: Command) -> Command:
    """The command, to be given its words."""
    return functools.partial(csgisnet, "evaluate")


def means(out: Path, measure: str = "psnr") -> dict[str, float]:
    content = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    return {name: values[measure]["mean"] for name, values in content["smoothers"].items()}


def decibels(image: NDArray[Any], label: NDArray[Any]) -> float:
    return float(-10 * np.log10(max(1e-10, np.mean((image.astype(np.float64) - label) ** 2))))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("net") / "best.safetensors"
    save_network(path, SmoothingNetwork(TINY))
    return path


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Three flat labels, and images that are labels with noise, one in a sub-folder."""
    root = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    for number, name in enumerate(("a b", "sub/é", "c")):
        label = np.full((20, 24, 3), 100 + number, np.uint8)
        image = (label + rng.normal(0, 12, label.shape)).round().astype(np.uint8)
        for folder, pixels, ending in (("in", image, "tif"), ("labels", label, "png")):
            path = root / folder / f"{name}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return root / "in", root / "labels"


def test_a_dataset_with_network_operators_and_tuning(
    run: Command, built: Path, checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report"
    words = ("--data", built, "--checkpoint", checkpoint.parent, "--device", "cpu", "--out", out)
    tuning = ("--tune-split", "train", "--tune-samples", 2)
    result = run(*words, *tuning, "--operator", "guided:radius=2,eps=0.02", "--operator", "l0")
    assert result.exit_code == 0, result.output
    assert {path.name for path in out.iterdir()} == set(FILES)
    content = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    tuned = {name: describe_operator(name, params) for name, params in content["tuned"].items()}
    assert list(content["smoothers"]) == [
        "input",
        str(checkpoint.parent),
        "guided:radius=2,eps=0.02",
        f"{tuned['guided']}, tuned",
        "l0",
        f"{tuned['l0']}, tuned",
    ]
    assert len(content["tuned_on"]) == 2
    assert content["split"] == "val"
    assert content["device"] == "cpu"
    assert content["index_sha256"] == sha256_file(built / "index.json")
    weights = {"file": str(checkpoint), "sha256": sha256_file(checkpoint)}
    assert content["checkpoints"] == {str(checkpoint.parent): weights}
    assert content.keys() >= {"numpy", "opencv", "torch", "vocsmooth", "kernels"}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert weights["sha256"] in page
    assert content["index_sha256"] in page
    assert f"| {checkpoint.parent} |" in result.stdout
    assert f"<h1>{checkpoint.parent} on " in page
    assert str(out / "report.html") in result.stdout
    assert len((out / "per_image.csv").read_text(encoding="utf-8").splitlines()) == 1 + 4 * 6


def test_two_folders_give_the_measures_of_their_pairs(
    run: Command, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    images, labels = folders
    out = tmp_path / "report"
    words = ("--images", images, "--labels", labels, "--out", out)
    result = run(*words, "--operator", "guided:radius=3")
    assert result.exit_code == 0, result.output
    expected: dict[str, list[float]] = {"input": [], "guided:radius=3": []}
    for path in images.rglob("*.tif"):
        image = (np.asarray(Image.open(path)) / 255).astype(np.float32)
        label = np.asarray(Image.open(labels / path.relative_to(images).with_suffix(".png"))) / 255
        expected["input"].append(decibels(image, label))
        expected["guided:radius=3"].append(decibels(smooth(image, "guided", radius=3), label))
    found = means(out)
    assert found == pytest.approx({k: float(np.mean(v)) for k, v in expected.items()}, abs=1e-4)
    csv = (out / "per_image.csv").read_text(encoding="utf-8")
    assert [line.split(",")[0] for line in csv.splitlines()[1::2]] == ["a b", "c", "sub/é"]


def test_operators_that_overshoot_are_measured_as_they_are_written(
    run: Command, tmp_path: Path
) -> None:
    steps = np.kron(np.arange(24).reshape(4, 6) % 2 * 255, np.ones((9, 9)))
    for folder in ("in", "labels"):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.repeat(steps[..., None], 3, 2).astype(np.uint8)).save(
            tmp_path / folder / "a.png"
        )
    image = np.repeat(steps[..., None], 3, 2).astype(np.float32) / 255
    results = {name: smooth(image, name) for name in OPERATORS}
    assert max(result.max() for result in results.values()) > 1
    expected = {name: decibels(np.clip(result, 0, 1), image) for name, result in results.items()}
    words = ("--images", tmp_path / "in", "--labels", tmp_path / "labels")
    tuning = ("--tune-images", tmp_path / "in", "--tune-labels", tmp_path / "labels")
    result = run(*words, *tuning, "--out", tmp_path / "r")
    assert result.exit_code == 0, result.output
    found = means(tmp_path / "r")
    assert {name: found[name] for name in OPERATORS} == pytest.approx(expected, abs=0.1)


def test_tuning_takes_the_best_of_the_grid(
    run: Command, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    images, labels = folders
    words = ("--images", images, "--labels", labels, "--operator", "guided")
    tuning = ("--tune-images", images, "--tune-labels", labels)
    assert run(*words, *tuning, "--out", tmp_path / "r").exit_code == 0
    best = json.loads((tmp_path / "r/summary.json").read_text(encoding="utf-8"))["tuned"]["guided"]
    scores = {}
    for params in combinations("guided"):
        levels = []
        for path in images.rglob("*.tif"):
            image = (np.asarray(Image.open(path)) / 255).astype(np.float32)
            label = Image.open(labels / path.relative_to(images).with_suffix(".png"))
            levels.append(decibels(smooth(image, "guided", **params), np.asarray(label) / 255))
        scores[describe_operator("guided", params)] = np.mean(levels)
    assert describe_operator("guided", best) == max(scores, key=scores.__getitem__)


def test_without_a_network_the_operators_are_compared(
    run: Command, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    images, labels = folders
    words = ("--images", images, "--labels", labels, "--operator", "guided", "--json")
    result = run(*words, "--out", tmp_path / "r")
    assert result.exit_code == 0, result.output
    assert "Without --checkpoint, this compares the operators only." in result.stderr
    page = (tmp_path / "r/report.html").read_text(encoding="utf-8")
    assert "<h1>1 operator on " in page
    assert json.loads(result.stdout) == json.loads((tmp_path / "r/summary.json").read_text())


def test_names_of_any_bytes_are_reported(run: Command, tmp_path: Path) -> None:
    names = [b"<img src=x onerror=alert(1)>", b"\xff\xfe", b"\x1b[31m", b"a\nb", b"a|b"]
    for folder in ("in", "labels"):
        (tmp_path / folder).mkdir()
        for name in names:
            Image.new("RGB", (24, 20)).save(tmp_path / folder / os.fsdecode(name + b".png"))
    words = ("--images", tmp_path / "in", "--labels", tmp_path / "labels", "--operator", "none")
    result = run(*words, "--out", tmp_path / "r")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "r/report.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page
    with (tmp_path / "r/per_image.csv").open(encoding="utf-8", newline="") as file:
        found = {row["image"] for row in csv.DictReader(file)}
    assert found == {n.decode() for n in names if n != b"\xff\xfe"} | {r"\udcff\udcfe"}


def test_folders_alone_can_be_measured(
    run: Command, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    images, labels = folders
    out = tmp_path / "r"
    words = ("--images", images, "--labels", labels, "--operator", "none", "--samples", 2)
    assert run(*words, "--out", out).exit_code == 0
    assert list(means(out)) == ["input"]
    assert len((out / "per_image.csv").read_text(encoding="utf-8").splitlines()) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Give --data, or --images and --labels"),
        (["--images", "IN"], "Give --data, or --images and --labels"),
        (["--data", "DATA", "--images", "IN"], "Give --data, or --images and --labels"),
        (["--data", "DATA", "--tune-split", "val"], "must differ"),
        (["--images", "IN", "--labels", "LABELS", "--tune-split", "train"], "Give --tune-split"),
        (["--images", "IN", "--labels", "LABELS", "--tune-images", "IN"], "--tune-labels"),
        (["--data", "DATA", "--operator", "rvt"], "Did you mean 'rtv'"),
        (["--data", "DATA", "--operator", "l0:radius=2"], "no parameter 'radius'"),
        (["--data", "DATA", "--operator", "l0:lam"], "NAME=VALUE"),
        (["--data", "DATA", "--operator", "l0:lam=many"], "lam must be a number, got 'many'"),
    ],
)
def test_misuse_is_refused_before_anything_is_written(
    run: Command,
    words: list[str],
    message: str,
    built: Path,
    folders: tuple[Path, Path],
    tmp_path: Path,
) -> None:
    paths = {"DATA": built, "IN": folders[0], "LABELS": folders[1]}
    result = run(*(paths.get(word, word) for word in words), "--out", tmp_path / "r")
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "r").exists()


def test_bad_input_is_one_error(
    run: Command, built: Path, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    images, _ = folders
    out = ("--out", tmp_path / "r", "--operator", "none")
    result = run("--data", built, "--split", "test", *out)
    assert (result.exit_code, "splits present" in result.stderr) == (2, True)
    result = run("--data", built, "--checkpoint", tmp_path / "no.safetensors", *out)
    assert (result.exit_code, "no.safetensors" in result.stderr) == (1, True)
    (tmp_path / "labels").mkdir()
    Image.new("RGB", (5, 5)).save(tmp_path / "labels/c.png")
    result = run("--images", images, "--labels", tmp_path / "labels", *out)
    assert result.exit_code == 1
    assert str(images / "a b.tif") in result.stderr
    one = tmp_path / "one"
    one.mkdir()
    (one / "c.tif").write_bytes((images / "c.tif").read_bytes())
    result = run("--images", one, "--labels", tmp_path / "labels", *out)
    assert result.exit_code == 1
    assert "24 x 20 and 5 x 5 pixels" in result.stderr
    assert list((tmp_path / "r").iterdir()) == []
