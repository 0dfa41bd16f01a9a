"""SD filter: smoothing guided by the image (static) and by its own result (dynamic).

Ham, Cho, Ponce, "Robust Image Filtering Using Joint Static and Dynamic Guidance", CVPR 2015. With
neighbours i, j among the 8 around a pixel, each step solves the sparse system (eq. 11)

    (I + lambda L_k) u_{k+1} = f,    L_k the graph Laplacian of the weights
    w_ij = exp(-mu |g_i - g_j|^2) * exp(-nu |v_i - v_j|^2)

where g is the image f and v the last result u_k, both in CIE Lab for RGB images, and |.| is divided
by its largest value over all neighbours of that picture. The first u is constant.

Stop rule. The matrix A = I + lambda L is an M-matrix with A 1 = 1, so the largest error of an
approximate u is at most its largest residual. That is found in double precision and must be below
`TOLERANCE`; the correction is solved for in single precision.

Method. Chebyshev's iteration, preconditioned by the diagonal D. As L has no row whose other entries
exceed its diagonal, the eigenvalues of A over D lie within 1 - 1 / max D of 1: bounds that need no
guess. Iterations are as many as with conjugate gradients, but need no sum over the image. So eight
of them pass over it together, one two rows behind the other, and meet their rows in the cache: that
makes each five times as fast in C (csrc/chebyshev.c, csrc/sd_weights.c). NumPy does the same.

References
----------
G. H. Golub, R. S. Varga: Chebyshev Semi-Iterative Methods, Numerische Mathematik 3, 1961.
"""

from __future__ import annotations

from types import EllipsisType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocsmooth.arrays import FloatImage, as_channels, check_count, check_image, check_number, like
from vocsmooth.errors import ConvergenceError
from vocsmooth.operators import compiled, compiled_solvers, kernels
from vocsmooth.operators.compiled import Planes
from vocsmooth.operators.compiled_solvers import Solved

Floats = NDArray[np.float32]

Index = tuple[EllipsisType, slice, slice]

TOLERANCE = 1e-5
"""Bound on the largest error of each step's solution."""

_MAX_CYCLES = 100_000

_SINGLE_PRECISION_GAIN = 1e-5  # how far a residual is reduced before it is computed anew

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

_LINEAR_TO_WHITE = _XYZ_FROM_RGB / np.array([[0.950456], [1.0], [1.088754]])  # over D65's XYZ


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
    static = lam * _weights(f, mu)
    u, dynamic = f, np.full_like(static, 1 + _SMALLEST_WEIGHT)
    for step in range(num_iter):
        if step:
            dynamic = _weights(u, nu)
        u = _solve(f, (static * dynamic).astype(np.float32), u)
    return like(np.moveaxis(u, 0, 2), image)


def _weights(planes: Planes, sharpness: float) -> Planes:
    """Weights (4, H, W) of the pairs in each direction, zero where there is none."""
    to_lab = kernels.choose(compiled.rgb_to_lab, _lab)
    weigh = kernels.choose(compiled.pair_weights, _pair_weights)
    features = to_lab(planes, _LINEAR_TO_WHITE) if len(planes) == 3 else planes
    return weigh(features, sharpness, _SMALLEST_WEIGHT)


def _pair_weights(features: Planes, sharpness: float, floor: float) -> Planes:
    """Return exp(-sharpness times the squared difference over the largest one) + floor."""
    weights = np.zeros((len(_NEIGHBOURS), *features.shape[1:]))
    pairs = _pairs(features.shape)
    squares = [((features[near] - features[far]) ** 2).sum(axis=0) for near, far in pairs]
    largest = max((float(square.max()) for square in squares if square.size), default=0.0)
    scale = -sharpness / largest if largest > 0 else 0.0
    for weight, (near, _), square in zip(weights, pairs, squares, strict=True):
        weight[near] = np.exp(scale * square) + floor
    return weights


def _pairs(shape: tuple[int, ...]) -> list[tuple[Index, Index]]:
    """Return slices of both ends of all pairs, for each of the four directions."""
    height, width = shape[-2:]
    pairs = []
    for dy, dx in _NEIGHBOURS:
        left, right = slice(0, max(0, width - abs(dx))), slice(abs(dx), None)
        near, far = (left, right) if dx >= 0 else (right, left)
        pairs.append(((..., slice(0, height - dy), near), (..., slice(dy, None), far)))
    return pairs


def _solve(f: Planes, weights: Floats, start: Planes) -> Planes:
    """Solve (I + L) u = f for all channels, to a maximum error."""
    solved = kernels.choose(compiled_solvers.solve_graph, _solve_graph)(
        f,
        weights,
        start,
        tolerance=TOLERANCE,
        gain=_SINGLE_PRECISION_GAIN,
        max_cycles=_MAX_CYCLES,
    )
    if not solved.residual <= TOLERANCE:
        raise ConvergenceError(
            f"the SD filter's system did not reach an error of {TOLERANCE:g} in {_MAX_CYCLES} "
            "cycles; use a smaller lam."
        )
    return solved.solution


def _solve_graph(
    image: Planes,
    weights: Floats,
    guess: Planes,
    *,
    tolerance: float,
    gain: float,
    max_cycles: int,
) -> Solved:
    """Do in NumPy what `solve_graph` of compiled_solvers.py does, with all channels at a time."""
    scale = np.reciprocal(_diagonal(weights))
    solution, cycles = guess.copy(), 0
    while True:
        residual = image - _multiply(solution, weights)
        worst = float(np.abs(residual).max())
        if worst <= tolerance or cycles >= max_cycles or not np.isfinite(worst):
            return Solved(solution, cycles, worst)
        reduction = max(0.9 * tolerance / worst, gain)
        correction, used = _iterate(
            residual.astype(np.float32), weights, scale, reduction, max_cycles - cycles
        )
        solution += correction
        cycles += used


def _iterate(
    residual: Floats, weights: Floats, scale: Floats, reduction: float, max_cycles: int
) -> tuple[Floats, int]:
    """Return a correction that makes the residual `reduction` times as large, and the cycles."""
    half = 1 - float(scale.min())  # how far eigenvalues are from 1
    ratio, left = half, 1.0  # T_n / T_(n + 1) and 1 / T_n, of Chebyshev's polynomials
    correction, direction = np.zeros_like(residual), scale * residual
    used = 0
    while used < max_cycles and left > reduction:
        correction += direction
        residual -= _multiply(direction, weights)
        quotient = 1 / (2 - half * ratio)
        direction *= half * ratio * quotient
        direction += 2 * quotient * (scale * residual)
        left *= ratio
        ratio = half * quotient
        used += 1
    return correction, used


def _multiply(u: NDArray[Any], weights: Floats) -> NDArray[Any]:
    """Return (I + L) u, from the differences of all pairs."""
    result = u.copy()
    for (near, far), weight in zip(_pairs(u.shape), weights, strict=True):
        flow = u[near] - u[far]
        flow *= weight[near]
        result[near] += flow
        result[far] -= flow
    return result


def _diagonal(weights: Floats) -> Floats:
    """Return the diagonal of I + L, the preconditioner."""
    diagonal = np.ones(weights.shape[1:], np.float32)
    for (near, far), weight in zip(_pairs(diagonal.shape), weights, strict=True):
        diagonal[near] += weight[near]
        diagonal[far] += weight[near]
    return diagonal


def _lab(planes: Planes, matrix: Planes) -> Planes:
    """Convert RGB planes to CIE Lab; see `rgb_to_lab` of compiled.py."""
    rgb = np.clip(planes, 0, 1)
    linear = ((rgb + 0.099) / 1.099) ** (1 / 0.45)
    linear = np.where(linear < 0.018, rgb / 4.5138, linear)
    xyz = np.tensordot(matrix, linear, axes=1)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 841 / 108 * xyz + 4 / 29)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])
