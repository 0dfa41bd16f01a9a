"""ILS against the authors' outputs, dense solves, and what its penalties promise."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vocsmooth.operators import kernels
from vocsmooth.operators.ils import ils_smooth

Array = NDArray[np.float64]


@pytest.mark.parametrize(
    ("key", "params"),
    [
        ("ils_welsch_30_10_10", {}),
        ("ils_lnorm_1_0p8", {"lam": 1.0, "num_iter": 4, "penalty": "charbonnier"}),
    ],
)
def test_agrees_with_the_authors(shared: Path, key: str, params: dict[str, Any]) -> None:
    for file in sorted((shared / "operators").glob("*.npz")):
        image = np.asarray(Image.open(file.with_suffix(".png")), np.float32) / np.float32(255)
        with np.load(file) as outputs:
            error = np.abs(ils_smooth(image, **params) - outputs[key]).max()
        assert error * 255 < 0.01, file.name


def gradient_matrix(shape: tuple[int, int]) -> Array:
    """Periodic forward differences down and right, as a matrix on the flattened image."""
    pixels = np.eye(shape[0] * shape[1]).reshape(*shape, -1)
    differences = [np.roll(pixels, -1, axis) - pixels for axis in (0, 1)]
    return np.concatenate([d.reshape(shape[0] * shape[1], -1) for d in differences])


@pytest.mark.parametrize("shape", [(7, 5), (1, 6), (4, 1), (1, 1)])
def test_each_step_minimises_its_quadratic(shape: tuple[int, int], backend: str) -> None:
    lam, gamma = 3.0, 0.05
    image = np.random.default_rng(2).random(shape)
    grad = gradient_matrix(shape)
    u: NDArray[Any] = image.ravel()
    for num_iter in (1, 2, 3):
        x = grad @ u
        mu = 2 * x - 2 * x * np.exp(-(x**2) / (2 * gamma**2))
        matrix = np.eye(u.size) + lam * grad.T @ grad  # lambda c / 2 with c = 2
        u = np.linalg.solve(matrix, u + lam / 2 * grad.T @ mu)
        result = ils_smooth(image, lam, gamma, num_iter)
        np.testing.assert_allclose(result.ravel(), u, atol=1e-12)


@pytest.mark.parametrize("shape", [(13, 20, 3), (31, 8), (1, 9), (2, 2)])
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"lam": 1000.0, "gamma": 0.5},
        {"lam": 1.0, "num_iter": 4, "penalty": "charbonnier"},
        {"lam": 0.5, "penalty": "charbonnier", "p": 2.0, "eps": 1e-9},
    ],
)
def test_kernels_do_what_numpy_does(
    shape: tuple[int, ...], params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.random.default_rng(2).random(shape)
    ours = ils_smooth(image, **params)
    monkeypatch.setattr(kernels, "library", None)
    np.testing.assert_allclose(ours, ils_smooth(image, **params), atol=1e-11)


@pytest.mark.parametrize("lam", [1e-30, 1e9])
def test_strengths_beyond_the_kernels_digits_are_left_to_numpy(lam: float) -> None:
    image = np.random.default_rng(2).random((8, 9))
    expected = image if lam < 1 else np.full_like(image, image.mean())
    np.testing.assert_allclose(ils_smooth(image, lam, gamma=100.0), expected, atol=1e-6)


def test_no_smoothing_is_no_change() -> None:
    image = np.random.default_rng(2).random((8, 9, 3))
    np.testing.assert_allclose(ils_smooth(image, lam=0), image, atol=1e-12)


def test_the_mean_is_kept() -> None:
    image = np.random.default_rng(2).random((8, 9, 3))
    kept = ils_smooth(image).mean(axis=(0, 1))
    np.testing.assert_allclose(kept, image.mean(axis=(0, 1)), atol=1e-12)


def test_texture_goes_and_a_strong_edge_stays() -> None:
    image = np.full((32, 32), 0.2)
    image[:, 8:24] = 0.8
    textured = image + 0.02 * (np.indices(image.shape).sum(0) % 2 - 0.5)
    assert np.abs(ils_smooth(textured) - image).max() < 0.02
    assert np.abs(ils_smooth(textured) - image)[:, 12:20].max() < 0.002


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"lam": -1}, "lam must be at least 0, got -1"),
        ({"gamma": 0}, "gamma must be greater than 0, got 0"),
        ({"num_iter": 0}, "num_iter must be at least 1, got 0"),
        ({"penalty": "l1"}, "penalty must be 'welsch' or 'charbonnier', got 'l1'"),
        ({"penalty": "charbonnier", "p": 2.5}, "p must be at most 2, got 2.5"),
        ({"penalty": "charbonnier", "eps": 0}, "eps must be greater than 0, got 0"),
    ],
)
def test_refuses_bad_parameters(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ils_smooth(np.zeros((2, 2)), **params)
