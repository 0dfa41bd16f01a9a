"""SD filter: smoothing guided by the image (static) and by its own result (dynamic).

Ham, Cho, Ponce, "Robust Image Filtering Using Joint Static and Dynamic Guidance", CVPR 2015. With
neighbours i, j among the 8 around a pixel, each step solves the sparse system (eq. 11)

    (I + lambda L_k) u_{k+1} = f,    L_k the graph Laplacian of the weights
    w_ij = exp(-mu |g_i - g_j|^2) * exp(-nu |v_i - v_j|^2)

where g is the image f and v the last result u_k, both in CIE Lab for RGB images, and |.| is divided
by its largest value over all neighbours of that picture. The first u is constant.

The matrix M = I + lambda L is an M-matrix with M 1 = 1, so the largest error of an approximate u is
at most its largest residual. That is found in double precision and must be below `TOLERANCE`;
conjugate gradients solve for the correction, in single precision.
"""

from __future__ import annotations

from types import EllipsisType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocsmooth.arrays import FloatImage, as_channels, check_count, check_image, check_number, like
from vocsmooth.errors import ConvergenceError

Planes = NDArray[np.float64]

Floats = NDArray[np.float32]

Index = tuple[EllipsisType, slice, slice]

TOLERANCE = 1e-5
"""Bound on the largest error of each step's solution."""

_MAX_CYCLES = 10_000

_SINGLE_PRECISION_GAIN = 1e-4  # how far gradients reduce a residual before it is computed anew

_SMALLEST_WEIGHT = 1e-5  # the authors' program adds it to both factors

_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # half of the 8; pairs work both ways

# The authors' RGB to Lab: Rec. 709 gamma, CIE 1931 and D65.
_XYZ_FROM_RGB = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
)

_WHITE = np.array([0.950456, 1.0, 1.088754])


def sd_filter(
    image: FloatImage, lam: float = 3.0, mu: float = 50.0, nu: float = 400.0, num_iter: int = 10
) -> FloatImage:
    """Smooth at a scale set by `lam` without blurring edges or leaving halos.

    Parameters
    ----------
    image : (H, W) or (H, W, C) float32 or float64 in [0, 1]
        Left as it is. Three channels are taken for RGB and compared in CIE Lab; any other number
        is compared as given.
    lam : float
        Amount of smoothing, at least 0.
    mu : float
        Weight of the image's own edges, at least 0; 0 ignores them.
    nu : float
        Weight of the result's edges, at least 0; the higher, the more of them stay sharp.
    num_iter : int
        Number of steps.

    Returns
    -------
    Shape and dtype of `image`, within its range.

    Raises
    ------
    TypeError, ValueError
        The image or a parameter is not as above.
    ConvergenceError
        `lam` is so large that a step's solution cannot reach its error bound.

    References
    ----------
    Ham, Cho, Ponce, CVPR 2015, eqs. 2 to 4, 11; TPAMI 40(1), 2018.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.tile([0.2, 0.22, 0.2, 0.8, 0.82, 0.8], (6, 1))
    >>> sd_filter(image)[0].round(2).tolist()
    [0.21, 0.21, 0.21, 0.81, 0.81, 0.81]
    """
    check_image(image)
    check_number("lam", lam, at_least=0)
    check_number("mu", mu, at_least=0)
    check_number("nu", nu, at_least=0)
    check_count("num_iter", num_iter)
    f = np.moveaxis(as_channels(image), 2, 0).astype(np.float64, order="C")
    static = _weights(f, mu)
    u, dynamic = f, [np.full_like(w, 1 + _SMALLEST_WEIGHT) for w in static]
    for step in range(num_iter):
        if step:
            dynamic = _weights(u, nu)
        weights = [(lam * s * d).astype(np.float32) for s, d in zip(static, dynamic, strict=True)]
        u = np.stack([_solve(b, weights, start) for b, start in zip(f, u, strict=True)])
    return like(np.moveaxis(u, 0, 2), image)


def _weights(planes: Planes, sharpness: float) -> list[Planes]:
    """Weights of the pairs in each of the four directions."""
    features = _lab(planes) if len(planes) == 3 else planes
    squares = [
        ((features[near] - features[far]) ** 2).sum(axis=0) for near, far in _pairs(features.shape)
    ]
    largest = max((float(square.max()) for square in squares if square.size), default=0.0)
    scale = -sharpness / largest if largest > 0 else 0.0
    return [np.exp(scale * square) + _SMALLEST_WEIGHT for square in squares]


def _pairs(shape: tuple[int, ...]) -> list[tuple[Index, Index]]:
    """Index of both ends of all pairs, for each of the four directions."""
    height, width = shape[-2:]
    pairs = []
    for dy, dx in _NEIGHBOURS:
        left, right = slice(0, max(0, width - abs(dx))), slice(abs(dx), None)
        near, far = (left, right) if dx >= 0 else (right, left)
        pairs.append(((..., slice(0, height - dy), near), (..., slice(dy, None), far)))
    return pairs


def _solve(f: Planes, weights: list[Floats], start: Planes) -> Planes:
    """Solve (I + L) u = f for one channel, to a maximum error."""
    u = start.copy()
    cycles = 0
    while True:
        residual = f - _multiply(u, weights)
        worst = float(np.abs(residual).max())
        if worst <= TOLERANCE:
            return u
        if cycles >= _MAX_CYCLES:
            raise ConvergenceError(
                f"the SD filter's system did not reach an error of {TOLERANCE:g} in {_MAX_CYCLES} "
                "cycles; use a smaller lam."
            )
        enough = max(0.9 * TOLERANCE, _SINGLE_PRECISION_GAIN * worst)
        correction, used = _gradients(
            residual.astype(np.float32), weights, enough, _MAX_CYCLES - cycles
        )
        u += correction
        cycles += used


def _gradients(
    residual: Floats, weights: list[Floats], enough: float, max_cycles: int
) -> tuple[Floats, int]:
    """Find a correction by conjugate gradients, preconditioned by the diagonal; and the cycles."""
    scale = 1 / _diagonal(residual.shape, weights)
    correction, direction = np.zeros_like(residual), scale * residual
    product = np.vdot(residual, direction)
    used = 0
    while used < max_cycles and np.abs(residual).max() > enough:
        image = _multiply(direction, weights)
        length = product / np.vdot(direction, image)
        correction += length * direction
        residual -= length * image
        scaled = scale * residual
        last, product = product, np.vdot(residual, scaled)
        direction *= product / last
        direction += scaled
        used += 1
    return correction, used


def _multiply(u: NDArray[Any], weights: list[Floats]) -> NDArray[Any]:
    """(I + L) u, from the differences of all pairs."""
    result = u.copy()
    for (near, far), weight in zip(_pairs(u.shape), weights, strict=True):
        flow = u[near] - u[far]
        flow *= weight
        result[near] += flow
        result[far] -= flow
    return result


def _diagonal(shape: tuple[int, ...], weights: list[Floats]) -> Floats:
    """Diagonal of I + L, the preconditioner."""
    diagonal = np.ones(shape, np.float32)
    for (near, far), weight in zip(_pairs(shape), weights, strict=True):
        diagonal[near] += weight
        diagonal[far] += weight
    return diagonal


def _lab(planes: Planes) -> Planes:
    """RGB to CIE Lab, planes first."""
    rgb = np.clip(planes, 0, 1)
    linear = ((rgb + 0.099) / 1.099) ** (1 / 0.45)
    linear = np.where(linear < 0.018, rgb / 4.5138, linear)
    xyz = np.tensordot(_XYZ_FROM_RGB / _WHITE[:, np.newaxis], linear, axes=1)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 841 / 108 * xyz + 4 / 29)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])
