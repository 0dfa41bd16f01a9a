"""Pyramid texture filtering: texture is what a small copy of the image does not show.

Zhang, Jiang, Nie, Zheng, "Pyramid Texture Filtering", ACM TOG (SIGGRAPH) 42(4), 2023. The coarsest
level G_N of a Gaussian pyramid has lost the texture and kept the main structure. It is enlarged
level by level (the paper's pyramid-guided structure-aware upsampling), R_N = G_N and, for l from
N - 1 down to 1,

    R^ = JBF(up(R_{l+1}), G_l)    sharpened along the edges of the Gaussian level,
    R~ = JBF(R^ + L_l, R^)        given the Laplacian level's structure, its texture averaged out,
    R_l = JBF(R~, R~)             smoothed by itself,

where JBF(A, B) is the joint bilateral filter of A by the guide B, whose spatial sigma shrinks with
the level. Where the paper leaves a choice, it is that of its authors' program: a 5 x 5 Gaussian of
sigma 1 on mirrored borders, levels of 0.8 times the size, bilinear resizing with an antialiasing
that widens the kernel when it shrinks an image (as imresize of MATLAB), windows of
ceil(2 sigma + 1) pixels on either side that end at the border, and colours compared together.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from vocsmooth.arrays import FloatImage, as_channels, check_count, check_image, check_number, like
from vocsmooth.operators.bilateral import joint_bilateral

Planes = NDArray[np.floating[Any]]

BLUR_SIDE, BLUR_SIGMA = 5, 1.0

_GREY_CHANNELS = 3
"""A grey image is filtered as the colour image of three equal channels that it could be."""


def pyramid_texture_filter(
    image: FloatImage,
    sigma_space: float = 5.0,
    sigma_range: float = 0.05,
    levels: int = 11,
    scale: float = 0.8,
) -> FloatImage:
    """Remove texture of any size that a small copy of the image does not show.

    Parameters
    ----------
    image : (H, W) or (H, W, C) float32 or float64 in [0, 1]
        Left as it is. Channels are filtered together; the computation runs in the image's own
        precision.
    sigma_space : float
        Spatial sigma of the finest level, in pixels; above 0. The authors take 5 to 7.
    sigma_range : float
        Contrast that keeps an edge, on the scale of [0, 1]; at least 1e-3. The authors take 0.02
        to 0.09.
    levels : int
        Levels of the pyramid; 1 returns the image. Fewer keep larger texture.
    scale : float
        Size of a level relative to the finer one, at least 0.1 and below 1.

    Returns
    -------
    Shape and dtype of `image`. At strong edges values may lie a little outside of its range.

    Raises
    ------
    TypeError, ValueError
        The image or a parameter is not as above.

    References
    ----------
    Zhang, Jiang, Nie, Zheng, ACM TOG 42(4), 2023, section 3 and algorithm 1.

    Examples
    --------
    Stripes of 4 pixels go, and the edge between two areas stays sharp:

    >>> import numpy as np
    >>> column = np.arange(96)
    >>> image = np.where(column < 48, 0.3, 0.7) + np.where(column % 8 < 4, -0.1, 0.1)
    >>> result = pyramid_texture_filter(np.tile(image, (96, 1)), sigma_range=0.1)
    >>> result[48, [20, 24, 46, 49, 70, 74]].round(1).tolist()
    [0.3, 0.3, 0.3, 0.7, 0.7, 0.7]
    """
    check_image(image)
    check_number("sigma_space", sigma_space, above=0)
    check_number("sigma_range", sigma_range, at_least=1e-3)
    check_count("levels", levels)
    check_number("scale", scale, at_least=0.1)
    if scale >= 1:
        raise ValueError(f"scale must be below 1, got {scale!r}.")
    channels = as_channels(image)
    planes = np.ascontiguousarray(np.moveaxis(channels, 2, 0), channels.dtype.newbyteorder("="))
    if len(planes) == 1:
        sigma_range /= math.sqrt(_GREY_CHANNELS)
    gaussian, laplacian = _pyramids(planes, levels, scale)
    result = gaussian.pop()
    for level in reversed(range(levels - 1)):
        guide = gaussian[level]
        window = spatial_weights(sigma_space * scale**level)
        sharp = joint_bilateral(resize(result, guide.shape[1:]), guide, window, sigma_range)
        added = joint_bilateral(sharp + laplacian[level], sharp, window, sigma_range)
        result = joint_bilateral(added, added, window, sigma_range)
    return like(np.moveaxis(result, 0, 2), image)


def spatial_weights(sigma_space: float) -> NDArray[np.float64]:
    """Return a Gaussian on a square window of ``ceil(2 sigma + 1)`` pixels to either side."""
    radius = math.ceil(2 * sigma_space + 1)
    squares = np.arange(-radius, radius + 1) ** 2
    return np.asarray(np.exp(-(squares[:, np.newaxis] + squares) / (2 * sigma_space**2)))


def resize(planes: Planes, shape: tuple[int, ...]) -> Planes:
    """Resize planes (C, H, W) bilinearly; where they shrink, the kernel widens in proportion."""
    down = _resampling(planes.shape[1], shape[0], planes.dtype)
    across = _resampling(planes.shape[2], shape[1], planes.dtype)
    return np.stack([(across @ (down @ plane).T).T for plane in planes])


def _pyramids(planes: Planes, levels: int, scale: float) -> tuple[list[Planes], list[Planes]]:
    """Return Gaussian and Laplacian pyramid, finest level first; the latter has one level fewer."""
    gaussian, laplacian = [planes], list[Planes]()
    for _ in range(levels - 1):
        finer = gaussian[-1]
        shape = tuple(max(1, math.floor(side * scale)) for side in finer.shape[1:])
        coarser = resize(_blur(finer), shape)
        laplacian.append(finer - _blur(resize(coarser, finer.shape[1:])))
        gaussian.append(coarser)
    return gaussian, laplacian


def _blur(planes: Planes) -> Planes:
    """Blur planes by the pyramid's Gaussian, the border mirrored."""
    side = (BLUR_SIDE, BLUR_SIDE)
    return np.stack(
        [cv2.GaussianBlur(p, side, BLUR_SIGMA, borderType=cv2.BORDER_REFLECT) for p in planes]
    )


def _resampling(length: int, new: int, dtype: np.dtype[Any]) -> sparse.csr_array:
    """Return the matrix (new, length) that resamples a line linearly, its ends mirrored."""
    ratio = new / length
    stretch = max(1.0, 1 / ratio)  # of the triangle, whose half width is 1 pixel
    centre = (np.arange(new) + 0.5) / ratio - 0.5
    first = np.floor(centre - stretch).astype(int)
    taps = first[:, np.newaxis] + np.arange(math.ceil(2 * stretch) + 2)
    weights = np.maximum(0, 1 - np.abs(centre[:, np.newaxis] - taps) / stretch)
    weights /= weights.sum(axis=1, keepdims=True)
    mirrored = taps % (2 * length)
    mirrored = np.minimum(mirrored, 2 * length - 1 - mirrored)
    rows = np.repeat(np.arange(new), taps.shape[1])
    matrix = sparse.coo_array((weights.ravel(), (rows, mirrored.ravel())), (new, length))
    return matrix.tocsr().astype(dtype)
