"""Iterative least squares: edge-preserving smoothing by a few exact solves with one fixed matrix.

Liu, Zhang, Lei, Huang, Yang, Reid, "Real-Time Image Smoothing via Iterative Least Squares",
ACM TOG 39(3), 2020. The penalty phi on gradients is bounded from above by a parabola of the fixed
curvature c, so that each step minimises (eq. 11)

    sum (u - u_k)^2 + lambda / 2 * sum_{x, y} c (grad u - mu_k / c)^2,
    mu_k = c grad u_k - phi'(grad u_k)

with periodic borders. In the Fourier domain that is one division,

    (1 + lambda c / 2 * |F(grad)|^2) F(u_{k+1}) = F(u_k) + lambda / 2 * F(grad' mu_k).

The compiled kernel (csrc/ils.c) solves for the change of u by L0's means (csrc/periodic.c), in
double precision; NumPy divides two-dimensional DFTs in the image's own.

As in the authors' program the data term follows the iterate u_k, where the paper writes the input;
their published parameters are for that.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from vocsmooth.arrays import FloatImage, as_channels, check_count, check_image, check_number, like
from vocsmooth.operators import compiled, kernels
from vocsmooth.operators.compiled import CHARBONNIER, WELSCH, Penalty

Array = NDArray[np.floating[Any]]

_COMPILED_BETA = (1e-6, 1e6)
"""Range of lambda c / 2 in which the kernel's recursions lose no digits; outside it NumPy does the
work."""


def ils_smooth(
    image: FloatImage,
    lam: float = 30.0,
    gamma: float = 10 / 255,
    num_iter: int = 10,
    penalty: Literal["welsch", "charbonnier"] = "welsch",
    p: float = 0.8,
    eps: float = 1e-4,
) -> FloatImage:
    """Smooth and keep edges: strong ones untouched (Welsch), or all of them softened (Charbonnier).

    Parameters
    ----------
    image : (H, W) or (H, W, C) float32 or float64 in [0, 1]
        Left as it is; each channel is smoothed on its own, borders are periodic.
    lam : float
        Amount of smoothing, at least 0.
    gamma : float
        Welsch: gradients well above this are edges and kept; above 0.
    num_iter : int
        Number of steps.
    penalty : {"welsch", "charbonnier"}
        2 gamma^2 (1 - exp(-x^2 / (2 gamma^2))), or (x^2 + eps)^(p / 2), for which the authors take
        lam=1, num_iter=4.
    p, eps : float
        Charbonnier: 0 < p <= 2; the smaller, the sharper the edges. eps > 0.

    Returns
    -------
    Shape and dtype of `image`; may leave [0, 1] slightly.

    Raises
    ------
    TypeError, ValueError
        The image or a parameter is not as above.

    References
    ----------
    Liu et al., ACM TOG 39(3), 2020, eqs. 3, 7 to 13.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.tile([0.2, 0.22, 0.2, 0.8, 0.82, 0.8], (6, 1))
    >>> ils_smooth(image)[0].round(2).tolist()
    [0.21, 0.21, 0.21, 0.81, 0.81, 0.81]
    """
    check_image(image)
    check_number("lam", lam, at_least=0)
    check_count("num_iter", num_iter)
    if penalty == "welsch":
        check_number("gamma", gamma, above=0)
        chosen = _welsch(gamma)
    elif penalty == "charbonnier":
        check_number("p", p, above=0)
        check_number("eps", eps, above=0)
        if p > 2:
            raise ValueError(f"p must be at most 2, got {p!r}.")
        chosen = _charbonnier(p, eps)
    else:
        raise ValueError(f"penalty must be 'welsch' or 'charbonnier', got {penalty!r}.")
    planes = np.moveaxis(as_channels(image), 2, 0)
    least, most = _COMPILED_BETA
    supported = least <= lam / 2 * chosen.curvature <= most
    iterate = kernels.choose(compiled.ils_rounds, _iterate, supported=supported)
    return like(np.moveaxis(iterate(planes, lam, chosen, num_iter), 0, 2), image)


def _iterate(u: Array, lam: float, penalty: Penalty, num_iter: int) -> Array:
    """Take all steps on ``(C, H, W)`` planes."""
    u = u.astype(u.dtype.newbyteorder("="), order="C")
    sides = u.shape[1:]
    scale = 1 / (1 + lam / 2 * penalty.curvature * _laplacian_spectrum(*sides))
    scale = scale.astype(u.dtype)
    spectrum = scipy.fft.rfft2(u)
    for _ in range(num_iter):
        pull = np.zeros_like(u)  # grad' mu
        for axis in (1, 2):
            gradient = np.roll(u, -1, axis) - u
            mu = penalty.curvature * gradient - _slope(gradient, penalty)
            pull += np.roll(mu, 1, axis) - mu
        pull *= lam / 2
        spectrum += scipy.fft.rfft2(pull, overwrite_x=True)
        spectrum *= scale
        u = scipy.fft.irfft2(spectrum, s=sides)
    return u


def _laplacian_spectrum(height: int, width: int) -> NDArray[np.float64]:
    """Return |F(d/dx)|^2 + |F(d/dy)|^2 of periodic differences, on the half plane of rfft2."""
    rows = 2 - 2 * np.cos(2 * np.pi * scipy.fft.fftfreq(height))
    columns = 2 - 2 * np.cos(2 * np.pi * scipy.fft.rfftfreq(width))
    spectrum: NDArray[np.float64] = rows[:, np.newaxis] + columns
    return spectrum


def _welsch(gamma: float) -> Penalty:
    """Return the Welsch penalty, whose derivative is 2 x exp(-x^2 / (2 gamma^2))."""
    return Penalty(kind=WELSCH, curvature=2.0, factor=2.0, exponent=-0.5 / gamma**2, offset=0.0)


def _charbonnier(p: float, eps: float) -> Penalty:
    """Return the Charbonnier penalty, whose derivative is p x (x^2 + eps)^(p / 2 - 1)."""
    offset = max(eps, float(np.finfo(np.float64).tiny))  # kernels take logarithms of normal numbers
    curvature = p * offset ** (p / 2 - 1)
    return Penalty(
        kind=CHARBONNIER, curvature=curvature, factor=p, exponent=p / 2 - 1, offset=offset
    )


def _slope(x: Array, penalty: Penalty) -> Array:
    """Return the derivative of a penalty."""
    if penalty.kind == WELSCH:
        return penalty.factor * x * np.exp(x * x * penalty.exponent)
    return penalty.factor * x * (x * x + penalty.offset) ** penalty.exponent
