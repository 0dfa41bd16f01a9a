"""Relative total variation: texture goes by its mixed gradients, structure stays."""

from __future__ import annotations

import numpy as np
import scipy.ndimage
import scipy.sparse
import scipy.sparse.linalg
from numpy.typing import NDArray

from vocsmooth.arrays import (
    FloatImage,
    as_channels,
    check_count,
    check_image,
    check_number,
    like,
)

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
        Strength of smoothing, >= 0.
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

    References
    ----------
    L. Xu, Q. Yan, Y. Xia, J. Jia: Structure Extraction from Texture via Relative Total Variation,
    SIGGRAPH Asia 2012, equations (7) to (12).
    """
    check_image(image)
    check_number("lam", lam, at_least=0)
    check_number("sigma", sigma, above=0)
    check_number("sharpness", sharpness, above=0)
    check_count("num_iter", num_iter)
    planes = np.moveaxis(as_channels(image).astype(np.float64), 2, 0)
    smooth = planes
    for _ in range(num_iter):
        east, south = rtv_weights(smooth, lam / 2, sigma, sharpness)
        smooth = _solve(east, south, planes)
        sigma = max(sigma / 2, 0.5)
    return like(np.moveaxis(smooth, 0, 2), image)


def rtv_weights(
    planes: NDArray[np.float64], lam: float, sigma: float, sharpness: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the couplings (H, W) of each pixel to its right and its lower neighbour.

    Equations (8) to (11): lam over the windowed variation of the blurred image, in its direction,
    and over the gradient's length; both are means over the channels.
    """
    across, down = _forward_differences(planes)
    gradient = np.maximum(np.hypot(across, down).mean(axis=0), sharpness)
    across, down = _forward_differences(_blur(planes, sigma))
    east = lam / (gradient * np.maximum(np.abs(across).mean(axis=0), WINDOWED_FLOOR))
    south = lam / (gradient * np.maximum(np.abs(down).mean(axis=0), WINDOWED_FLOOR))
    east[:, -1] = 0
    south[-1, :] = 0
    return east, south


def _forward_differences(
    planes: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Right neighbour minus pixel and lower neighbour minus pixel, 0 at the last column and row."""
    across = np.diff(planes, axis=2, append=planes[:, :, -1:])
    down = np.diff(planes, axis=1, append=planes[:, -1:, :])
    return across, down


def _blur(planes: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Blur by a Gaussian of round(5 sigma) taps, made odd, with zeros outside the image."""
    radius = (int(5 * sigma + 0.5) | 1) // 2
    for axis in (1, 2):
        planes = scipy.ndimage.gaussian_filter1d(
            planes, sigma, axis=axis, mode="constant", radius=radius
        )
    return planes


def _solve(
    east: NDArray[np.float64], south: NDArray[np.float64], planes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Solve (1 + L) x = plane for each plane; L is the graph Laplacian of the couplings."""
    index = np.arange(east.size).reshape(east.shape)
    first = np.concatenate([index[:, :-1].ravel(), index[:-1].ravel()])
    second = np.concatenate([index[:, 1:].ravel(), index[1:].ravel()])
    coupling = np.concatenate([east[:, :-1].ravel(), south[:-1].ravel()])
    shape = (east.size, east.size)
    graph = scipy.sparse.coo_array((coupling, (first, second)), shape).tocsc()
    graph = graph + graph.T
    system = scipy.sparse.diags_array(1 + graph.sum(axis=0)) - graph
    factors = scipy.sparse.linalg.splu(system.tocsc(), permc_spec="MMD_AT_PLUS_A")
    return np.stack([factors.solve(plane.ravel()).reshape(plane.shape) for plane in planes])
