"""The measures: known values, limits, and one error for each misuse."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import metrics as reference

from csgisnet.evaluation.metrics import (
    boundary_retention,
    gradient_magnitude,
    mask_boundary,
    psnr,
    ssim,
    texture_residual,
)


@pytest.mark.parametrize("shape", [(40, 33), (33, 40, 3)], ids=["grey", "colour"])
def test_equal_scikit_image_with_the_settings_of_the_paper(shape: tuple[int, ...]) -> None:
    generator = np.random.default_rng(0)
    label = generator.random(shape, np.float32)
    noisy = np.clip(label + generator.normal(0, 0.05, shape).astype(np.float32), 0, 1)
    expected = reference.structural_similarity(  # type: ignore[no-untyped-call]
        noisy,
        label,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=-1 if len(shape) == 3 else None,
    )
    assert ssim(noisy, label) == pytest.approx(expected, abs=1e-6)
    expected = reference.peak_signal_noise_ratio(  # type: ignore[no-untyped-call]
        label, noisy, data_range=1.0
    )
    assert psnr(noisy, label) == pytest.approx(expected, abs=1e-6)


def test_ssim_by_its_formula_on_one_window() -> None:
    a, b = np.random.default_rng(1).random((2, 11, 11))
    line = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    w = np.outer(line, line) / line.sum() ** 2
    mu_a, mu_b = (w * a).sum(), (w * b).sum()
    var_a, var_b = (w * (a - mu_a) ** 2).sum(), (w * (b - mu_b) ** 2).sum()
    cov = (w * (a - mu_a) * (b - mu_b)).sum()
    expected = (2 * mu_a * mu_b + 1e-4) * (2 * cov + 9e-4)
    expected /= (mu_a**2 + mu_b**2 + 1e-4) * (var_a + var_b + 9e-4)
    assert ssim(a, b) == pytest.approx(expected, abs=1e-9)


def test_known_values() -> None:
    label = np.full((16, 16, 3), 0.5)
    assert psnr(label + 0.1, label) == pytest.approx(20)
    assert psnr(label, label) == math.inf
    assert ssim(label, label) == pytest.approx(1)


def step_and_ripple() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """A step between columns 9 and 10, the same with stripes of rows, and the step's boundary."""
    label = np.zeros((20, 20))
    label[:, 10:] = 0.5
    ripple = label + 0.1 * (np.arange(20) // 2 % 2)[:, None]
    return label, ripple, mask_boundary(label)


def test_boundary_retention_of_known_images() -> None:
    label, _, boundary = step_and_ripple()
    assert boundary_retention(label, label, boundary) == pytest.approx(1)
    assert boundary_retention(0.5 * label, label, boundary) == pytest.approx(0.5)
    assert boundary_retention(2 * label, label, boundary) == pytest.approx(1)  # no bonus
    assert boundary_retention(0 * label, label, boundary) == 0
    assert math.isnan(boundary_retention(label, 0 * label, boundary))


def test_texture_residual_of_known_images() -> None:
    label, ripple, boundary = step_and_ripple()
    assert texture_residual(ripple, ripple, boundary) == pytest.approx(1)
    assert texture_residual(label, ripple, boundary) == pytest.approx(0)
    halfway = (label + ripple) / 2
    assert texture_residual(halfway, ripple, boundary) == pytest.approx(0.5)
    assert math.isnan(texture_residual(ripple, label, boundary))


def test_texture_near_a_boundary_does_not_count() -> None:
    image = np.zeros((9, 20))
    image[:, 6] = 1.0  # its gradient lies on columns 5 and 7
    boundary = np.zeros((9, 20), np.bool_)
    boundary[:, 9] = True
    assert texture_residual(image, image, boundary) == 1
    boundary[:, 3] = True
    assert math.isnan(texture_residual(image, image, boundary))
    assert texture_residual(image, image, boundary, margin=1) == 1


def test_colour_counts_as_the_root_mean_square_of_channels() -> None:
    ramp = np.zeros((5, 6, 3))
    ramp[..., 0] = 0.3 * np.arange(6)
    np.testing.assert_allclose(gradient_magnitude(ramp), 0.3 / math.sqrt(3))
    np.testing.assert_allclose(gradient_magnitude(ramp[..., 0]), 0.3)


def test_mask_boundary_marks_both_sides() -> None:
    mask = np.array([[0, 0, 7], [0, 0, 7], [255, 0, 7]], np.uint8)
    expected = np.array([[0, 1, 1], [1, 1, 1], [1, 1, 1]], np.bool_)
    np.testing.assert_array_equal(mask_boundary(mask), expected)


def test_bad_arguments_are_named() -> None:
    image = np.zeros((12, 12))
    with pytest.raises(ValueError, match=r"of the same shape, got \(12, 12\) and \(12, 12, 3\)"):
        psnr(image, np.zeros((12, 12, 3)))
    with pytest.raises(ValueError, match=r"at least 11 pixels, got \(10, 12\)"):
        ssim(image[:10], image[:10])
    with pytest.raises(ValueError, match=r"image's shape \(12, 12\), got \(12,\)"):
        boundary_retention(image, image, np.zeros(12))
