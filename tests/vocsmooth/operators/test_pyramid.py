"""Pyramid texture filtering against its authors' program, and what it is for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vocsmooth.operators import kernels
from vocsmooth.operators.bilateral import joint_bilateral
from vocsmooth.operators.pyramid import pyramid_texture_filter, resize, spatial_weights

AUTHORS = Path(__file__).with_name("pyramid_authors.npz")
"""An image, and what the authors' program makes of it in Octave. Octave's imresize does not widen
its kernel as that of MATLAB does, so it was replaced by one that does what MATLAB documents."""

SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "other": {"sigma_space": 2.0, "sigma_range": 0.2, "levels": 6, "scale": 0.7},
}


@pytest.mark.parametrize("key", SETTINGS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_agrees_with_the_authors(key: str, dtype: type, backend: str) -> None:
    with np.load(AUTHORS) as file:
        image, expected = file["image"] / 255, file[key]
    result = pyramid_texture_filter(image.astype(dtype), **SETTINGS[key])
    bound = 0.01 / 255 if dtype == np.float32 else 1e-7  # the outputs are stored as float32
    np.testing.assert_allclose(result, expected, rtol=0, atol=bound)


def test_texture_goes_and_the_edge_stays() -> None:
    y, x = np.indices((128, 160))
    structure = np.where(x < 80, 0.3, 0.7)
    bricks = 0.08 * np.where((x % 12 < 6) ^ (y % 12 < 6), 1, -1)
    result = pyramid_texture_filter((structure + bricks).astype(np.float32), sigma_range=0.1)
    assert np.abs(result - structure)[16:-16, 16:-16].mean() < 0.2 * 0.08
    assert result[64, 83] - result[64, 77] > 0.35


def test_one_level_is_the_image() -> None:
    image = np.random.default_rng(1).random((9, 7, 3))
    np.testing.assert_array_equal(pyramid_texture_filter(image, levels=1), image)


def test_grey_is_what_three_equal_channels_are(backend: str) -> None:
    image = np.random.default_rng(2).random((31, 26), np.float32)
    colour = pyramid_texture_filter(np.repeat(image[..., None], 3, axis=2))
    grey = pyramid_texture_filter(image)
    np.testing.assert_allclose(colour, np.repeat(grey[..., None], 3, axis=2), atol=2e-6)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"sigma_space": 0}, "sigma_space must be greater than 0"),
        ({"sigma_range": 0}, "sigma_range must be at least 0.001"),
        ({"levels": 0}, "levels must be at least 1"),
        ({"levels": 2.0}, "levels must be a whole number"),
        ({"scale": 1.0}, "scale must be below 1"),
        ({"scale": 0.05}, "scale must be at least 0.1"),
    ],
)
def test_parameters_out_of_range(params: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        pyramid_texture_filter(np.zeros((4, 4)), **params)


def test_resizing_keeps_constants_and_shrinks_by_averages() -> None:
    ramp = np.arange(12.0).reshape(1, 1, 12)
    np.testing.assert_allclose(resize(np.full((2, 7, 5), 0.3), (3, 9)), 0.3)
    # Half the size: a triangle of 4 pixels, 1 3 3 1 over 8, the ends mirrored.
    shrunk = resize(ramp, (1, 6))[0, 0]
    np.testing.assert_allclose(shrunk[1:-1], ramp[0, 0, 2:-2].reshape(-1, 2).mean(1))
    np.testing.assert_allclose(shrunk[0], (1 * 0 + 3 * 0 + 3 * 1 + 1 * 2) / 8)
    np.testing.assert_allclose(resize(ramp, (1, 12)), ramp)


@pytest.mark.skipif(kernels.library is None, reason="the kernels were not compiled")
@pytest.mark.parametrize("replicate", [True, False])
@pytest.mark.parametrize(("channels", "guides"), [(1, 1), (3, 3), (2, 3), (4, 2), (1, 5)])
def test_the_kernel_does_what_numpy_does(
    channels: int, guides: int, replicate: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    values, guide = rng.random((channels, 61, 83)), rng.random((guides, 61, 83))
    single, single_guide = values.astype(np.float32), guide.astype(np.float32)
    window = spatial_weights(2.0)
    compiled = joint_bilateral(single, single_guide, window, 0.2, replicate=replicate)
    monkeypatch.setattr(kernels, "library", None)
    plain = joint_bilateral(single, single_guide, window, 0.2, replicate=replicate)
    assert not np.array_equal(compiled, plain)  # two ways were taken
    np.testing.assert_allclose(compiled, plain, rtol=0, atol=1e-5)
    exact = joint_bilateral(values, guide, window, 0.2, replicate=replicate)
    np.testing.assert_allclose(compiled, exact, rtol=0, atol=1e-5)
