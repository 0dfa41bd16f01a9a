"""`csgisnet export`: a file that computes, or one error and none."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result
from pictures import noise, write

from csgisnet.checkpoints.format import load_weights
from csgisnet.checkpoints.networks import load_network, save_network
from csgisnet.device import int8_instructions
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from csgisnet.prediction.kinds import KINDS

Command = Callable[..., Result]

TINY = NetworkConfig(width=4, blocks=1, coarse_blocks=1, refine_blocks=1)


@pytest.fixture
def run(csgisnet: Command) -> Command:
    """The command, to be given its words."""
    return functools.partial(csgisnet, "export")


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_the_best_weights_of_a_run_are_exported(run: Command, tmp_path: Path) -> None:
    network = SmoothingNetwork(TINY).eval()
    save_network(tmp_path / "best.safetensors", network)
    out = tmp_path / "net.pt"
    result = run("--checkpoint", tmp_path, "--format", "torchscript", "--out", out)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{out}: 0.1 MB, difference ")
    image = torch.rand(1, 3, 12, 15)
    with torch.no_grad():
        expected = network(image).result.clamp(0, 1)
    loaded = torch.jit.load(out)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(loaded(image), expected, atol=1e-5, rtol=0)


def test_a_folder_without_weights_and_a_missing_folder_are_errors(
    run: Command, tmp_path: Path
) -> None:
    result = run("--checkpoint", tmp_path, "--out", tmp_path / "net.onnx")
    assert result.exit_code == 1
    assert "holds no best.safetensors" in result.stderr
    save_network(tmp_path / "best.safetensors", SmoothingNetwork(TINY))
    words = ("--checkpoint", tmp_path, "--format", "torchscript")
    result = run(*words, "--out", tmp_path / "nowhere/net.pt")
    assert result.exit_code == 2
    assert "nowhere does not exist" in " ".join(result.stderr.split())


def test_a_model_to_share_is_described(run: Command, tmp_path: Path) -> None:
    network = SmoothingNetwork(TINY).eval()
    save_network(tmp_path / "best.safetensors", network)
    out = tmp_path / "net.safetensors"
    words = ("--checkpoint", tmp_path, "--out", out, "--description", "for tests", "--half")
    result = run(*words, "--format", "safetensors")
    assert result.exit_code == 0, result.output
    assert load_weights(out, "network").metadata["description"] == "for tests"
    assert load_network(out).config == TINY
    result = run("--checkpoint", tmp_path, "--out", tmp_path / "x", "--half", "--format", "onnx")
    assert result.exit_code == 2
    assert "go with --format safetensors" in result.stderr


def test_idle_blocks_are_pruned(run: Command, tmp_path: Path) -> None:
    network = SmoothingNetwork(dataclasses.replace(TINY, shuffle=2, skip=True)).eval()
    with torch.no_grad():
        network.get_parameter("refine.3.bn_conv_3x3_3.weight").zero_()
        network.get_parameter("refine.3.bn_conv_3x3_3.bias").fill_(-1)
    save_network(tmp_path / "best.safetensors", network)
    pictures, out = tmp_path / "pictures", tmp_path / "small.safetensors"
    words = ("--checkpoint", tmp_path, "--out", out, "--prune", pictures)
    pictures.mkdir()
    result = run(*words)
    assert result.exit_code == 1
    assert "No images in" in result.stderr
    write(pictures / "a.png", noise(20, 24, 3))
    assert run(*words).exit_code == 0
    smaller, image = load_network(out), torch.rand(1, 3, 30, 22)
    assert smaller.config.refine_blocks == 0
    with torch.no_grad():
        assert torch.equal(smaller(image).result, network(image).result)
    bare = tmp_path / "bare.pth"
    torch.save(smaller.state_dict(), bare)
    assert load_network(bare).config == smaller.config  # its keys tell that there is no block


def test_the_mean_of_two_networks_is_written(run: Command, tmp_path: Path) -> None:
    network = SmoothingNetwork(TINY)
    paths = tmp_path / "first.safetensors", tmp_path / "best.safetensors"
    for path in paths:
        save_network(path, network, {"scores": {"samples": 1}, "dataset": "a"})
        with torch.no_grad():
            network.get_parameter("refine.0.weight").add_(1)
    out = tmp_path / "mean.safetensors"
    words = ("--checkpoint", tmp_path, "--average-with", paths[0], "--out", out)
    assert run(*words).exit_code == 0
    first, mean = (load_network(path).get_parameter("refine.0.weight") for path in (paths[0], out))
    torch.testing.assert_close(mean, first + 0.5)
    recorded = load_weights(out, "network").metadata
    assert recorded["dataset"] == "a"
    assert "scores" not in recorded
    save_network(paths[0], SmoothingNetwork(dataclasses.replace(TINY, blocks=TINY.blocks + 1)))
    result = run(*words)
    assert result.exit_code == 1
    assert "differ in blocks" in result.stderr
    assert run(*words[:4], "--out", tmp_path / "x.onnx").exit_code == 2


def test_the_outside_can_be_made_grey(run: Command, tmp_path: Path) -> None:
    save_network(tmp_path / "best.safetensors", SmoothingNetwork(TINY))
    out = tmp_path / "grey.safetensors"
    assert run("--checkpoint", tmp_path, "--out", out, "--grey-outside").exit_code == 0
    assert load_network(out).config == dataclasses.replace(TINY, grey_outside=True)
    assert run("--checkpoint", out, "--out", tmp_path / "grey.pt").exit_code == 0
    result = run("--checkpoint", tmp_path, "--out", tmp_path / "x.onnx", "--grey-outside")
    assert result.exit_code == 2


def test_the_network_itself_is_not_replaced(run: Command, tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    save_network(path, SmoothingNetwork(TINY))
    before = path.read_bytes()
    result = run("--checkpoint", tmp_path, "--out", path, "--half")
    assert result.exit_code == 2
    assert "is the network to export" in result.stderr
    assert path.read_bytes() == before


def test_the_ending_says_the_format(run: Command, tmp_path: Path) -> None:
    save_network(tmp_path / "best.safetensors", SmoothingNetwork(TINY))
    out = tmp_path / "net.safetensors"
    words = ("--checkpoint", tmp_path, "--out", out)
    assert run(*words).exit_code == 0
    assert load_network(out).config == TINY
    result = run(*words, "--format", "onnx")
    assert result.exit_code == 2
    assert "--format onnx does not suit" in result.stderr
    (tmp_path / "index.json").write_text("mine")
    result = run("--checkpoint", tmp_path, "--out", tmp_path / "index.json")
    assert (result.exit_code, "does not end in one of .onnx, .pt" in result.stderr) == (2, True)
    assert (tmp_path / "index.json").read_text() == "mine"


def test_a_calibrated_network_predicts_in_int8_and_says_so(
    csgisnet: Command, run: Command, tmp_path: Path
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    write(pictures / "a.png", noise(40, 30))
    save_network(tmp_path / "best.safetensors", SmoothingNetwork(TINY).eval())
    out = tmp_path / "net.safetensors"
    words = ("--checkpoint", tmp_path, "--calibrate", pictures)
    result = run(*words, "--out", out)
    assert result.exit_code == 0
    if int8_instructions():
        for kind in KINDS:
            assert re.search(rf"int8 on {kind}: \d+\.\d+ grey levels off", result.stderr)
        shown = json.loads(run(*words, "--out", out, "--json").stdout)
        assert {kind: shown["int8"][kind]["mean"] < 1 for kind in KINDS} == dict.fromkeys(
            KINDS, True
        )
    smooth = ("predict", pictures, "--out", tmp_path / "out", "--precision", "int8", "--device=cpu")
    result = csgisnet(*smooth, "--checkpoint", tmp_path)
    assert result.exit_code == 1
    if int8_instructions():
        assert "needs a calibration" in " ".join(result.stderr.split())
        result = csgisnet(*smooth, "--checkpoint", out)
        assert result.exit_code == 0, result.output
        assert "int8" in result.output
    result = run(*words, "--out", tmp_path / "net.pt")
    assert result.exit_code == 2
    assert "--grey-outside go with --format safetensors" in " ".join(result.stderr.split())


def test_a_level_of_the_network_becomes_the_highest(run: Command, tmp_path: Path) -> None:
    network = SmoothingNetwork(dataclasses.replace(TINY, level=True)).eval()
    save_network(tmp_path / "best.safetensors", network)
    out = tmp_path / "net.safetensors"
    result = run("--checkpoint", tmp_path, "--out", out, "--highest-level=0.5", "--level=1")
    assert result.exit_code == 0, result.output
    bounded, image = load_network(out).eval(), torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        expected = network(image, torch.tensor([0.5])).result
        torch.testing.assert_close(bounded(image).result, expected)
