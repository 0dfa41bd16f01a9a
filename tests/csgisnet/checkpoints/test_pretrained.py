"""A path, a run's folder or a name each mean one file, or one clear error."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

import csgisnet
from csgisnet.checkpoints import pretrained
from csgisnet.checkpoints.bare import config_of
from csgisnet.checkpoints.format import load_weights
from csgisnet.checkpoints.networks import save_network
from csgisnet.checkpoints.pretrained import bundled_models, find_weights
from csgisnet.errors import CheckpointError
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from vocsmooth.errors import UnknownNameError

TINY = NetworkConfig(width=4, blocks=1, coarse_blocks=1, refine_blocks=1)


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that stands for the package's, and another to work in."""
    (tmp_path / "models").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setattr(pretrained, "BUNDLED", tmp_path / "models")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "models"


def test_files_are_themselves_and_runs_their_best(tmp_path: Path) -> None:
    (tmp_path / "best.safetensors").touch()
    assert find_weights(tmp_path) == tmp_path / "best.safetensors"
    assert find_weights(str(tmp_path)) == tmp_path / "best.safetensors"
    assert find_weights(tmp_path / "other.pth") == tmp_path / "other.pth"


def test_a_run_without_weights_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds no best\.safetensors.*validated"):
        find_weights(tmp_path)


def test_without_networks_the_error_says_what_to_do(bundle: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"comes without networks\. Give a file .*train"):
        find_weights()


def test_names_are_bundled_networks(bundle: Path) -> None:
    (bundle / "compact.safetensors").touch()
    (bundle / "full.safetensors").touch()
    assert list(bundled_models()) == ["compact", "full"]
    assert find_weights() == bundle / "compact.safetensors"
    assert find_weights("full") == bundle / "full.safetensors"
    with pytest.raises(UnknownNameError, match=r"^'ful' does not .* network\. Did you mean 'full'"):
        find_weights("ful")


def test_load_takes_names(bundle: Path) -> None:
    for number, name in enumerate(("compact", "full")):
        network = SmoothingNetwork(TINY)
        network.get_parameter("refine.4.bias").data.fill_(0.25 * number)
        save_network(bundle / f"{name}.safetensors", network)
    image = np.full((8, 8, 3), 0.5, np.float32)
    default = csgisnet.load(device="cpu").smooth(image)
    np.testing.assert_array_equal(csgisnet.load("compact", device="cpu").smooth(image), default)
    assert np.abs(csgisnet.load("full", device="cpu").smooth(image) - default).max() > 0.01


def test_what_the_package_bundles_can_be_loaded() -> None:
    for name in bundled_models():
        assert csgisnet.load(name, device="cpu").smooth(np.zeros((8, 8), np.float32)).shape


def test_what_the_package_bundles_tells_its_configuration_by_names_and_shapes_alone() -> None:
    """Programs such as those built on spandrel never read the header."""
    for path in bundled_models().values():
        weights = load_weights(path, "network")
        assert config_of(weights.tensors, path) == weights.config_as(NetworkConfig, path)


def test_a_path_goes_before_a_name(bundle: Path) -> None:
    (bundle / "full.safetensors").touch()
    Path("full").touch()
    assert find_weights("full") == Path("full")


def test_the_model_card_names_the_networks_that_are_there() -> None:
    card = (pretrained.BUNDLED / "README.md").read_text(encoding="utf-8")
    for name, path in bundled_models().items():
        assert f"## {name}\n" in card
        assert hashlib.sha256(path.read_bytes()).hexdigest() in card
