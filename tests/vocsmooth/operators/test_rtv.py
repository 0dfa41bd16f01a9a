"""RTV smoothing against the authors' outputs and exact solutions; the kernels against NumPy."""

from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import scipy.sparse
import scipy.sparse.linalg
from numpy.typing import NDArray
from PIL import Image

from vocsmooth.operators import kernels
from vocsmooth.operators.rtv import rtv_smooth

Array = NDArray[np.float64]

BOUND = 0.5 / 255

REFERENCES = (
    "flat_80x64",
    "flower_128x128",
    "gray_113x90",
    "photo_127x101_primes",
    "photo_160x120",
    "voc_149x96",
)

needs_library = pytest.mark.skipif(kernels.library is None, reason="the kernels were not compiled")


def scene(height: int, width: int, channels: int = 3) -> Array:
    """Blocks under a fine grid and noise."""
    rng = np.random.default_rng(11)
    blocks = rng.random((-(-height // 16), -(-width // 16), channels))
    image = np.kron(blocks, np.ones((16, 16, 1)))[:height, :width] * 0.7
    grid = 0.2 * (np.add.outer(np.arange(height), np.arange(width)) % 4 == 0)
    noisy: Array = image + grid[:, :, np.newaxis] + rng.normal(0, 0.02, image.shape)
    return np.clip(noisy, 0, 1)


def exact(image: Array, lam: float, sigma: float, sharpness: float, num_iter: int = 4) -> Array:
    """The paper's iteration in double precision, each system solved by elimination."""
    smooth = image
    for _ in range(num_iter):
        east, south = weights(smooth, lam / 2, sigma, sharpness)
        smooth = solve(east, south, image)
        sigma = max(sigma / 2, 0.5)
    return smooth


def weights(image: Array, lam: float, sigma: float, sharpness: float) -> tuple[Array, Array]:
    radius = (round(5 * sigma + 1e-9) | 1) // 2
    blurred = image
    for axis in (0, 1):
        blurred = scipy.ndimage.gaussian_filter1d(
            blurred, sigma, axis=axis, mode="constant", radius=radius
        )
    across, down = (np.diff(image, axis=a, append=image.take([-1], a)) for a in (1, 0))
    length = np.maximum(np.hypot(across, down).mean(2), sharpness)
    across, down = (np.diff(blurred, axis=a, append=blurred.take([-1], a)) for a in (1, 0))
    east = lam / (length * np.maximum(np.abs(across).mean(2), 1e-3))
    south = lam / (length * np.maximum(np.abs(down).mean(2), 1e-3))
    return east, south


def solve(east: Array, south: Array, image: Array) -> Array:
    index = np.arange(east.size).reshape(east.shape)
    first = np.concatenate([index[:, :-1].ravel(), index[:-1].ravel()])
    second = np.concatenate([index[:, 1:].ravel(), index[1:].ravel()])
    coupling = np.concatenate([east[:, :-1].ravel(), south[:-1].ravel()])
    graph = scipy.sparse.coo_array((coupling, (first, second)), (east.size, east.size))
    graph = (graph + graph.T).tocsc()
    system = scipy.sparse.diags_array(1 + graph.sum(axis=0)) - graph
    factors = scipy.sparse.linalg.splu(system.tocsc(), permc_spec="MMD_AT_PLUS_A")
    return np.stack(
        [factors.solve(p.ravel()).reshape(p.shape) for p in np.moveaxis(image, 2, 0)], 2
    )


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gives_the_authors_outputs(shared: Path, name: str, dtype: type, backend: str) -> None:
    image: Array = (np.asarray(Image.open(shared / f"operators/{name}.png")) / 255).astype(dtype)
    expected = np.load(shared / f"operators/{name}.npz")
    for key, lam, sigma in (
        ("rtv_0p015_3", 0.015, 3),
        ("rtv_0p01_3", 0.01, 3),
        ("rtv_0p04_5", 0.04, 5),
    ):
        np.testing.assert_allclose(rtv_smooth(image, lam, sigma), expected[key], rtol=0, atol=BOUND)


@pytest.mark.parametrize(
    ("lam", "sigma", "sharpness"),
    [(0.005, 1, 0.03), (0.01, 3, 0.02), (0.05, 3, 0.02), (0.05, 1, 0.005), (0.05, 6, 0.005)],
)
@pytest.mark.parametrize("photo", ["12074", "65010", "108073", "138078"])
def test_is_the_exact_solution_on_photographs(
    shared: Path, photo: str, lam: float, sigma: float, sharpness: float
) -> None:
    image = np.asarray(Image.open(shared / f"photos/{photo}.jpg"))[60:160, 100:230] / 255
    expected = exact(image, lam, sigma, sharpness)
    result = rtv_smooth(image, lam, sigma, sharpness)
    np.testing.assert_allclose(result, expected, rtol=0, atol=BOUND)


@pytest.mark.parametrize("lam", [1.0, 100.0])
def test_survives_smoothing_so_strong_that_weights_lose_all_support(
    shared: Path, lam: float, backend: str
) -> None:
    """On this crop coarse points have negative couplings only."""
    image = np.asarray(Image.open(shared / "photos/138078.jpg"))[:150, :200] / 255
    np.testing.assert_allclose(
        rtv_smooth(image, lam, 3), exact(image, lam, 3, 0.02), rtol=0, atol=BOUND
    )


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 2), (1, 50), (50, 1), (2, 2), (3, 2), (33, 31), (64, 17), (37, 128)]
)
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_is_exact_at_every_size(shape: tuple[int, int], channels: int, backend: str) -> None:
    image = scene(*shape, channels)
    expected = exact(image, 0.02, 2, 0.02)
    np.testing.assert_allclose(rtv_smooth(image, 0.02, 2), expected, rtol=0, atol=BOUND)


@needs_library
def test_kernels_do_what_numpy_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same algorithm: far closer to each other than the tolerance is wide."""
    image = scene(75, 118)
    fast = rtv_smooth(image)
    monkeypatch.setattr(kernels, "library", None)
    np.testing.assert_allclose(fast, rtv_smooth(image), rtol=0, atol=0.01 / 255)


def test_transposing_commutes(backend: str) -> None:
    image = scene(40, 40)
    transposed = rtv_smooth(image.transpose(1, 0, 2), 0.02).transpose(1, 0, 2)
    np.testing.assert_allclose(transposed, rtv_smooth(image, 0.02), rtol=0, atol=BOUND)


def test_permuting_channels_permutes_the_result(backend: str) -> None:
    image = scene(31, 45)
    permuted = rtv_smooth(image[:, :, [2, 0, 1]])
    np.testing.assert_allclose(permuted, rtv_smooth(image)[:, :, [2, 0, 1]], atol=1e-4 / 255)


def test_stays_in_the_range_and_at_the_mean_of_each_channel(backend: str) -> None:
    image = scene(50, 60)
    result = rtv_smooth(image, 0.05)
    assert image.min() - BOUND <= result.min()
    assert result.max() <= image.max() + BOUND
    np.testing.assert_allclose(result.mean((0, 1)), image.mean((0, 1)), atol=BOUND)


def test_takes_texture_away_and_leaves_an_edge(backend: str) -> None:
    image = np.where(np.arange(64) < 32, 0.2, 0.8) + 0.05 * (-1.0) ** np.add.outer(
        np.arange(40), np.arange(64)
    )
    result = rtv_smooth(image, 0.01, 3)
    flat = result[10:30, 5:25]
    assert np.ptp(flat) < 0.02
    assert result[20, 40] - result[20, 24] > 0.4


def test_lam_zero_changes_nothing(backend: str) -> None:
    image = scene(20, 30)
    np.testing.assert_array_equal(rtv_smooth(image, 0), image)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"lam": -1.0}, "lam must be at least 0"),
        ({"sigma": 0.0}, "sigma must be greater than 0"),
        ({"sharpness": 0.0}, "sharpness must be greater than 0"),
        ({"num_iter": 0}, "num_iter must be at least 1"),
        ({"lam": 1e11}, "too large for sharpness 0.02"),
    ],
)
def test_refuses_parameters_out_of_range(params: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rtv_smooth(np.zeros((4, 4)), **params)  # type: ignore[arg-type]
