"""L0 gradient minimisation: as few gradients as possible, edges kept at full contrast."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from vocsmooth.arrays import FloatImage, as_channels, check_image, check_number, like

BETA_MAX = 1e5


def l0_smooth(image: FloatImage, lam: float = 0.02, kappa: float = 2.0) -> FloatImage:
    """Smooth by L0 gradient minimisation.

    Parameters
    ----------
    image : (H, W) or (H, W, C) float32 or float64 in [0, 1]
        Any number of channels; they share one decision per pixel on which gradients survive.
    lam : float
        Price of a non-zero gradient; larger is flatter.
    kappa : float
        Growth of the penalty a round, > 1; smaller is more accurate and slower.

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
    algorithm 1 with equations (8) and (12), periodic boundary.
    """
    check_image(image)
    check_number("lam", lam, above=0)
    check_number("kappa", kappa, above=1)
    planes = np.moveaxis(as_channels(image).astype(np.float64), 2, 0)
    smooth = _alternate(planes, lam, kappa)
    return like(np.moveaxis(smooth, 0, 2), image)


def _alternate(image: NDArray[np.float64], lam: float, kappa: float) -> NDArray[np.float64]:
    """Alternate between choosing the gradients and fitting the image to them."""
    height, width = image.shape[1:]
    laplacian = _eigenvalues(height, np.arange(height))[:, np.newaxis]
    laplacian = laplacian + _eigenvalues(width, np.arange(width // 2 + 1))
    spectrum = scipy.fft.rfft2(image)
    smooth = image
    beta = 2 * lam
    while beta < BETA_MAX:
        target = scipy.fft.rfft2(_kept_divergence(smooth, lam / beta))
        smooth = scipy.fft.irfft2(
            (spectrum + beta * target) / (1 + beta * laplacian), (height, width)
        )
        beta *= kappa
    return smooth


def _kept_divergence(smooth: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    """Adjoint of the gradient, applied to the gradients with |.|^2 over channels >= threshold."""
    across = np.roll(smooth, -1, 2) - smooth
    down = np.roll(smooth, -1, 1) - smooth
    kept = (across**2 + down**2).sum(axis=0) >= threshold
    across *= kept
    down *= kept
    return np.roll(across, 1, 2) - across + np.roll(down, 1, 1) - down


def _eigenvalues(length: int, frequency: NDArray[np.int_]) -> NDArray[np.float64]:
    """Eigenvalues of the periodic second difference of `length` samples."""
    return 4 * np.sin(np.pi * frequency / length) ** 2
