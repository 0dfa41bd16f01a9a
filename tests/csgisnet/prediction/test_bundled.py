"""What the bundled networks promise of any picture, tried on pictures of scikit-image."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

import csgisnet
from csgisnet.prediction import Smoother
from vocsmooth.arrays import to_float

Image = NDArray[np.float32]

LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)


@functools.cache
def bundled(network: str, level: float | None = None) -> Smoother:
    return csgisnet.load(network, device="cpu", precision="float32", level=level)


@pytest.fixture(params=["compact", "large"])
def network(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def texture(name: str) -> Image:
    """A photograph of nothing but texture, in three channels."""
    grey = to_float(getattr(data, name)())[:160, :160]
    return np.repeat(grey[..., None], 3, axis=2)


def photograph(side: int = 160) -> Image:
    pixels: NDArray[np.uint8] = getattr(data, "astronaut")()  # noqa: B009  untyped
    return to_float(np.ascontiguousarray(pixels[100 : 100 + side, 150 : 150 + side]))


def roughness(image: Image) -> float:
    """How much neighbouring pixels differ on average, in grey levels, away from the border."""
    inside = 255 * image[16:-16, 16:-16]
    return float(np.abs(np.diff(inside, axis=0)).mean() + np.abs(np.diff(inside, axis=1)).mean())


@pytest.mark.parametrize("name", ["grass", "gravel", "brick"])
def test_more_level_never_brings_texture_back(network: str, name: str) -> None:
    image = texture(name)
    left = [roughness(bundled(network, level).smooth(image)) for level in LEVELS]
    assert left[0] < 0.9 * roughness(image)
    assert all(after < before + 0.05 for before, after in itertools.pairwise(left)), left
    assert left[-1] < 0.8 * left[0]


def test_a_level_between_two_lies_between_their_results(network: str) -> None:
    image = photograph()
    low, middle, high = (bundled(network, level).smooth(image) for level in (0.25, 0.5, 0.75))
    apart = np.abs(high - low).mean()
    assert np.abs(middle - low).mean() < apart > np.abs(high - middle).mean()


def test_the_network_treats_all_colours_alike(network: str) -> None:
    """Channels permuted, or the negative taken: back again, the result is the same everywhere."""
    image = photograph()
    plain = bundled(network).smooth(image)
    permuted = bundled(network).smooth(np.ascontiguousarray(image[..., [2, 0, 1]]))
    inverted = 1 - bundled(network).smooth(1 - image)
    assert 255 * np.abs(permuted[..., [1, 2, 0]] - plain).max() < 0.01
    assert 0 < 255 * np.abs(inverted - plain).max() < 0.01


def test_flat_areas_show_no_grid_of_two_pixels(network: str) -> None:
    """The network works on cells of 2 x 2 pixels; their four places must look the same."""
    flat = np.full((128, 128, 3), (0.55, 0.5, 0.45), np.float32)
    waves = 0.08 * np.sin(np.arange(128) * 0.9)[:, None] * np.sin(np.arange(128) * 1.1)
    smoothed = bundled(network).smooth(flat + waves[..., None].astype(np.float32))[16:-16, 16:-16]
    means = [smoothed[y::2, x::2].mean(axis=(0, 1)) for y in (0, 1) for x in (0, 1)]
    assert np.ptp(255 * np.array(means), axis=0).max() < 0.25
