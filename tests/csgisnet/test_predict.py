"""Prediction: tiles, folding and grey change nothing; misuse is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from csgisnet.checkpoint import save_network
from csgisnet.network import NetworkConfig, SmoothingNetwork
from csgisnet.predict import Smoother, fold_batch_norm, load

PLAIN = NetworkConfig(width=8, blocks=1, coarse_blocks=1, refine_blocks=1)
SHUFFLED = NetworkConfig(width=8, blocks=1, coarse_blocks=1, refine_blocks=1, shuffle=2, skip=True)


def trained(config: NetworkConfig) -> SmoothingNetwork:
    """A network whose layers and batch statistics are far from those of a fresh one."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = SmoothingNetwork(config)
        for name, value in network.state_dict().items():
            if name.endswith(("running_mean", "bias")):
                value.normal_(std=0.3)
            elif name.endswith("running_var"):
                value.uniform_(0.5, 2)
            elif value.is_floating_point() and value.ndim > 1:
                value.normal_(std=1.2 / (9 * value.shape[1]) ** 0.5)
    return network.eval()


def picture(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(2).random(shape, dtype=np.float32)


@pytest.mark.parametrize("config", [PLAIN, SHUFFLED])
def test_folding_batch_norm_keeps_every_output(config: NetworkConfig) -> None:
    network = trained(config)
    folded = fold_batch_norm(network)
    assert not [m for m in folded.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    x = torch.rand(1, 3, 21, 34)
    with torch.no_grad():
        for mine, theirs in zip(folded(x), network(x), strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("config", [PLAIN, SHUFFLED])
@pytest.mark.parametrize("shape", [(150, 201, 3), (97, 64, 3), (300, 70, 3)])
def test_tiles_give_what_the_whole_image_gives(
    config: NetworkConfig, shape: tuple[int, ...]
) -> None:
    network, image = trained(config), picture(*shape)
    tiled = Smoother(network, device="cpu", memory=1)
    assert tiled.tile == 64
    whole = Smoother(network, device="cpu")
    assert whole.tile > max(shape)
    np.testing.assert_allclose(tiled.smooth(image), whole.smooth(image), atol=1e-5, rtol=0)
    with torch.no_grad():
        expected = network(torch.from_numpy(image).permute(2, 0, 1)[None]).result[0]
    plain = expected.permute(1, 2, 0).clamp(0, 1).numpy()
    np.testing.assert_allclose(whole.smooth(image), plain, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5, 3), (7, 2), (9, 9, 3)])
def test_any_shape_is_kept(shape: tuple[int, ...]) -> None:
    result = Smoother(trained(SHUFFLED), device="cpu").smooth(picture(*shape))
    assert result.shape == shape
    assert result.dtype == np.float32
    assert 0 <= result.min() <= result.max() <= 1


def test_grey_is_smoothed_as_a_colour_image_of_equal_channels() -> None:
    smoother, grey = Smoother(trained(PLAIN), device="cpu"), picture(30, 40)
    colour = smoother.smooth(np.stack([grey] * 3, axis=2))
    np.testing.assert_allclose(smoother.smooth(grey), colour.mean(axis=2), atol=1e-6)


def test_strength_blends_and_goes_beyond() -> None:
    smoother, image = Smoother(trained(SHUFFLED), device="cpu"), picture(30, 40, 3) * 0.2 + 0.4
    full = smoother.smooth(image)
    np.testing.assert_allclose(smoother.smooth(image, 0.0), image, atol=1e-6)
    np.testing.assert_allclose(smoother.smooth(image, 0.5), (image + full) / 2, atol=1e-6)
    sharper = np.clip(image - (full - image), 0, 1)
    np.testing.assert_allclose(smoother.smooth(image, -1.0), sharper, atol=1e-6)


def test_the_input_is_not_written_to() -> None:
    image = picture(20, 20, 3)
    before = image.copy()
    image.setflags(write=False)
    Smoother(trained(PLAIN), device="cpu").smooth(image)
    np.testing.assert_array_equal(image, before)


def test_load_gives_the_saved_network(tmp_path: Path) -> None:
    network, image = trained(PLAIN), picture(20, 30, 3)
    save_network(tmp_path / "best.safetensors", network)
    expected = Smoother(network, device="cpu").smooth(image)
    for path in (tmp_path / "best.safetensors", tmp_path):  # a file, or the folder of a run
        np.testing.assert_array_equal(load(path, device="cpu").smooth(image), expected)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros((4, 4, 3), np.uint8), TypeError, "float32.*uint8"),
        (np.zeros((4, 4, 4), np.float32), ValueError, r"\(4, 4, 4\)"),
        (np.zeros((0, 4), np.float32), ValueError, r"\(0, 4\)"),
    ],
)
def test_other_arrays_are_refused(
    image: NDArray[np.float32], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Smoother(trained(PLAIN), device="cpu").smooth(image)
