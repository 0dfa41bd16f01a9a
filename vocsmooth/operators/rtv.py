"""Relative total variation: remove texture, whose gradients cancel within a window."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vocsmooth.arrays import FloatImage, as_channels, check_count, check_image, check_number, like
from vocsmooth.operators import compiled, kernels
from vocsmooth.operators.compiled import Couplings, Planes
from vocsmooth.operators.multigrid import solver as multigrid

LARGEST_COUPLING = 1e12
"""Couplings and their products must fit float32."""

TOLERANCE = 0.4 / 255
"""Largest error of a pixel in the last linear system; the result is promised to 0.5 / 255."""

EARLY_TOLERANCE = 1 / 255
"""The same in the systems before it, which only make weights.

With 1 / 255 in all systems the error of results was 0.15 / 255 in the worst of 70 cases.
"""

WINDOWED_FLOOR = 1e-3
"""Least windowed variation that the weights divide by (the authors' epsilon)."""


def rtv_smooth(
    image: FloatImage,
    lam: float = 0.01,
    sigma: float = 3.0,
    sharpness: float = 0.02,
    num_iter: int = 4,
) -> FloatImage:
    """Separate structure from texture by relative total variation.

    Parameters
    ----------
    image : (H, W) or (H, W, C) float32 or float64 in [0, 1]
        Any number of channels; they share their weights.
    lam : float
        Strength of smoothing, at least 0.
    sigma : float
        Scale of the texture in pixels, > 0; halved after each iteration, down to 0.5 at least.
    sharpness : float
        Least gradient that the weights divide by, > 0; smaller is sharper.
    num_iter : int
        Iterations, each one linear system.

    Returns
    -------
    ndarray
        Same shape and dtype, within the image's range.

    Raises
    ------
    TypeError, ValueError
        The image or a parameter is not as described.
    ConvergenceError
        A linear system was not solved to its tolerance.

    References
    ----------
    L. Xu, Q. Yan, Y. Xia, J. Jia: Structure Extraction from Texture via Relative Total Variation,
    SIGGRAPH Asia 2012, equations (7) to (12).

    Examples
    --------
    Stripes go, and the step between two areas stays:

    >>> import numpy as np
    >>> step = np.where(np.arange(32) < 16, 0.2, 0.8)
    >>> stripes = 0.05 * (-1.0) ** np.arange(32)
    >>> result = rtv_smooth(np.tile(step + stripes, (8, 1)), lam=0.01)
    >>> bool(np.ptp(result[:, :12]) < 0.01), bool(result[4, 20] - result[4, 12] > 0.5)
    (True, True)
    """
    check_image(image)
    check_number("lam", lam, at_least=0)
    check_number("sigma", sigma, above=0)
    check_number("sharpness", sharpness, above=0)
    check_count("num_iter", num_iter)
    if lam > LARGEST_COUPLING * sharpness * WINDOWED_FLOOR:
        raise ValueError(
            f"lam {lam!r} is too large for sharpness {sharpness!r}: couplings overflow."
        )
    planes = np.ascontiguousarray(np.moveaxis(as_channels(image), 2, 0), np.float64)
    weigh, solve = kernels.choose(_compiled_weights, rtv_weights), multigrid.solver(planes.shape)
    smooth = planes
    for iteration in range(num_iter):
        east, south = weigh(smooth, lam / 2, sigma, sharpness)
        tolerance = TOLERANCE if iteration == num_iter - 1 else EARLY_TOLERANCE
        smooth = solve(east, south, planes, smooth, tolerance)
        sigma = max(sigma / 2, 0.5)
    return like(np.moveaxis(smooth, 0, 2), image)


def _compiled_weights(
    planes: Planes, lam: float, sigma: float, sharpness: float
) -> tuple[Couplings, Couplings]:
    """Do the same as `rtv_weights` with the compiled kernel."""
    kernel = half_gaussian(sigma)
    return compiled.rtv_weights(
        planes, kernel, lam=lam, sharpness=sharpness, windowed_floor=WINDOWED_FLOOR
    )


def rtv_weights(
    planes: Planes, lam: float, sigma: float, sharpness: float
) -> tuple[Couplings, Couplings]:
    """Return the couplings (H, W) of each pixel to its right and its lower neighbour, in NumPy.

    Equations (8) to (11): lam over the gradient's length and over the variation of the blurred
    image in the coupling's direction; both are means over the channels.
    """
    image = planes.astype(np.float32)
    across, down = _forward_differences(image)
    across *= across
    across += down * down
    gradient = np.maximum(np.sqrt(across, out=across).mean(axis=0), sharpness)
    across, down = _forward_differences(_blur(image, half_gaussian(sigma)))
    across_window = np.maximum(np.abs(across, out=across).mean(axis=0), WINDOWED_FLOOR)
    down_window = np.maximum(np.abs(down, out=down).mean(axis=0), WINDOWED_FLOOR)
    east, south = lam / (gradient * across_window), lam / (gradient * down_window)
    east[:, -1] = 0
    south[-1, :] = 0
    return east, south


def half_gaussian(sigma: float) -> NDArray[np.float32]:
    """Return the authors' kernel, round(5 sigma) taps made odd, from its centre to the right."""
    radius = (int(5 * sigma + 0.5) | 1) // 2
    half = np.exp(-(np.arange(radius + 1) ** 2) / (2 * sigma**2))
    kernel: NDArray[np.float32] = (half / (2 * half.sum() - 1)).astype(np.float32)
    return kernel


def _forward_differences(
    image: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return right and lower neighbour minus pixel, 0 at the last column and row."""
    across, down = np.zeros_like(image), np.zeros_like(image)
    np.subtract(image[:, :, 1:], image[:, :, :-1], out=across[:, :, :-1])
    np.subtract(image[:, 1:], image[:, :-1], out=down[:, :-1])
    return across, down


def _blur(image: NDArray[np.float32], kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blur along rows and columns with zeros outside the image."""
    symmetric = np.concatenate([kernel[:0:-1], kernel])
    zeros = cv2.BORDER_CONSTANT
    blurred = [cv2.sepFilter2D(p, -1, symmetric, symmetric, borderType=zeros) for p in image]
    return np.stack(blurred).astype(np.float32, copy=False)
