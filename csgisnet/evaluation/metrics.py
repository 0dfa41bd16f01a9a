"""Metrics that compare a smoothed image with a label, an input and a map of boundaries.

Images are (H, W) or (H, W, C): float32 or float64 in [0, 1], or uint8 or uint16 over their own
range. Anything else is an error, never a silent wrong number. Boundary maps are (H, W), true or 1
on a boundary.

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

from vocsmooth.arrays import check_image

SMALLEST_SIDE = 11
"""Pixels: the side of SSIM's window, which must fit into the image."""


def psnr(image: NDArray[Any], label: NDArray[Any]) -> float:
    """Return the peak signal-to-noise ratio in dB over all values; infinite for equal images.

    Parameters
    ----------
    image, label : (H, W) or (H, W, C) float32, float64 in [0, 1], or uint8, uint16
        Integers are taken over their own range, so 255 in uint8 is 1.0.

    Raises
    ------
    TypeError, ValueError
        Another type, a value outside [0, 1], NaN, or shapes that differ.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.zeros((16, 16), np.uint8)
    >>> round(psnr(image, image + 1), 2)
    48.13
    """
    image, label = _measurable_pair(image, label)
    error = np.mean(np.square(image - label))
    return math.inf if error == 0 else -10 * math.log10(error)


def ssim(image: NDArray[Any], label: NDArray[Any]) -> float:
    """Return the structural similarity [1]_: the mean over channels and windows inside the image.

    Gaussian window of 11 pixels with sigma 1.5, K1 0.01, K2 0.03, population covariances: the
    settings that scikit-image names to match the reference implementation.

    Parameters
    ----------
    image, label : (H, W) or (H, W, C) float32, float64 in [0, 1], or uint8, uint16
        Integers are taken over their own range.

    Raises
    ------
    TypeError, ValueError
        As for `psnr`, or a side is shorter than the window.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    >>> round(ssim(image, image), 4)
    1.0
    """
    image, label = _measurable_pair(image, label)
    if min(image.shape[:2]) < SMALLEST_SIDE:
        raise ValueError(
            f"SSIM needs sides of at least {SMALLEST_SIDE} pixels, got {image.shape[:2]}."
        )
    return float(
        structural_similarity(  # type: ignore[no-untyped-call]
            image,
            label,
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
    result, reference = _measurable_pair(result, reference)
    on = _check_boundary(boundary, result)
    kept, whole = _gradient_magnitude(result)[on], _gradient_magnitude(reference)[on]
    return _share(np.minimum(kept, whole).sum(), whole.sum())


def texture_residual(
    result: NDArray[Any], image: NDArray[Any], boundary: NDArray[Any], margin: int = 2
) -> float:
    """Return the gradient left inside regions, relative to the input's: 0 is flat, 1 untouched.

    Pixels within `margin` of a boundary do not count. NaN if the input has no gradient there.
    """
    result, image = _measurable_pair(result, image)
    near = ndimage.binary_dilation(_check_boundary(boundary, result), iterations=margin)
    left, whole = _gradient_magnitude(result)[~near], _gradient_magnitude(image)[~near]
    return _share(left.sum(), whole.sum())


def mask_boundary(mask: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where a class mask (H, W) changes between a pixel and its right or lower neighbour.

    Both pixels are marked. Changes to and from void (255) count too: VOC draws its void seams
    around objects.
    """
    if not isinstance(mask, np.ndarray) or mask.ndim != 2 or mask.dtype.kind not in "bui":
        found = getattr(mask, "dtype", type(mask).__name__)
        raise TypeError(
            f"mask must be an (H, W) array of class numbers, got {found} {np.shape(mask)}."
        )
    boundary = np.zeros(mask.shape, np.bool_)
    down, right = mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]
    boundary[1:] |= down
    boundary[:-1] |= down
    boundary[:, 1:] |= right
    boundary[:, :-1] |= right
    return boundary


def gradient_magnitude(image: NDArray[Any]) -> NDArray[np.float64]:
    """Return the magnitude (H, W) of central differences, the root mean square of the channels."""
    return _gradient_magnitude(_measurable(image, "image"))


def _gradient_magnitude(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Do the same as `gradient_magnitude`, for an image that was checked."""
    planes = image.reshape(*image.shape[:2], -1)
    down, right = np.gradient(planes, axis=(0, 1))
    magnitude: NDArray[np.float64] = np.sqrt((down**2 + right**2).mean(axis=2))
    return magnitude


def _share(kept: float, total: float) -> float:
    """Return kept / total, or NaN if the total is 0."""
    return float(kept / total) if total > 0 else math.nan


def _measurable(image: NDArray[Any], name: str) -> NDArray[np.float64]:
    """Return an image as float64 in [0, 1]; TypeError or ValueError if it is not an image."""
    if isinstance(image, np.ndarray) and image.dtype.kind == "u" and image.dtype.itemsize <= 2:
        image = image / np.float64(np.iinfo(image.dtype).max)
    check_image(image, name)
    return image.astype(np.float64)


def _measurable_pair(
    image: NDArray[Any], other: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both images as float64 in [0, 1]; ValueError unless their shapes are equal."""
    first, second = _measurable(image, "the first image"), _measurable(other, "the second image")
    if first.shape != second.shape:
        raise ValueError(
            f"Expected two images of the same shape, got {image.shape} and {other.shape}."
        )
    return first, second


def _check_boundary(boundary: NDArray[Any], image: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the boundary map as booleans; ValueError unless it fits the image."""
    if not isinstance(boundary, np.ndarray) or boundary.dtype.kind not in "buif":
        found = getattr(boundary, "dtype", type(boundary).__name__)
        raise TypeError(f"boundary must be an array of booleans or numbers, got {found}.")
    if np.isnan(boundary).any():
        raise ValueError("boundary must not hold NaN: give 1 on a boundary and 0 elsewhere.")
    if boundary.shape != image.shape[:2]:
        raise ValueError(
            f"boundary must have the image's shape {image.shape[:2]}, got {boundary.shape}."
        )
    return boundary.astype(np.bool_)
