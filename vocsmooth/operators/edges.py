"""Luminance, its gradient, and the binary edges of a label."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vocsmooth.arrays import check_array, check_floats

LUMA_WEIGHTS = (0.299, 0.587, 0.114)
"""Rec. 601 weights of R, G and B."""

# In thousandths all sums of integer grey levels are exact, hence the same on every processor.
_THOUSANDTHS = (299, 587, 114)


def luminance(image: NDArray[Any]) -> NDArray[np.float32]:
    """Return the Rec. 601 luma of an ``(H, W, 3)`` RGB image, in the image's own units."""
    _check_rgb(image, "image")
    return (_weigh(image) / 1000).astype(np.float32)


def sobel(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return half |Sobel x| plus half |Sobel y| of a plane, borders mirrored.

    The 3 x 3 kernels are not normalised: a vertical step of height h gives 2 h on the two columns
    beside it.
    """
    check_floats(plane, "plane")
    plane = np.asarray(plane, np.float32)  # OpenCV takes the other byte order for this machine's
    right = cv2.Sobel(plane, cv2.CV_32F, 1, 0, ksize=3)
    down = cv2.Sobel(plane, cv2.CV_32F, 0, 1, ksize=3)
    return np.asarray((np.abs(right) + np.abs(down)) / 2, np.float32)


def find_edges(label: NDArray[np.uint8], threshold: float = 50.0) -> NDArray[np.uint8]:
    """Return 1 where the gradient of a label's luminance is above `threshold`, 0 elsewhere.

    Parameters
    ----------
    label : ndarray, (H, W, 3) uint8
        A smooth structure image, RGB.
    threshold : float
        In grey levels of 0..255, on the scale of `sobel`.

    Returns
    -------
    ndarray, (H, W) uint8
        0 or 1.

    Raises
    ------
    TypeError, ValueError
        `label` is not (H, W, 3) uint8.

    References
    ----------
    J. Wang et al., "Contrastive Semantic-Guided Image Smoothing Network", Computer Graphics Forum
    41(7), 2022: the edge maps of its dataset, here of the luminance instead of one channel.
    """
    _check_rgb(label, "label")
    if label.dtype != np.uint8:
        raise TypeError(
            f"label must be uint8, as the threshold is in grey levels, got {label.dtype}."
        )
    return (sobel(_weigh(label).astype(np.float32)) > 1000 * threshold).astype(np.uint8)


def _check_rgb(image: NDArray[Any], name: str) -> None:
    """Refuse anything but an ``(H, W, 3)`` array of real numbers."""
    check_array(image, name)
    if image.dtype.kind not in "uif":
        raise TypeError(f"{name} must be an array of real numbers, got {image.dtype}.")
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"{name} must have shape (H, W, 3), got {image.shape}.")


def _weigh(image: NDArray[Any]) -> NDArray[np.float64]:
    """Return the luma in thousandths, without a matrix product: processors round it differently."""
    red, green, blue = (
        weight * image[..., channel].astype(np.float64)
        for channel, weight in enumerate(_THOUSANDTHS)
    )
    return red + green + blue
