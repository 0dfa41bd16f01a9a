"""L0 smoothing against the authors' outputs and its definition; the kernels against NumPy."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vocsmooth.operators import compiled, kernels
from vocsmooth.operators.l0 import l0_smooth

Array = NDArray[np.float64]

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
    """Blocks with noise: gradients on both sides of every threshold."""
    rng = np.random.default_rng(7)
    blocks = rng.random((-(-height // 8), -(-width // 8), channels))
    image = np.kron(blocks, np.ones((8, 8, 1)))[:height, :width]
    return np.clip(image + rng.normal(0, 0.04, image.shape), 0, 1)


def by_definition(image: Array, lam: float, kappa: float = 2.0) -> Array:
    """Algorithm 1 of the paper, the linear systems solved as dense matrices."""
    height, width, channels = image.shape
    index = np.arange(height * width).reshape(height, width)
    identity = np.eye(height * width)
    across = identity[np.roll(index, -1, 1).ravel()] - identity
    down = identity[np.roll(index, -1, 0).ravel()] - identity
    flat: Array = image.reshape(-1, channels)
    smooth: NDArray[Any] = flat
    beta = 2 * lam
    while beta < 1e5:
        h, v = across @ smooth, down @ smooth
        dropped = (h**2 + v**2).sum(1) < lam / beta
        h[dropped] = v[dropped] = 0
        system = identity + beta * (across.T @ across + down.T @ down)
        smooth = np.linalg.solve(system, flat + beta * (across.T @ h + down.T @ v))
        beta *= kappa
    return np.reshape(smooth, image.shape)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (9, 1), (2, 3), (10, 12), (11, 13), (17, 6)])
def test_is_the_definition_at_every_size(shape: tuple[int, int], backend: str) -> None:
    image = scene(*shape, channels=2)
    np.testing.assert_allclose(l0_smooth(image, 0.01), by_definition(image, 0.01), atol=1e-10)


def test_kappa_sets_the_rounds(backend: str) -> None:
    image = scene(8, 9)
    np.testing.assert_allclose(
        l0_smooth(image, 0.03, kappa=1.4), by_definition(image, 0.03, 1.4), atol=1e-10
    )


@pytest.mark.parametrize("name", REFERENCES)
def test_gives_the_authors_outputs(shared: Path, name: str, backend: str) -> None:
    image = np.asarray(Image.open(shared / f"operators/{name}.png")) / 255
    expected = np.load(shared / f"operators/{name}.npz")
    for key, lam in (("l0_0p01", 0.01), ("l0_0p02", 0.02), ("l0_0p05", 0.05)):
        np.testing.assert_allclose(l0_smooth(image, lam), expected[key], rtol=0, atol=1e-6)
        error = np.abs(l0_smooth(image.astype(np.float32), lam) - expected[key])
        assert np.mean(error > 0.5 / 255) <= 1e-4


@needs_library
@pytest.mark.parametrize(
    "shape", [(48, 64), (64, 48), (81, 40), (53, 59), (77, 128), (100, 107), (143, 16)]
)
def test_kernels_agree_with_numpy_for_every_kind_of_length(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Powers, odd primes small and large, products: every butterfly and the chirp."""
    image = scene(*shape)
    fast = l0_smooth(image, 0.02)
    monkeypatch.setattr(kernels, "library", None)
    np.testing.assert_allclose(fast, l0_smooth(image, 0.02), atol=1e-10)


@needs_library
def test_the_friendlier_side_gets_the_transforms(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prime height and another width change places, which leaves no trace in the result."""
    assert kernels.library is not None
    assert kernels.library.fft_cost(479) > 3 * kernels.library.fft_cost(640)
    image = scene(53, 64)
    turned = l0_smooth(image.swapaxes(0, 1)).swapaxes(0, 1)
    np.testing.assert_array_equal(l0_smooth(image), turned)
    monkeypatch.setattr(compiled, "TURN", np.inf)
    straight = l0_smooth(image)
    assert not np.array_equal(straight, turned)
    np.testing.assert_allclose(straight, turned, atol=1e-10)


def test_shifts_with_the_image_as_borders_are_periodic(backend: str) -> None:
    image = scene(24, 31)
    shifted = np.roll(image, (5, -9), (0, 1))
    result = np.roll(l0_smooth(image), (5, -9), (0, 1))
    np.testing.assert_allclose(l0_smooth(shifted), result, atol=1e-10)


def test_mean_of_each_channel_stays(backend: str) -> None:
    image = scene(30, 22, 5)
    result = l0_smooth(image, 0.04)
    np.testing.assert_allclose(result.mean((0, 1)), image.mean((0, 1)), atol=1e-12)


def test_a_clean_step_keeps_its_contrast_and_loses_its_noise(backend: str) -> None:
    step = np.repeat([[0.2, 0.8]], 20, 0).repeat(16, 1)
    noisy = step + np.random.default_rng(0).normal(0, 0.01, step.shape)
    result = l0_smooth(noisy, 0.02)
    np.testing.assert_allclose(result, step, atol=0.01)
    assert result[:, :16].std() < 0.001


@pytest.mark.parametrize(
    ("params", "message"),
    [({"lam": 0}, "lam must be greater than 0"), ({"kappa": 1}, "kappa must be greater than 1")],
)
def test_refuses_parameters_out_of_range(params: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        l0_smooth(np.zeros((4, 4)), **params)
