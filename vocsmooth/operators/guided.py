"""Guided filter: locally, the result is a linear function of the guide.

He, Sun, Tang, "Guided Image Filtering", ECCV 2010, TPAMI 2013. In every window a ridge regression
a'I + b on the guide I explains the image p (eq. 5); a pixel's result averages what all
windows that hold it predict (eq. 8). With the window means E[.]

    (cov(I) + eps 1) a = cov(I, p),    b = E[p] - a'E[I],    q = E[a]'I + E[b]

Windows are cut at the border and their means divided by what is left of them. Sums run in float64,
and the small symmetric systems are solved by an LDL' elimination, which stays stable where the
guide's channels nearly agree (OpenCV's determinant formula does not: for eps <= 3e-3 its colour
filter is wrong). csrc/guided.c does all of it in one sweep.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vocsmooth.arrays import FloatImage, as_channels, check_count, check_image, check_number, like
from vocsmooth.operators import compiled, kernels

Plane = NDArray[np.float64]

Planes = NDArray[np.float64]

SMALLEST_EPS = 1e-12
"""Below this, rounding in the float64 window sums would reach the size of eps."""


def guided_filter(
    image: FloatImage, guide: FloatImage | None = None, radius: int = 4, eps: float = 0.01
) -> FloatImage:
    """Smooth `image` where `guide` is flat and keep it where the guide has edges.

    Parameters
    ----------
    image : (H, W) or (H, W, C) float32 or float64 in [0, 1]
        Left as it is.
    guide : (H, W) or (H, W, G) float32 or float64 in [0, 1], optional
        The image whose edges are kept; with G > 1 channels, the colour filter. By default every
        channel of `image` is its own guide.
    radius : int
        Windows have ``2 radius + 1`` pixels on a side.
    eps : float
        Contrast below about ``sqrt(eps)`` counts as flat; at least 1e-12.

    Returns
    -------
    (H, W) or (H, W, C), dtype of `image`
        May leave [0, 1] slightly.

    Raises
    ------
    TypeError, ValueError
        The image, the guide or a parameter is not as above, or their sizes differ.

    References
    ----------
    He, Sun, Tang, TPAMI 35(6), 2013, eqs. 5, 6, 8 (grey guide) and 19 to 21 (colour guide).

    Examples
    --------
    >>> import numpy as np
    >>> image = np.tile([0.2, 0.2, 0.8, 0.8], (3, 1))
    >>> guided_filter(image, radius=1, eps=1e-4)[1].round(3).tolist()
    [0.2, 0.2, 0.8, 0.8]
    >>> guided_filter(image, radius=1, eps=1.0)[1].round(3).tolist()
    [0.293, 0.385, 0.615, 0.707]
    """
    check_image(image)
    check_count("radius", radius)
    check_number("eps", eps, at_least=SMALLEST_EPS)
    planes = _planes(image)
    result = np.empty_like(planes)
    if guide is None:
        for plane, out in _split(planes, result, 1):
            _filter(plane, plane, out, radius, eps)
    else:
        check_image(guide, "guide")
        if guide.shape[:2] != image.shape[:2]:
            raise ValueError(
                f"guide must have the image's height and width, {image.shape[:2]}, "
                f"got {guide.shape[:2]}."
            )
        _filter(planes, _planes(guide), result, radius, eps)
    return like(np.moveaxis(result, 0, 2), image)


def box_mean(plane: Plane, radius: int) -> Plane:
    """Return the mean over a square window around each pixel, cut at the border (no padding)."""
    radii = [min(radius, side - 1) for side in plane.shape]
    size = (2 * radii[1] + 1, 2 * radii[0] + 1)
    mean = np.asarray(
        cv2.boxFilter(plane, -1, size, normalize=True, borderType=cv2.BORDER_CONSTANT), np.float64
    )
    for lines, r in ((mean, radii[0]), (mean.T, radii[1])):  # OpenCV divided by the whole window
        scale = _missing_share(len(lines), r)
        for band in (slice(0, r), slice(max(r, len(lines) - r), None)):
            lines[band] *= scale[band, np.newaxis]
    return mean


def _filter(image: Planes, guide: Planes, result: Planes, radius: int, eps: float) -> None:
    """Filter all planes of an image by the same guide, compiled if a kernel takes such a guide."""
    supported = len(guide) in (1, 3)
    run = kernels.choose(_filter_compiled, _filter_by_box_means, supported=supported)
    run(image, guide, result, radius, eps)


def _filter_compiled(image: Planes, guide: Planes, result: Planes, radius: int, eps: float) -> None:
    """Filter with the compiled kernel, which takes 3 planes of an image at a time, or 1."""
    for planes, out in _split(image, result, 3 if len(image) == len(guide) == 3 else 1):
        compiled.guided_filter(planes, guide, out, radius=radius, eps=eps)


def _split(image: Planes, result: Planes, size: int) -> list[tuple[Planes, Planes]]:
    """Pair `size` planes of the image at a time with those of the result."""
    return [(image[c : c + size], result[c : c + size]) for c in range(0, len(image), size)]


def _filter_by_box_means(
    image: Planes, guide: Planes, result: Planes, radius: int, eps: float
) -> None:
    """Filter with NumPy and OpenCV, a plane at a time."""
    guide_means = [box_mean(plane, radius) for plane in guide]
    image_means = [box_mean(plane, radius) for plane in image]

    def covariance(p: Plane, q: Plane, p_mean: Plane, q_mean: Plane) -> Plane:
        return box_mean(p * q, radius) - p_mean * q_mean

    pairs = list(zip(guide, guide_means, strict=True))
    matrix = [[covariance(p, q, m, n) for q, n in pairs[: i + 1]] for i, (p, m) in enumerate(pairs)]
    for i, row in enumerate(matrix):
        row[i] += eps
    slopes = [
        [covariance(p, q, m, n) for p, m in pairs] for q, n in zip(image, image_means, strict=True)
    ]
    _solve(matrix, slopes)
    for a, mean, out in zip(slopes, image_means, result, strict=True):
        b = mean - sum(a_i * m for a_i, m in zip(a, guide_means, strict=True))
        line = [box_mean(a_i, radius) * plane for a_i, plane in zip(a, guide, strict=True)]
        out[...] = sum(line, box_mean(b, radius))


def _solve(matrix: list[list[Plane]], sides: list[list[Plane]]) -> None:
    """Solve a system for each pixel: `sides` become the solutions, and `matrix` is used up."""
    size = len(matrix)
    for k in range(size):
        for i in range(k + 1, size):
            factor = matrix[i][k] / matrix[k][k]
            for j in range(k + 1, i + 1):
                matrix[i][j] -= factor * matrix[j][k]
            for side in sides:
                side[i] -= factor * side[k]
    for side in sides:
        for k in reversed(range(size)):
            for i in range(k + 1, size):
                side[k] -= matrix[i][k] * side[i]
            side[k] /= matrix[k][k]


def _planes(image: FloatImage) -> Planes:
    """Return float64 planes, ``(C, H, W)`` and C-contiguous."""
    return np.moveaxis(as_channels(image), 2, 0).astype(np.float64, order="C")


def _missing_share(side: int, radius: int) -> NDArray[np.floating[Any]]:
    """Return a window's full length over the length inside the image, along one of its sides."""
    centre = np.arange(side)
    inside = np.minimum(centre + radius, side - 1) - np.maximum(centre - radius, 0) + 1
    return (2 * radius + 1) / inside
