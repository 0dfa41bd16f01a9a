"""Rolling guidance filter: small structures vanish first, then the large edges come back sharp.

Zhang, Shen, Xu, Jia, "Rolling Guidance Filter", ECCV 2014. Starting from a constant guide J, repeat
the joint bilateral filter of the image I (eq. 6)

    J(p) <- sum_q w(p, q) I(q) / sum_q w(p, q),
    w(p, q) = exp(-|p - q|^2 / (2 sigma_s^2) - (J(p) - J(q))^2 / (2 sigma_r^2)),

over the disc in which the spatial Gaussian is at least 0.05, each channel on its own, the border
replicated. As w is symmetric, each pair of pixels is weighed once: for one half of the disc's
offsets, whole runs of the padded image, laid out flat and short enough for the cache, are compared
with themselves shifted, and both ends of each pair receive their share: in C (csrc/rolling.c) for
float32, otherwise in NumPy.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vocsmooth.arrays import FloatImage, as_channels, check_count, check_image, check_number, like
from vocsmooth.operators import compiled, kernels

Flat = NDArray[np.floating[Any]]

SMALLEST_SPATIAL_WEIGHT = 0.05
"""The window ends where the spatial Gaussian falls below this."""

_RUN = 32768
"""Pixels of one step: six arrays of this length fit in a core's second-level cache."""


def rolling_guidance_filter(
    image: FloatImage, sigma_space: float = 4.0, sigma_range: float = 0.1, num_iter: int = 4
) -> FloatImage:
    """Remove structures smaller than `sigma_space`, keep the larger ones with their edges.

    Parameters
    ----------
    image : (H, W) or (H, W, C) float32 or float64 in [0, 1]
        Left as it is; each channel is filtered on its own, in the image's own precision.
    sigma_space : float
        Scale of what is removed, in pixels; above 0.
    sigma_range : float
        Contrast that keeps an edge, on the scale of [0, 1]; at least 1e-3.
    num_iter : int
        Number of filterings; the first one, by a constant guide, is a Gaussian blur.

    Returns
    -------
    Shape and dtype of `image`, within its range.

    Raises
    ------
    TypeError, ValueError
        The image or a parameter is not as above.

    References
    ----------
    Zhang, Shen, Xu, Jia, ECCV 2014, eqs. 4 to 6.

    Examples
    --------
    A line of one pixel goes, and the edge between two areas stays sharp:

    >>> import numpy as np
    >>> image = np.where(np.arange(40) < 20, 0.2, 0.8)
    >>> image[8] = 0.4
    >>> result = rolling_guidance_filter(np.tile(image, (40, 1)), sigma_space=2.0)
    >>> result[20, [7, 8, 9, 19, 20]].round(1).tolist()
    [0.2, 0.2, 0.2, 0.2, 0.8]
    """
    check_image(image)
    check_number("sigma_space", sigma_space, above=0)
    check_number("sigma_range", sigma_range, at_least=1e-3)
    check_count("num_iter", num_iter)
    channels = as_channels(image)
    result = np.empty(channels.shape, channels.dtype.newbyteorder("="))
    for c in range(channels.shape[2]):
        plane = np.ascontiguousarray(channels[:, :, c], result.dtype)
        guide = _blur(plane, sigma_space)  # what a constant guide gives
        for _ in range(num_iter - 1):
            guide = _joint_bilateral(plane, guide, sigma_space, sigma_range)
        result[:, :, c] = guide
    return like(result, image)


def spatial_weights(sigma_space: float) -> NDArray[np.float64]:
    """Spatial Gaussian of the window, ``(2 r + 1, 2 r + 1)``, 0 outside of the disc."""
    radius = int(sigma_space * math.sqrt(-2 * math.log(SMALLEST_SPATIAL_WEIGHT)))
    squares = np.arange(-radius, radius + 1) ** 2
    weights = np.exp(-(squares[:, np.newaxis] + squares) / (2 * sigma_space**2))
    weights[weights < SMALLEST_SPATIAL_WEIGHT] = 0
    return weights


def _blur(plane: Flat, sigma_space: float) -> Flat:
    """Average over the disc with the spatial weights alone."""
    kernel = spatial_weights(sigma_space)
    blurred = cv2.filter2D(plane, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, plane.dtype)


def _joint_bilateral(plane: Flat, guide: Flat, sigma_space: float, sigma_range: float) -> Flat:
    """Filter one plane by one guide (eq. 6)."""
    kernel = spatial_weights(sigma_space)
    pad = len(kernel) // 2
    values = np.pad(plane, pad, mode="edge")
    height, stride = values.shape
    levels = np.pad(guide, pad, mode="edge") / guide.dtype.type(math.sqrt(2) * sigma_range)
    total, weight = values.copy(), np.ones_like(values)  # every pixel's own share, weight 1
    half = [
        (dy * stride + dx, math.log(kernel[pad + dy, pad + dx]))
        for dy in range(pad + 1)
        for dx in range(-pad, pad + 1)
        if (dy, dx) > (0, 0) and kernel[pad + dy, pad + dx] > 0
    ]
    single = values.dtype == np.float32
    share_pairs = kernels.choose(compiled.share_pairs, _share_pairs, supported=single)
    share_pairs(values.ravel(), levels.ravel(), total.ravel(), weight.ravel(), half)
    total /= weight
    return total[pad : height - pad, pad : stride - pad]


def _share_pairs(
    values: Flat, levels: Flat, total: Flat, weight: Flat, half: list[tuple[int, float]]
) -> None:
    """Weigh each pair of pixels (i, i + shift) and add each one's value to the other's sums.

    A shift that leaves its row pairs it with the padding, whose sums nobody reads.
    """
    buffers = np.empty((2, _RUN), values.dtype)
    for start in range(0, len(values), _RUN):
        for shift, log_spatial in half:
            near = slice(start, min(start + _RUN, len(values) - shift))
            far = slice(start + shift, near.stop + shift)
            w, product = buffers[:, : max(0, near.stop - start)]
            np.subtract(levels[near], levels[far], out=w)
            np.multiply(w, w, out=w)
            np.subtract(w.dtype.type(log_spatial), w, out=w)
            np.exp(w, out=w)
            for here, there in ((near, far), (far, near)):
                np.add(weight[here], w, out=weight[here])
                np.multiply(w, values[there], out=product)
                np.add(total[here], product, out=total[here])
