"""`csgisnet models`, and commands that take a bundled network by its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image

from csgisnet.checkpoints import pretrained
from csgisnet.checkpoints.networks import save_network
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from vocsmooth.files import sha256_file

Command = Callable[..., Result]

TINY = NetworkConfig(width=4, blocks=1, coarse_blocks=1, refine_blocks=1)


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder that stands for the package's, empty."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setattr(pretrained, "BUNDLED", folder)
    return folder


def test_networks_are_listed_with_hash_and_description(csgisnet: Command, bundle: Path) -> None:
    path = bundle / "compact.safetensors"
    save_network(path, SmoothingNetwork(TINY), {"description": "Trained for the test."})
    result = csgisnet("models")
    assert result.exit_code == 0, result.output
    assert result.stdout == (
        f"compact (default): 0.0 MB\n  Trained for the test.\n  SHA-256 {sha256_file(path)}\n"
    )


def test_that_there_are_none_is_said(csgisnet: Command, bundle: Path) -> None:
    assert "csgisnet train" in csgisnet("models").stdout


def test_predict_takes_the_default_or_a_name(
    csgisnet: Command, bundle: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    words = ("predict", tmp_path / "a.png", "--device", "cpu", "--out", tmp_path / "out")
    missing = csgisnet(*words)
    assert missing.exit_code == 2
    assert "comes without networks. Give a file of weights" in missing.stderr
    for name in ("compact", "full"):
        save_network(bundle / f"{name}.safetensors", SmoothingNetwork(TINY))
    for more in ((), ("--checkpoint", "full")):
        result = csgisnet(*words, *more)
        assert result.exit_code == 0, result.output
