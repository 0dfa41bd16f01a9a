"""The SD filter against the authors' outputs, dense solves, and its error bound."""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vocsmooth.errors import ConvergenceError
from vocsmooth.operators import compiled, compiled_solvers, kernels, sd
from vocsmooth.operators.sd import sd_filter

Array = NDArray[np.float64]

needs_library = pytest.mark.skipif(kernels.library is None, reason="the kernels were not compiled")


def test_agrees_with_the_authors(shared: Path) -> None:
    compared = 0
    for file in sorted((shared / "operators").glob("*.npz")):
        with np.load(file) as outputs:
            if "sdf_3_50_400_10" not in outputs:
                continue
            expected = outputs["sdf_3_50_400_10"]
        image = np.asarray(Image.open(file.with_suffix(".png")), np.float32) / np.float32(255)
        assert np.abs(sd_filter(image) - expected).max() * 255 < 0.05, file.name
        compared += 1
    assert compared == 5


def laplacian(features: Array, other: Array, mu: float, nu: float) -> Array:
    """Graph Laplacian of the 8-neighbour weights, pair by pair."""
    pixels = list(np.ndindex(features.shape[:2]))
    pairs = [
        (i, j)
        for (i, p), (j, q) in combinations(enumerate(pixels), 2)
        if max(abs(p[0] - q[0]), abs(p[1] - q[1])) == 1
    ]
    weights = np.ones(len(pairs))
    for values, sharpness in ((features, mu), (other, nu)):
        flat = values.reshape(len(pixels), -1)
        squares = np.array([((flat[i] - flat[j]) ** 2).sum() for i, j in pairs])
        largest = squares.max() if pairs and squares.max() > 0 else 1.0
        weights *= np.exp(-sharpness * squares / largest) + 1e-5
    matrix = np.zeros((len(pixels), len(pixels)))
    for (i, j), weight in zip(pairs, weights, strict=True):
        matrix[[i, j], [j, i]] -= weight
        matrix[[i, j], [i, j]] += weight
    return matrix


@pytest.mark.parametrize("shape", [(6, 7), (6, 7, 2), (1, 5), (5, 1), (2, 2, 4), (1, 1)])
def test_each_step_solves_its_system(
    shape: tuple[int, ...], backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sd, "TOLERANCE", 1e-12)
    image = np.random.default_rng(4).random(shape)
    flat = image.reshape(shape[0] * shape[1], -1)
    u: NDArray[Any] = np.zeros_like(image)
    for num_iter in (1, 2, 3):
        matrix = np.eye(len(flat)) + 2.0 * laplacian(image, u, 5.0, 20.0)
        u = np.linalg.solve(matrix, flat).reshape(shape)
        result = sd_filter(image, 2.0, 5.0, 20.0, num_iter)
        np.testing.assert_allclose(result, u, atol=1e-6)  # weights in single precision


@pytest.mark.parametrize("lam", [0.1, 3.0, 300.0])
def test_the_residual_bounds_the_error(
    lam: float, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.random.default_rng(4).random((24, 17))
    loose, tolerance = sd_filter(image, lam, num_iter=1), sd.TOLERANCE
    monkeypatch.setattr(sd, "TOLERANCE", 1e-13)
    assert np.abs(loose - sd_filter(image, lam, num_iter=1)).max() <= tolerance


def test_a_system_that_does_not_converge_is_an_error(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sd, "_MAX_CYCLES", 3)
    with pytest.raises(ConvergenceError, match="did not reach an error of 1e-05 in 3 cycles; use"):
        sd_filter(np.random.default_rng(4).random((24, 17)), 1000.0)


@needs_library
@pytest.mark.parametrize("shape", [(3, 37, 53), (3, 1, 1), (1, 5, 16), (2, 9, 1)])
def test_kernels_do_what_numpy_does(shape: tuple[int, int, int]) -> None:
    planes = np.random.default_rng(4).uniform(-0.1, 1.1, shape)
    plain = sd._pair_weights(planes, 5.0, 1e-5)
    np.testing.assert_allclose(compiled.pair_weights(planes, 5.0, 1e-5), plain, rtol=1e-14)
    weights = (20 * plain).astype(np.float32)
    ours, numpys = (
        solve(planes, weights, planes, tolerance=1e-12, gain=1e-5, max_cycles=1000)
        for solve in (compiled_solvers.solve_graph, sd._solve_graph)
    )
    np.testing.assert_allclose(ours.solution, numpys.solution, atol=2e-12)


@needs_library
def test_the_kernels_lab_is_numpys() -> None:
    planes = np.random.default_rng(4).uniform(-0.1, 1.1, (3, 40, 50))
    planes[:, 0] = np.linspace(0, 0.02, 50)  # where both curves are lines
    plain = sd._lab(planes, sd._LINEAR_TO_WHITE)
    np.testing.assert_allclose(compiled.rgb_to_lab(planes, sd._LINEAR_TO_WHITE), plain, atol=1e-11)


@needs_library
def test_couplings_beyond_single_precision_are_an_error() -> None:
    planes = np.zeros((1, 4, 5))
    weights = np.full((4, 4, 5), np.inf, np.float32)
    solved = compiled_solvers.solve_graph(
        planes, weights, planes + np.eye(4, 5), tolerance=1e-5, gain=1e-5, max_cycles=10
    )
    assert not solved.residual <= 1e-5


def test_range_and_mean_are_kept() -> None:
    image = np.random.default_rng(4).random((12, 15, 3))
    result = sd_filter(image, 10.0)
    assert result.min() >= image.min() - sd.TOLERANCE
    assert result.max() <= image.max() + sd.TOLERANCE
    np.testing.assert_allclose(result.mean((0, 1)), image.mean((0, 1)), atol=sd.TOLERANCE)


def test_no_smoothing_is_no_change() -> None:
    image = np.random.default_rng(4).random((5, 6, 3))
    np.testing.assert_allclose(sd_filter(image, lam=0), image, atol=1e-6)


@pytest.mark.parametrize("name", ["lam", "mu", "nu"])
def test_refuses_bad_parameters(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 0, got -1"):
        sd_filter(np.zeros((2, 2)), **{name: -1})
