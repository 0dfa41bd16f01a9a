"""The guided filter against its definition, the authors' outputs and regressions of windows."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vocsmooth.operators import kernels
from vocsmooth.operators.guided import box_mean, guided_filter

Array = NDArray[np.float64]


def windows(side: int, radius: int) -> list[slice]:
    return [slice(max(0, c - radius), c + radius + 1) for c in range(side)]


def regression(image: Array, guide: Array, radius: int, eps: float) -> Array:
    """Equations 5 and 8 word by word: one ridge regression a window, then the mean prediction."""
    height, width, _ = guide.shape
    total, count = np.zeros(image.shape), np.zeros((height, width, 1))
    for rows in windows(height, radius):
        for columns in windows(width, radius):
            x = guide[rows, columns].reshape(-1, guide.shape[2])
            y = image[rows, columns].reshape(len(x), -1)
            deviation = x - x.mean(0)
            ridge = deviation.T @ deviation + len(x) * eps * np.eye(x.shape[1])
            slope = np.linalg.solve(ridge, deviation.T @ (y - y.mean(0)))
            shape = (*image[rows, columns].shape[:2], -1)
            total[rows, columns] += (deviation @ slope + y.mean(0)).reshape(shape)
            count[rows, columns] += 1
    return total / count


@pytest.fixture(scope="module")
def scene() -> Array:
    """Edges, texture and channels that nearly agree: the hard case for a colour guide."""
    rng = np.random.default_rng(3)
    grey = np.kron(rng.random((4, 4)), np.ones((5, 4))) * 0.8 + 0.1
    return np.clip(grey[:, :, np.newaxis] + rng.normal(0, 0.003, (20, 16, 3)), 0, 1)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("eps", [1e-6, 1e-4, 1e-2])
@pytest.mark.parametrize("radius", [1, 3, 40])
def test_is_the_regression_for_grey_and_colour_guides(
    scene: Array, radius: int, eps: float
) -> None:
    for guide in (scene, scene[:, :, :1], scene[:, :, :2]):
        expected = regression(scene, guide, radius, eps)
        np.testing.assert_allclose(guided_filter(scene, guide, radius, eps), expected, atol=1e-7)


def test_without_guide_every_channel_guides_itself(scene: Array) -> None:
    result = guided_filter(scene, radius=2, eps=0.001)
    for c in range(3):
        alone = guided_filter(scene[:, :, c], scene[:, :, c], 2, 0.001)
        np.testing.assert_array_equal(result[:, :, c], alone)


@pytest.mark.usefixtures("backend")
def test_float32_is_as_exact_as_its_rounding(scene: Array) -> None:
    image = scene.astype(np.float32)
    result = guided_filter(image, image, 3, 1e-6)
    assert result.dtype == np.float32
    expected = regression(image.astype(float), image.astype(float), 3, 1e-6)
    np.testing.assert_allclose(result, expected, atol=2e-7)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("kind", ["gray", "color"])
def test_agrees_with_the_authors(shared: Path, kind: str) -> None:
    compared = 0
    for file in sorted((shared / "operators").glob("*.npz")):
        image = np.asarray(Image.open(file.with_suffix(".png"))) / 255
        with np.load(file) as outputs:
            for key in outputs:
                if key.startswith(f"guided_{kind}"):
                    radius, eps = key.replace("p", ".").split("_")[2:]
                    guide = None if kind == "gray" else image
                    result = guided_filter(image, guide, int(radius[1:]), float(eps))
                    assert np.abs(result - outputs[key]).max() * 255 < 1e-3, (file.name, key)
                    compared += 1
    assert compared >= 6


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (6, 11)])
@pytest.mark.parametrize("radius", [1, 2, 4, 100])
def test_box_mean_is_the_mean_of_the_cut_window(shape: tuple[int, int], radius: int) -> None:
    plane = np.random.default_rng(0).random(shape)
    expected = [
        [plane[rows, columns].mean() for columns in windows(shape[1], radius)]
        for rows in windows(shape[0], radius)
    ]
    np.testing.assert_allclose(box_mean(plane, radius), expected, atol=1e-14)


@pytest.mark.usefixtures("backend")
def test_an_affine_image_of_the_guide_is_kept(scene: Array) -> None:
    image = 0.1 + 0.5 * scene[:, :, 0]
    np.testing.assert_allclose(guided_filter(image, scene, 3, 1e-12), image, atol=1e-5)


@pytest.mark.skipif(kernels.library is None, reason="the kernels were not compiled")
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (5, 70), (64, 3), (30, 41)])
@pytest.mark.parametrize("radius", [1, 7, 29, 500])
def test_both_ways_agree(
    shape: tuple[int, int], radius: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(8)
    cases = [(i, g) for i in (1, 2, 3, 4) for g in (1, 3)]
    inputs = [(rng.random((*shape, i)), rng.random((*shape, g))) for i, g in cases]
    compiled = [guided_filter(image, guide, radius, 1e-4) for image, guide in inputs]
    monkeypatch.setattr(kernels, "library", None)
    for (image, guide), result in zip(inputs, compiled, strict=True):
        np.testing.assert_allclose(result, guided_filter(image, guide, radius, 1e-4), atol=1e-11)


def test_refuses_what_it_cannot_do(scene: Array) -> None:
    with pytest.raises(ValueError, match=r"guide must have the image's height and width, \(20, 16"):
        guided_filter(scene, scene[1:])
    with pytest.raises(TypeError, match="guide must be float32 or float64"):
        guided_filter(scene, (scene * 255).astype(np.uint8))
    with pytest.raises(ValueError, match="eps must be at least 1e-12, got 0"):
        guided_filter(scene, eps=0)
    with pytest.raises(ValueError, match="radius must be at least 1, got 0"):
        guided_filter(scene, radius=0)
    with pytest.raises(TypeError, match="radius must be a whole number"):
        guided_filter(scene, radius=1.5)  # type: ignore[arg-type]
