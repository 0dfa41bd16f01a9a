"""L0 gradient minimisation: keep as few gradients as possible, and edges at full contrast.

Half-quadratic splitting alternates between two steps while a penalty beta grows: keep the gradients
(h, v) with |h|^2 + |v|^2 >= lam / beta, summed over the channels, set the others to 0; then fit the
image S to image I and to those gradients, (1 + beta L) S = I + beta D'(h, v), all of it periodic.

Both ways to fit are exact, in double precision. NumPy divides two-dimensional DFTs. The compiled
kernel (csrc/l0.c, csrc/periodic.c) solves for the change of S, by DFTs down the columns only and
then, for each vertical frequency, two recursions along the row. A height with large prime factors
costs it twice as much: where the width has none, rows and columns change places.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from vocsmooth.arrays import FloatImage, as_channels, check_image, check_number, like
from vocsmooth.operators import compiled, kernels
from vocsmooth.operators.compiled import AnyPlanes, Planes

BETA_MAX = 1e5


def l0_smooth(image: FloatImage, lam: float = 0.02, kappa: float = 2.0) -> FloatImage:
    """Smooth by L0 gradient minimisation.

    Parameters
    ----------
    image : (H, W) or (H, W, C) float32 or float64 in [0, 1]
        Any number of channels; they share one decision per pixel on which gradients survive.
    lam : float
        Price of a non-zero gradient, > 0; larger is flatter.
    kappa : float
        Growth of the penalty per round, > 1; smaller is more accurate and slower.

    Returns
    -------
    ndarray
        Same shape and dtype. Computed in float64; not clipped.

    Raises
    ------
    TypeError, ValueError
        The image or a parameter is not as described.

    References
    ----------
    L. Xu, C. Lu, Y. Xu, J. Jia: Image Smoothing via L0 Gradient Minimization, SIGGRAPH Asia 2011,
    algorithm 1 with equations (8) and (12).

    Examples
    --------
    >>> import numpy as np
    >>> image = np.tile([0.2, 0.21, 0.2, 0.8, 0.81, 0.8], (6, 1))
    >>> l0_smooth(image)[0].round(3).tolist()
    [0.203, 0.203, 0.203, 0.803, 0.803, 0.803]
    """
    check_image(image)
    check_number("lam", lam, above=0)
    check_number("kappa", kappa, above=1)
    planes = np.moveaxis(as_channels(image), 2, 0)
    rounds = kernels.choose(compiled.l0_rounds, l0_rounds)
    return like(np.moveaxis(rounds(planes, _penalties(lam, kappa)), 0, 2), image)


def l0_rounds(image: AnyPlanes, penalties: Iterator[tuple[float, float]]) -> Planes:
    """Do a round for each (beta, threshold of the gradients' squares) in NumPy."""
    smooth = image.astype(np.float64, order="C")
    height, width = smooth.shape[1:]
    laplacian = _eigenvalues(height, np.arange(height))[:, np.newaxis]
    laplacian = laplacian + _eigenvalues(width, np.arange(width // 2 + 1))
    laplacian = laplacian.repeat(2, axis=1)  # for real and imaginary parts
    spectrum = scipy.fft.rfft2(smooth).view(np.float64)
    across, down = np.empty_like(smooth), np.empty_like(smooth)
    for beta, threshold in penalties:
        _difference(smooth, 2, out=across)
        _difference(smooth, 1, out=down)
        _weigh(across, down, beta, threshold)
        _divergence(across, down, out=smooth)
        target = scipy.fft.rfft2(smooth)
        parts = target.view(np.float64)
        parts += spectrum
        parts /= 1 + beta * laplacian
        smooth = scipy.fft.irfft2(target, (height, width), overwrite_x=True)
    return smooth


def _penalties(lam: float, kappa: float) -> Iterator[tuple[float, float]]:
    """Yield beta and the threshold lam / beta of each round."""
    beta = 2 * lam
    while beta < BETA_MAX:
        yield beta, lam / beta
        beta *= kappa


def _difference(values: Planes, axis: int, out: Planes) -> None:
    """Return each next value minus this one; the first value follows the last."""
    values, out = values.swapaxes(0, axis), out.swapaxes(0, axis)
    np.subtract(values[1:], values[:-1], out=out[:-1])
    np.subtract(values[0], values[-1], out=out[-1])


def _weigh(across: Planes, down: Planes, beta: float, threshold: float) -> None:
    """Multiply gradients by beta where their square, summed over channels, reaches the threshold.

    Set the others to zero.
    """
    square = np.einsum("chw,chw->hw", across, across)
    square += np.einsum("chw,chw->hw", down, down)
    weight = np.where(square >= threshold, beta, 0.0)
    across *= weight
    down *= weight


def _divergence(across: Planes, down: Planes, out: Planes) -> None:
    """Apply the adjoint of the gradient."""
    np.subtract(across[:, :, :-1], across[:, :, 1:], out=out[:, :, 1:])
    np.subtract(across[:, :, -1], across[:, :, 0], out=out[:, :, 0])
    out[:, 1:] += down[:, :-1]
    out[:, 0] += down[:, -1]
    out -= down


def _eigenvalues(length: int, frequency: NDArray[np.int_]) -> NDArray[np.float64]:
    """Return the eigenvalues of the periodic second difference of `length` samples."""
    eigenvalues: NDArray[np.float64] = 4 * np.sin(np.pi * frequency / length) ** 2
    return eigenvalues
