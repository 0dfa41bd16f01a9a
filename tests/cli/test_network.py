"""`csgisnet`: segmenter, network, folder and sheet in one go, and one clear error each."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from numpy.typing import NDArray
from PIL import Image

from csgisnet.checkpoints.networks import load_network

Command = Callable[..., Result]


def pixels_of(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture(scope="module")
def segmenter(
    csgisnet: Command, built: Path, config_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("teacher") / "segmenter.safetensors"
    words = ("--data", built, "--out", out, "--config", config_file, "--device", "cpu")
    result = csgisnet("train-segmenter", *words)
    assert result.exit_code == 0, result.output
    assert "validation mIoU" in result.stdout
    return out


@pytest.fixture(scope="module")
def run(
    csgisnet: Command,
    built: Path,
    segmenter: Path,
    config_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    words = ("--data", built, "--out", out, "--config", config_file, "--device", "cpu")
    result = csgisnet("train", *words, "--segmenter", segmenter)
    assert result.exit_code == 0, result.output
    assert "PSNR" in result.stdout
    return out


def test_predict_mirrors_folders_and_names_what_it_cannot_read(
    csgisnet: Command, run: Path, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (21, 33, 3), np.uint8)
    (tmp_path / "in/sub").mkdir(parents=True)
    Image.fromarray(pixels).save(tmp_path / "in/sub/good.png")
    (tmp_path / "in/bad.png").write_bytes(b"no picture")
    words = ("--checkpoint", run, "--out", tmp_path / "out", "--device", "cpu")
    result = csgisnet("predict", tmp_path / "in", *words)
    assert result.exit_code == 1
    assert "bad.png" in result.stderr
    assert "1 written, 0 skipped, 1 failed" in result.stdout
    assert re.search(r" s, in (float32|bfloat16) \(.+\)\n", result.stdout)
    assert pixels_of(tmp_path / "out/sub/good.png").shape == pixels.shape
    assert [p.name for p in (tmp_path / "out").rglob("*") if p.is_file()] == ["good.png"]


def test_strength_zero_gives_the_image_back(csgisnet: Command, run: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (21, 33, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    words = ("--checkpoint", run, "--out", tmp_path / "out", "--strength", 0)
    result = csgisnet("predict", tmp_path / "a.png", *words)
    assert result.exit_code == 0, result.output
    assert np.array_equal(pixels_of(tmp_path / "out/a.png"), pixels)


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize("option", ["--strength", "--max-megapixels"])
def test_numbers_have_to_be_finite(
    csgisnet: Command, tmp_path: Path, option: str, value: str
) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    words = ("predict", tmp_path / "a.png", "--out", tmp_path / "out", option, value)
    result = csgisnet(*words)
    assert result.exit_code == 2
    assert f"Invalid value for '{option}': {value} is not a finite number." in result.stderr
    assert not (tmp_path / "out").exists()


def test_sheet_shows_validation_photographs(
    csgisnet: Command, built: Path, run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "sheet.png"
    result = csgisnet("sheet", "--data", built, "--checkpoint", run, "--out", out)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out}: v_1, w_2\n"
    with Image.open(out) as picture:
        assert (picture.height, picture.format) == (2 * (240 + 24 + 8), "PNG")
    for name, form in (("sheet.JPG", "JPEG"), ("sheet.webp", "WEBP"), ("sheet.tif", "TIFF")):
        result = csgisnet("sheet", "--data", built, "--out", tmp_path / name, "--rows", 1)
        assert result.exit_code == 0, result.output
        with Image.open(tmp_path / name) as picture:
            assert picture.format == form
    result = csgisnet("sheet", "--data", built, "--out", tmp_path / "sheet.txt")
    assert result.exit_code == 2
    assert "cannot write files ending in '.txt'" in result.stderr


def test_a_run_is_not_overwritten_but_can_be_resumed(
    csgisnet: Command, built: Path, run: Path, segmenter: Path
) -> None:
    words = ("train", "--data", built, "--out", run, "--segmenter", segmenter, "--device", "cpu")
    refused = csgisnet(*words)
    assert refused.exit_code == 1
    assert "--resume" in refused.stderr
    assert csgisnet(*words, "--resume").exit_code == 0
    resumed = csgisnet("train", "--out", run, "--device", "cpu", "--resume")
    assert resumed.exit_code == 0, resumed.output


def test_a_new_run_needs_a_dataset(csgisnet: Command, tmp_path: Path) -> None:
    result = csgisnet("train", "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "give one with --data" in result.stderr
    assert not (tmp_path / "run").exists()


def test_training_goes_on_from_a_bundled_network(
    csgisnet: Command, built: Path, segmenter: Path, config_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    words = ("train", "--data", built, "--out", out, "--config", config_file, "--device", "cpu")
    given = ("--segmenter", segmenter, "--init")
    refused = csgisnet(*words, *given, "compat")
    assert refused.exit_code == 2
    assert "compact" in refused.stderr
    assert not out.exists()
    assert csgisnet(*words, *given, "compact").exit_code == 0
    assert load_network(out / "best.safetensors").config.width == 48


@pytest.mark.parametrize("checkpoint", ["segmenter", "nowhere", "text"])
def test_predict_refuses_what_is_no_network(
    csgisnet: Command, segmenter: Path, tmp_path: Path, checkpoint: str
) -> None:
    (tmp_path / "text").write_text("no weights")
    path = segmenter if checkpoint == "segmenter" else tmp_path / checkpoint
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    words = ("--checkpoint", path, "--out", tmp_path / "out")
    result = csgisnet("predict", tmp_path / "a.png", *words)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert str(path) in result.stderr
    assert not (tmp_path / "out").exists()


def test_folder_without_images_and_unknown_settings_are_errors(
    csgisnet: Command, built: Path, run: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    words = ("--checkpoint", run, "--out", tmp_path / "out")
    result = csgisnet("predict", tmp_path / "empty", *words)
    assert result.exit_code == 1
    assert "empty" in result.stderr
    bad = tmp_path / "bad.toml"
    bad.write_text("[run]\nstps = 3\n")
    result = csgisnet("train", "--data", built, "--out", tmp_path / "r", "--config", bad)
    assert result.exit_code == 1
    assert "unknown key 'stps'. Did you mean 'steps'?" in result.stderr
    result = csgisnet("train", "--data", tmp_path / "no", "--out", tmp_path / "r")
    assert result.exit_code == 1
    assert "no" in result.stderr


def test_training_without_its_teachers_says_both_ways_to_get_them(
    csgisnet: Command, built: Path, config_file: Path, tmp_path: Path
) -> None:
    words = ("--data", built, "--out", tmp_path / "r", "--config", config_file)
    result = csgisnet("train", *words)
    assert result.exit_code == 1
    assert "train-segmenter" in result.stderr
    assert "checkpoint" in result.stderr


def test_edges_are_saved_beside_the_results_and_batches_change_nothing(
    csgisnet: Command, run: Path, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 21, 33, 3), np.uint8)
    (tmp_path / "in").mkdir()
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"in/{number}.png")
    words = ("predict", tmp_path / "in", "--checkpoint", run, "--device", "cpu", "--save-edges")
    for out, batch in (("one", 1), ("many", 4)):
        result = csgisnet(*words, "--out", tmp_path / out, "--batch", batch)
        assert result.exit_code == 0, result.output
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted([f"{n}.png" for n in range(6)] + [f"{n}_edges.png" for n in range(6)])
    for name in names:
        one, many = pixels_of(tmp_path / "one" / name), pixels_of(tmp_path / "many" / name)
        assert one.shape == ((21, 33) if "edges" in name else (21, 33, 3))
        assert np.abs(one.astype(int) - many).max() <= 1


def test_edges_collide_before_anything_is_written(
    csgisnet: Command, run: Path, tmp_path: Path
) -> None:
    for name in ("a.jpg", "a_edges.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    words = ("predict", tmp_path / "a*", "--checkpoint", run, "--out", tmp_path / "out")
    result = csgisnet(*words, "--save-edges")
    assert result.exit_code == 1
    assert f"would both write {tmp_path / 'out/a_edges.png'}" in result.stderr
    assert not (tmp_path / "out").exists()
