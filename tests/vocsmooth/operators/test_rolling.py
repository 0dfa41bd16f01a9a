"""Rolling guidance against the authors' outputs and a window-by-window loop."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vocsmooth.operators import kernels
from vocsmooth.operators.rolling import rolling_guidance_filter, spatial_weights

Array = NDArray[np.float64]


def loop(image: Array, sigma_space: float, sigma_range: float, num_iter: int) -> Array:
    """Equation 6 pixel by pixel."""
    spatial = spatial_weights(sigma_space)
    r = len(spatial) // 2
    values = np.pad(image, r, mode="edge")
    guide = np.zeros_like(image)
    for _ in range(num_iter):
        levels = np.pad(guide, r, mode="edge")
        result = np.empty_like(image)
        for y, x in np.ndindex(image.shape):
            window = np.s_[y : y + 2 * r + 1, x : x + 2 * r + 1]
            w = spatial * np.exp(-((levels[window] - guide[y, x]) ** 2) / (2 * sigma_range**2))
            result[y, x] = (w * values[window]).sum() / w.sum()
        guide = result
    return guide


@pytest.mark.parametrize("shape", [(17, 13), (1, 1), (1, 8), (9, 1)])
@pytest.mark.parametrize("sigma_space", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("num_iter", [1, 3])
def test_is_the_loop(shape: tuple[int, int], sigma_space: float, num_iter: int) -> None:
    image = np.random.default_rng(5).random(shape)
    result = rolling_guidance_filter(image, sigma_space, 0.1, num_iter)
    np.testing.assert_allclose(result, loop(image, sigma_space, 0.1, num_iter), atol=1e-12)


def test_more_pixels_than_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(5).random((23, 19))
    expected = rolling_guidance_filter(image, 2.0)
    for run in (7, 64, 200):
        monkeypatch.setattr("vocsmooth.operators.bilateral._RUN", run)
        np.testing.assert_allclose(rolling_guidance_filter(image, 2.0), expected, atol=1e-13)


def test_agrees_with_the_authors(shared: Path) -> None:
    for file in sorted((shared / "operators").glob("*.npz")):
        image = np.asarray(Image.open(file.with_suffix(".png")), np.float32) / np.float32(255)
        with np.load(file) as outputs:
            error = np.abs(rolling_guidance_filter(image) - outputs["rgf_4_0p1_4"]).max()
        assert error * 255 < 0.01, file.name


def test_small_structures_go_and_large_edges_come_back() -> None:
    image = np.full((40, 60), 0.2)
    image[:, 30:] = 0.8
    textured = image + 0.1 * (np.indices(image.shape).sum(0) % 2 - 0.5)
    result = rolling_guidance_filter(textured, 3.0, 0.1, 6)
    assert np.abs(result - image)[8:-8, 8:25].max() < 0.01
    assert np.abs(result - image)[8:-8, 35:-8].max() < 0.01
    assert result[20, 31] - result[20, 28] > 0.55


def test_the_window_ends_where_the_gaussian_falls_below_a_twentieth() -> None:
    weights = spatial_weights(4.0)
    assert weights.shape == (19, 19)
    assert weights[9, 9] == 1
    inside = np.add.outer(np.arange(-9, 10) ** 2, np.arange(-9, 10) ** 2) <= 95
    np.testing.assert_array_equal(weights > 0, inside)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"sigma_space": 0}, "sigma_space must be greater than 0, got 0"),
        ({"sigma_range": 1e-4}, "sigma_range must be at least 0.001, got 0.0001"),
        ({"num_iter": 0}, "num_iter must be at least 1, got 0"),
    ],
)
def test_refuses_bad_parameters(params: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rolling_guidance_filter(np.zeros((2, 2)), **params)  # type: ignore[arg-type]


@pytest.mark.skipif(kernels.library is None, reason="the kernels were not compiled")
@pytest.mark.parametrize("shape", [(1, 1), (5, 90), (97, 83, 2)])
def test_the_kernel_does_what_numpy_does(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.random.default_rng(4).random(shape, np.float32)
    compiled = rolling_guidance_filter(image, sigma_space=3.0, num_iter=3)
    monkeypatch.setattr(kernels, "library", None)
    plain = rolling_guidance_filter(image, sigma_space=3.0, num_iter=3)
    assert not np.array_equal(compiled, plain) or image.size == 1  # two ways were taken
    np.testing.assert_allclose(compiled, plain, rtol=0, atol=2e-5)
