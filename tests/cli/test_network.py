"""`csgisnet`: segmenter, network, folder and sheet in one go, and one clear error each."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from pictures import pixels_of
from PIL import Image

from csgisnet.checkpoints.format import load_weights
from csgisnet.checkpoints.networks import load_network
from csgisnet.networks.segmenter import Segmenter
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork

Command = Callable[..., Result]


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


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network as the authors save theirs, whose colours differ with the order of channels."""
    path = tmp_path_factory.mktemp("foreign") / "authors.pth"
    with torch.random.fork_rng():
        torch.manual_seed(2)
        network = SmoothingNetwork(
            NetworkConfig(width=8, blocks=1, coarse_blocks=1, refine_blocks=1)
        )
        torch.save({"net": network.state_dict(), "now_epoch": 218}, path)
    return path


def test_the_order_of_channels_can_be_given(
    csgisnet: Command, foreign: Path, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (21, 33, 3), np.uint8)
    for name, image in (("rgb", pixels), ("bgr", pixels[..., ::-1])):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
        words = ("predict", tmp_path / f"{name}.png", "--checkpoint", foreign, "--device", "cpu")
        result = csgisnet(*words, "--out", tmp_path / "out", "--channel-order", name)
        assert result.exit_code == 0, result.output
        assert "Hint" not in result.stderr
    rgb, bgr = (pixels_of(tmp_path / f"out/{name}.png").astype(int) for name in ("rgb", "bgr"))
    assert np.abs(rgb - bgr[..., ::-1]).max() <= 1
    assert np.abs(rgb - bgr).max() > 1


@pytest.mark.filterwarnings("default:.*channel order")
def test_without_an_order_a_hint_says_what_is_taken(
    csgisnet: Command, foreign: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    words = ("predict", tmp_path / "a.png", "--checkpoint", foreign, "--device", "cpu")
    result = csgisnet(*words, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    hints = [line for line in result.stderr.splitlines() if "--channel-order" in line]
    assert len(hints) == 1
    assert hints[0].startswith(f"Hint: {foreign} holds a network as")
    assert "Hint" not in csgisnet(*words, "--out", tmp_path / "quiet", "--quiet").stderr


def test_a_run_that_began_with_a_bgr_network_gives_rgb_networks(
    csgisnet: Command,
    built: Path,
    segmenter: Path,
    foreign: Path,
    config_file: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "run"
    words = ("train", "--data", built, "--out", out, "--config", config_file, "--device", "cpu")
    given = ("--segmenter", segmenter, "--channel-order", "bgr")
    refused = csgisnet(*words, *given)
    assert refused.exit_code == 2
    assert "goes with --init" in refused.stderr
    refused = csgisnet(*words, "--output-stride", "8")
    assert refused.exit_code == 2
    assert "goes with --segmenter or --features" in " ".join(refused.stderr.split())
    result = csgisnet(*words, *given, "--init", foreign)
    assert result.exit_code == 0, result.output
    image = torch.rand(1, 3, 9, 10)
    expected = load_network(foreign, "bgr")(image).result
    assert torch.equal(load_network(out / "initial.safetensors")(image).result, expected)
    assert load_weights(out / "best.safetensors", "network").metadata["channel_order"] == "rgb"


def test_a_public_segmenter_without_a_stride_is_asked_about(
    csgisnet: Command, built: Path, config_file: Path, tmp_path: Path
) -> None:
    public, out = tmp_path / "voc.pth", tmp_path / "run"
    torch.save({"model_state": Segmenter().state_dict()}, public)
    words = ("train", "--data", built, "--out", out, "--config", config_file, "--device", "cpu")
    result = csgisnet(*words, "--segmenter", public)
    assert result.exit_code == 1
    assert f"{public} does not say whether its output stride" in " ".join(result.stderr.split())
    assert not out.exists()
    result = csgisnet(*words, "--segmenter", public, "--output-stride", "8")
    assert result.exit_code == 0, result.output
    assert json.loads((out / "run.json").read_text())["output_stride"] == 8


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
