"""Rolling guidance filter: small structures vanish first, then the large edges come back sharp.

Zhang, Shen, Xu, Jia, "Rolling Guidance Filter", ECCV 2014. Starting from a constant guide J, repeat
the joint bilateral filter of the image I (eq. 6)

    J(p) <- sum_q w(p, q) I(q) / sum_q w(p, q),
    w(p, q) = exp(-|p - q|^2 / (2 sigma_s^2) - (J(p) - J(q))^2 / (2 sigma_r^2)),

over the disc in which the spatial Gaussian is at least 0.05, each channel on its own, the border
replicated. `bilateral` holds that filter.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vocsmooth.arrays import FloatImage, as_channels, check_count, check_image, check_number, like
from vocsmooth.operators.bilateral import joint_bilateral

Flat = NDArray[np.floating[Any]]

SMALLEST_SPATIAL_WEIGHT = 0.05
"""The window ends where the spatial Gaussian falls below this."""


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
    channels, spatial = as_channels(image), spatial_weights(sigma_space)
    result = np.empty(channels.shape, channels.dtype.newbyteorder("="))
    for c in range(channels.shape[2]):
        plane = np.ascontiguousarray(channels[:, :, c], result.dtype)
        guide = _blur(plane, sigma_space)  # what a constant guide gives
        for _ in range(num_iter - 1):
            (guide,) = joint_bilateral(
                plane[np.newaxis], guide[np.newaxis], spatial, sigma_range, replicate=True
            )
        result[:, :, c] = guide
    return like(result, image)


def spatial_weights(sigma_space: float) -> NDArray[np.float64]:
    """Return the spatial Gaussian of the window, ``(2 r + 1, 2 r + 1)``, 0 outside of the disc."""
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
