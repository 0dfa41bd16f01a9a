"""Measures that compare a smoothed image with a label, an input and a map of boundaries.

Images are (H, W) or (H, W, C) float arrays in [0, 1]; boundary maps are (H, W), true or 1 on a
boundary.

References
----------
.. [1] Z. Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity",
       IEEE Transactions on Image Processing 13(4), 2004.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.metrics import structural_similarity

SMALLEST_SIDE = 11
"""Pixels: the side of SSIM's window, which must fit into the image."""


def psnr(image: NDArray[Any], label: NDArray[Any]) -> float:
    """Return the peak signal-to-noise ratio in dB over all values; infinite for equal images.

    Raises
    ------
    ValueError
        The shapes differ.
    """
    _check_pair(image, label)
    error = np.mean(np.square(image.astype(np.float64) - label))
    return math.inf if error == 0 else -10 * math.log10(error)


def ssim(image: NDArray[Any], label: NDArray[Any]) -> float:
    """Return the structural similarity [1]_: the mean over channels and windows inside the image.

    Gaussian window of 11 pixels with sigma 1.5, K1 0.01, K2 0.03, population covariances: the
    settings that scikit-image names to match the reference implementation.

    Raises
    ------
    ValueError
        The shapes differ, or a side is shorter than the window.
    """
    _check_pair(image, label)
    if min(image.shape[:2]) < SMALLEST_SIDE:
        raise ValueError(
            f"SSIM needs sides of at least {SMALLEST_SIDE} pixels, got {image.shape[:2]}."
        )
    return float(
        structural_similarity(  # type: ignore[no-untyped-call]
            image.astype(np.float64),
            label.astype(np.float64),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
            channel_axis=-1 if image.ndim == 3 else None,
        )
    )


def boundary_retention(
    result: NDArray[Any], reference: NDArray[Any], boundary: NDArray[Any]
) -> float:
    """Return the share of the reference's gradient on boundaries that the result keeps, 0 to 1.

    That is the smaller of the two gradient magnitudes, summed over boundary pixels, divided by the
    sum of the reference's, so sharpening earns nothing. The reference is the label, or the input if
    there is none. NaN if the reference has no gradient on any boundary.
    """
    _check_pair(result, reference)
    on = _check_boundary(boundary, result)
    kept, wanted = gradient_magnitude(result)[on], gradient_magnitude(reference)[on]
    return _share(np.minimum(kept, wanted).sum(), wanted.sum())


def texture_residual(
    result: NDArray[Any], image: NDArray[Any], boundary: NDArray[Any], margin: int = 2
) -> float:
    """Return the gradient left inside regions, relative to the input's: 0 is flat, 1 untouched.

    Pixels within `margin` of a boundary do not count. NaN if the input has no gradient there.
    """
    _check_pair(result, image)
    near = ndimage.binary_dilation(_check_boundary(boundary, result), iterations=margin)
    left, before = gradient_magnitude(result)[~near], gradient_magnitude(image)[~near]
    return _share(left.sum(), before.sum())


def mask_boundary(mask: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where a class mask (H, W) changes between a pixel and its right or lower neighbour.

    Both pixels are marked. Changes to and from void (255) count too: VOC draws its void seams
    around objects.
    """
    boundary = np.zeros(mask.shape, np.bool_)
    down, right = mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]
    boundary[1:] |= down
    boundary[:-1] |= down
    boundary[:, 1:] |= right
    boundary[:, :-1] |= right
    return boundary


def gradient_magnitude(image: NDArray[Any]) -> NDArray[np.float64]:
    """Return the magnitude (H, W) of central differences, the root mean square of the channels."""
    planes = image.astype(np.float64).reshape(*image.shape[:2], -1)
    down, right = np.gradient(planes, axis=(0, 1))
    magnitude: NDArray[np.float64] = np.sqrt((down**2 + right**2).mean(axis=2))
    return magnitude


def _share(kept: float, total: float) -> float:
    """Return kept / total, or NaN if the total is 0."""
    return float(kept / total) if total > 0 else math.nan


def _check_pair(image: NDArray[Any], other: NDArray[Any]) -> None:
    """Raise ValueError unless both are images of the same shape."""
    if image.shape != other.shape or image.ndim not in (2, 3):
        raise ValueError(
            f"expected two images (H, W[, C]) of the same shape, got {image.shape} and "
            f"{other.shape}."
        )


def _check_boundary(boundary: NDArray[Any], image: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the boundary map as booleans; ValueError unless it fits the image."""
    if boundary.shape != image.shape[:2]:
        raise ValueError(
            f"boundary must have the image's shape {image.shape[:2]}, got {boundary.shape}."
        )
    return boundary.astype(np.bool_)
