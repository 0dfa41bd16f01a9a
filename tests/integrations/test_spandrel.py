"""The real spandrel recognises our files, and what it loads computes what we compute."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

import csgisnet
from csgisnet.checkpoints.networks import load_network, save_network
from csgisnet.checkpoints.pretrained import find_weights
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork, receptive_radius
from csgisnet.prediction.spandrel import NAMES, register, smooth_in_tiles

SMALL = NetworkConfig(width=4, blocks=1, coarse_blocks=1, refine_blocks=1, shuffle=2, skip=True)

PLAIN = NetworkConfig(width=4, blocks=2, refine_blocks=1)

PRUNED = replace(SMALL, coarse_blocks=0, refine_blocks=0, finish=4, level=True, default_level=0.5)
"""Of the kind of the bundled one: every option, and no blocks that can be left out."""


@pytest.fixture(scope="module")
def spandrel() -> Iterator[Any]:
    """Return spandrel with our architecture.

    It imports torchvision, which does not load beside the CPU build of torch, for two other
    architectures: where it is missing an empty one stands in.
    """
    with pytest.MonkeyPatch.context() as patch:
        try:
            import torchvision  # type: ignore[import-not-found, unused-ignore]  # noqa: F401
        except (ImportError, RuntimeError):
            stub: Any = ModuleType("torchvision.transforms.functional")
            stub.normalize = stub.rotate = stub.InterpolationMode = None
            for name in ("torchvision", "torchvision.transforms", stub.__name__):
                patch.setitem(sys.modules, name, stub)
        found = pytest.importorskip("spandrel")
        register()
        register()  # no harm
        yield found


def random_network(config: NetworkConfig = SMALL) -> SmoothingNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = SmoothingNetwork(config)
        for parameter in network.parameters():
            parameter.data.normal_(std=0.2)
        return network.eval().requires_grad_(False)


def test_the_bundled_network_loads_and_predicts_as_ours_does(spandrel: Any) -> None:
    model = spandrel.ModelLoader().load_from_file(find_weights("compact"))
    assert model.architecture.name == "CSGIS-Net"
    assert (model.purpose, model.scale) == ("Restoration", 1)
    assert (model.input_channels, model.output_channels) == (3, 3)
    assert model.tiling is spandrel.ModelTiling.INTERNAL
    assert model.size_requirements.none
    assert model.tags == ["48nf", "4nb"]
    image = np.random.default_rng(0).random((61, 84, 3), np.float32)
    expected = csgisnet.load("compact", device="cpu", precision="float32").smooth(image)
    result = model(torch.from_numpy(image).permute(2, 0, 1)[None])
    np.testing.assert_allclose(result[0].permute(1, 2, 0), expected, atol=1e-5)


def test_half_precision_is_near(spandrel: Any) -> None:
    loader = spandrel.ModelLoader()
    image = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(1))
    whole, half = (loader.load_from_file(find_weights("compact")) for _ in range(2))
    difference = whole(image) - half.half()(image.half()).float()
    assert difference.abs().max() < 2 / 255
    with pytest.raises(spandrel.UnsupportedDtypeError, match="bfloat16"):
        half.bfloat16()


@pytest.mark.parametrize("form", ["ours", "safetensors", "pickle", "nested"])
@pytest.mark.parametrize("config", [SMALL, PLAIN, PRUNED])
def test_every_form_of_file_is_recognised(
    form: str, config: NetworkConfig, spandrel: Any, tmp_path: Path
) -> None:
    network = random_network(config)
    state = network.state_dict()
    path = tmp_path / ("n.safetensors" if form in ("ours", "safetensors") else "n.pth")
    if form == "ours":
        save_network(path, network)
    elif form == "safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save({"params": state} if form == "nested" else state, path)
    model = spandrel.ModelLoader().load_from_file(path)
    image = torch.rand(1, 3, 31, 18)
    assert model.model.config == config
    assert torch.equal(model(image), network(image).result.clamp(0, 1))


@pytest.mark.parametrize("config", [SMALL, PLAIN, PRUNED])
def test_every_network_has_the_names_that_tell_it(config: NetworkConfig) -> None:
    """Also where spandrel is not installed and the tests above are skipped."""
    bundled = load_network(find_weights("compact")).state_dict()
    assert set(NAMES) <= random_network(config).state_dict().keys() & bundled.keys()


def test_our_keys_are_nobody_elses(spandrel: Any) -> None:
    """No other architecture takes our files for its own: it would go first."""
    state = load_network(find_weights("compact")).state_dict()
    taken = [support.architecture.id for support in spandrel.MAIN_REGISTRY if support.detect(state)]
    assert taken == ["CSGISNet"]


@pytest.mark.parametrize("size", [(203, 301), (150, 405)])
def test_its_tiles_have_no_seams(size: tuple[int, int]) -> None:
    network = random_network()
    images = torch.rand(2, 3, *size)
    pixels = 2 * (64 + 2 * receptive_radius(SMALL)) ** 2
    assert pixels < images[:, 0].numel()
    with torch.inference_mode():
        whole = network(images).result.clamp(0, 1)
        assert ((whole > 0) & (whole < 1)).float().mean() > 0.3  # where a seam would be seen
        torch.testing.assert_close(smooth_in_tiles(network, images, pixels), whole)
        assert torch.equal(smooth_in_tiles(network, images), whole)


def test_without_spandrel_the_error_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['spandrel'] = None\n"
        "from csgisnet.prediction.spandrel import register; register()"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "pip install 'csgisnet[spandrel]'" in done.stderr
