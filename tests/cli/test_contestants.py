"""`csgisnet evaluate` with several networks, results of other methods, and tuning that misleads."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image

from csgisnet.checkpoints.networks import save_network
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork

Command = Callable[..., Result]

TINY = NetworkConfig(width=4, blocks=1, coarse_blocks=1, refine_blocks=1, shuffle=2, skip=True)


@pytest.fixture
def run(csgisnet: Command) -> Command:
    """The command, to be given its words, and no operator."""
    return functools.partial(csgisnet, "evaluate", "--operator", "none", "--device", "cpu")


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two networks, the second in a folder with "=" in its name, and one of another project."""
    root = tmp_path_factory.mktemp("nets")
    (root / "lr=0.1").mkdir()
    paths = [root / "a.safetensors", root / "lr=0.1/b.safetensors", root / "theirs.pth"]
    for seed, path in enumerate(paths):
        ours = path.suffix != ".pth"
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = SmoothingNetwork(
                TINY if ours else dataclasses.replace(TINY, shuffle=1, skip=False)
            )
        if ours:
            save_network(path, network)
        else:
            torch.save(network.state_dict(), path)
    return paths


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, their labels, and what another method made of them: three grey levels off."""
    root = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    for name in ("a", "b b", "sub/é"):
        label = rng.integers(20, 200, (20, 24, 3), dtype=np.uint8)
        for folder, pixels in (("in", label + 9), ("labels", label), ("theirs", label + 3)):
            path = root / folder / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    return root


def words_of(pairs: Path, out: Path) -> tuple[object, ...]:
    return ("--images", pairs / "in", "--labels", pairs / "labels", "--out", out)


def summary_of(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    return content


def test_networks_and_results_stand_in_one_table_plot_and_gallery(
    run: Command, networks: list[Path], pairs: Path, tmp_path: Path
) -> None:
    first, second, _ = networks
    words = ("--checkpoint", f"ours={first}", "--checkpoint", second)
    result = run(*words_of(pairs, tmp_path), *words, "--results", f"theirs={pairs / 'theirs'}")
    assert result.exit_code == 0, result.output
    content = summary_of(tmp_path)
    names = ["input", "ours", str(second), "theirs"]
    assert list(content["smoothers"]) == names
    assert list(content["checkpoints"]) == names[1:3]
    assert content["results"] == {"theirs": str(pairs / "theirs")}
    theirs = content["smoothers"]["theirs"]
    assert theirs["psnr"]["mean"] == pytest.approx(20 * np.log10(255 / 3), abs=1e-3)
    assert theirs["seconds_per_megapixel"] == {"mean": None, "images": 0}
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<h1>3 smoothers on 3 images</h1>" in page
    assert page.count("<figcaption>theirs, 38.59 dB") == 3
    assert "Worst cases of ours" in page
    assert "<title>theirs</title>" in (tmp_path / "speed.svg").read_text(encoding="utf-8")


def test_what_the_dataset_exports_can_be_given_back(
    run: Command, vocsmooth: Command, built: Path, tmp_path: Path
) -> None:
    exported = vocsmooth("export", built, "--out", tmp_path / "png", "--jobs", 1)
    assert exported.exit_code == 0, exported.output
    labels, inputs = tmp_path / "png/val/label", tmp_path / "png/val/input"
    words = ("--results", f"perfect={labels}", "--results", f"nothing={inputs}", "--samples", 3)
    result = run("--data", built, *words, "--out", tmp_path / "r")
    assert result.exit_code == 0, result.output
    means = {
        name: values["psnr"]["mean"]
        for name, values in summary_of(tmp_path / "r")["smoothers"].items()
    }
    assert means["perfect"] == 100
    assert means["nothing"] == means["input"]
    result = run("--data", built, "--split", "train", *words, "--out", tmp_path / "r2")
    assert (result.exit_code, "no picture a_1_0" in result.stderr) == (1, True)


@pytest.mark.parametrize("with_ours", [True, False])
def test_the_order_of_channels_is_that_of_the_other_projects(
    run: Command, networks: list[Path], pairs: Path, tmp_path: Path, with_ours: bool
) -> None:
    first, _, theirs = networks
    levels = {}
    for order in ("rgb", "bgr"):
        words = ["--checkpoint", f"theirs={theirs}", "--channel-order", order]
        words += ["--checkpoint", f"ours={first}"] if with_ours else []
        result = run(*words_of(pairs, tmp_path / order), *words)
        assert result.exit_code == 0, result.output
        content = summary_of(tmp_path / order)
        levels[order] = {name: v["psnr"]["mean"] for name, v in content["smoothers"].items()}
    assert levels["rgb"].pop("theirs") != levels["bgr"].pop("theirs")
    assert levels["rgb"] == levels["bgr"]


def damage(folder: Path, kind: str) -> None:
    """Make results unfit."""
    if kind == "missing":
        (folder / "a.png").unlink()
    elif kind == "extra":
        shutil.copy(folder / "a.png", folder / "c.png")
    elif kind == "turned":
        Image.open(folder / "a.png").transpose(Image.Transpose.ROTATE_90).save(folder / "a.png")
    elif kind == "damaged":
        (folder / "a.png").write_bytes((folder / "a.png").read_bytes()[:60])
    elif kind == "twice":
        shutil.copy(folder / "a.png", folder / "a.jpg")
    elif kind == "empty":
        shutil.rmtree(folder)
        folder.mkdir()
    else:
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "no picture a. There must be one picture for each image"),
        ("extra", "c.png belongs to no image"),
        ("turned", "a.png has 20 x 24 pixels, its image 24 x 20"),
        ("damaged", "a.png"),
        ("twice", "have the same name"),
        ("empty", "No images in"),
        ("absent", "No folder"),
    ],
)
def test_results_that_do_not_fit_are_one_error_before_the_work(
    run: Command, pairs: Path, tmp_path: Path, kind: str, message: str
) -> None:
    folder = shutil.copytree(pairs / "theirs", tmp_path / "theirs")
    damage(folder, kind)
    result = run(*words_of(pairs, tmp_path / "r"), "--results", f"theirs={folder}")
    assert result.exit_code == 1
    assert message in result.stderr
    assert len([line for line in result.stderr.splitlines() if "rror" in line]) == 1
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--checkpoint", "A", "--checkpoint", "A"), "Two are called"),
        (("--checkpoint", "x=A", "--results", "x=THEIRS"), "The name 'x' is taken"),
        (("--checkpoint", "input=A"), "The name 'input' is taken"),
        (("--checkpoint", "l0=A", "--operator", "l0"), "The name 'l0' is taken"),
        (("--checkpoint", "=A"), "not of the form NAME=PATH"),
        (("--results", "x="), "not of the form NAME=PATH"),
        (("--results", "THEIRS", "--channel-order", "bgr"), "goes with --checkpoint"),
    ],
)
def test_names_that_clash_are_misuse(
    csgisnet: Command,
    networks: list[Path],
    pairs: Path,
    tmp_path: Path,
    words: tuple[str, ...],
    message: str,
) -> None:
    paths = {"A": str(networks[0]), "THEIRS": str(pairs / "theirs")}
    for word, path in paths.items():
        words = tuple(given.replace(word, path) for given in words)
    result = csgisnet("evaluate", *words_of(pairs, tmp_path / "r"), *words)
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr
    assert not (tmp_path / "r").exists()


def test_tuning_that_made_it_worse_is_said(csgisnet: Command, tmp_path: Path) -> None:
    """What is tuned on wants strong smoothing; what is measured wants none."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 250, (24, 32, 3), dtype=np.uint8)
    flat = np.full_like(noise, 125)
    for folder, pixels in (("in", noise), ("labels", noise), ("t-in", noise), ("t-labels", flat)):
        (tmp_path / folder).mkdir()
        Image.fromarray(pixels).save(tmp_path / folder / "a.png")
    words = ("--tune-images", tmp_path / "t-in", "--tune-labels", tmp_path / "t-labels")
    operators = ("--operator", "guided:radius=11,eps=9", "--operator", "guided:eps=1e-6")
    result = csgisnet("evaluate", *words_of(tmp_path, tmp_path / "r"), *words, *operators)
    assert result.exit_code == 0, result.output
    # What was given takes part in the tuning, beside the grid and the defaults in it.
    assert summary_of(tmp_path / "r")["tuned"] == {"guided": {"radius": 11, "eps": 9}}
    (remark,) = summary_of(tmp_path / "r")["remarks"]
    assert "tuned has" in remark
    assert "less than guided:eps=1e-6 with" in remark
    for name in ("report.html", "summary.md"):
        assert remark in (tmp_path / "r" / name).read_text(encoding="utf-8")
    assert remark in result.stderr
