"""What people would take instead of our operators, with the operators' own default parameters.

OpenCV's filter where it has one, although it may compute something else; otherwise what a port of
the authors' program does, with the solver of SciPy that suits the system best.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import scipy.fft
import scipy.sparse
import scipy.sparse.linalg
from numpy.typing import NDArray

from vocsmooth.operators import pyramid, sd
from vocsmooth.operators.rolling import spatial_weights
from vocsmooth.operators.rtv import rtv_weights

Array = NDArray[np.floating[Any]]


def rtv_by_elimination(image: Array, lam: float = 0.01, sigma: float = 3.0) -> Array:
    """RTV as a port of the authors' program does it: SuperLU, with the ordering that suits it."""
    planes = np.moveaxis(image, 2, 0).astype(np.float64)
    index = np.arange(planes[0].size).reshape(planes.shape[1:])
    first = np.concatenate([index[:, :-1].ravel(), index[:-1].ravel()])
    second = np.concatenate([index[:, 1:].ravel(), index[1:].ravel()])
    smooth = planes
    for _ in range(4):
        east, south = rtv_weights(smooth, lam / 2, sigma, 0.02)
        coupling = np.concatenate([east[:, :-1].ravel(), south[:-1].ravel()]).astype(np.float64)
        graph = scipy.sparse.coo_array((coupling, (first, second)), (index.size, index.size))
        graph = (graph + graph.T).tocsc()
        system = (scipy.sparse.diags_array(1 + graph.sum(axis=0)) - graph).tocsc()
        factors = scipy.sparse.linalg.splu(system, permc_spec="MMD_AT_PLUS_A")
        smooth = np.stack([factors.solve(p.ravel()).reshape(p.shape) for p in planes])
        sigma = max(sigma / 2, 0.5)
    return np.moveaxis(smooth, 0, 2)


def l0_by_fft(image: Array, lam: float = 0.02, kappa: float = 2.0) -> Array:
    """L0 as a port of the authors' program does it: two-dimensional FFTs in float64."""
    smooth = image.astype(np.float64)
    height, width, _ = smooth.shape
    rows = 4 * np.sin(np.pi * np.arange(height) / height) ** 2
    columns = 4 * np.sin(np.pi * np.arange(width // 2 + 1) / width) ** 2
    laplacian = (rows[:, np.newaxis] + columns)[:, :, np.newaxis]
    spectrum = scipy.fft.rfft2(smooth, axes=(0, 1))
    beta = 2 * lam
    while beta < 1e5:
        across, down = np.roll(smooth, -1, 1) - smooth, np.roll(smooth, -1, 0) - smooth
        dropped = (across**2 + down**2).sum(2) < lam / beta
        across[dropped] = down[dropped] = 0
        divergence = np.roll(across, 1, 1) - across + np.roll(down, 1, 0) - down
        fitted = spectrum + beta * scipy.fft.rfft2(divergence, axes=(0, 1))
        smooth = scipy.fft.irfft2(fitted / (1 + beta * laplacian), (height, width), axes=(0, 1))
        beta *= kappa
    return smooth


def ils_by_fft(image: Array, lam: float = 30.0, gamma: float = 10 / 255) -> Array:
    """ILS as a port of the authors' program does it: two-dimensional FFTs in the image's dtype."""
    smooth = np.ascontiguousarray(np.moveaxis(image, 2, 0))
    height, width = smooth.shape[1:]
    rows = 2 - 2 * np.cos(2 * np.pi * scipy.fft.fftfreq(height))
    columns = 2 - 2 * np.cos(2 * np.pi * scipy.fft.rfftfreq(width))
    scale = (1 / (1 + lam * (rows[:, np.newaxis] + columns))).astype(image.dtype)
    spectrum = scipy.fft.rfft2(smooth)
    for _ in range(10):
        pull = np.zeros_like(smooth)
        for axis in (1, 2):
            gradient = np.roll(smooth, -1, axis) - smooth
            mu = 2 * gradient * (1 - np.exp(gradient * gradient * (-0.5 / gamma**2)))
            pull += np.roll(mu, 1, axis) - mu
        spectrum = (spectrum + lam / 2 * scipy.fft.rfft2(pull)) * scale
        smooth = scipy.fft.irfft2(spectrum, s=(height, width))
    return np.moveaxis(smooth, 0, 2)


def sd_by_gradients(image: Array, lam: float = 3.0, mu: float = 50.0, nu: float = 400.0) -> Array:
    """The SD filter by SciPy's conjugate gradients, preconditioned by the diagonal.

    Elimination, as in the authors' program, takes several times as long.
    """
    f = np.moveaxis(image, 2, 0).astype(np.float64)
    index = np.arange(f[0].size).reshape(f.shape[1:])
    pairs = sd._pairs(index.shape)
    first = np.concatenate([index[near].ravel() for near, _ in pairs])
    second = np.concatenate([index[far].ravel() for _, far in pairs])

    def weigh(planes: Array, sharpness: float) -> Array:
        lab = sd._lab(planes.astype(np.float64), sd._LINEAR_TO_WHITE).reshape(3, -1)
        square = ((lab[:, first] - lab[:, second]) ** 2).sum(0)
        return np.asarray(np.exp(-sharpness * square / square.max()) + 1e-5)

    static, u = lam * weigh(f, mu), f
    for step in range(10):
        coupling = static * (weigh(u, nu) if step else 1 + 1e-5)
        graph = scipy.sparse.coo_array((coupling, (first, second)), (index.size, index.size))
        graph = (graph + graph.T).tocsr()
        diagonal = 1 + graph.sum(axis=0)
        system = (scipy.sparse.diags_array(diagonal) - graph).tocsr()
        inverse = scipy.sparse.diags_array(1 / diagonal)
        solved = [
            scipy.sparse.linalg.cg(system, b.ravel(), x0=x.ravel(), M=inverse, rtol=1e-5)[0]
            for b, x in zip(f, u, strict=True)
        ]
        u = np.stack(solved).reshape(f.shape)
    return np.moveaxis(u, 0, 2)


def opencv_l0(image: Array) -> Array:
    """L0 by OpenCV, which writes into a float32 image."""
    return np.asarray(cv2.ximgproc.l0Smooth(image.copy(), None, 0.02, 2.0))


def opencv_guided(image: Array) -> Array:
    """The colour guided filter by OpenCV."""
    return np.asarray(cv2.ximgproc.guidedFilter(image, image, 4, 0.01))


def opencv_rolling(image: Array) -> Array:
    """Rolling guidance by OpenCV, over our window."""
    diameter, border = len(spatial_weights(4.0)), cv2.BORDER_REPLICATE
    filtered = cv2.ximgproc.rollingGuidanceFilter(image, None, diameter, 0.1, 4.0, 4, border)
    return np.asarray(filtered)


def opencv_pyramid(image: Array) -> Array:
    """Pyramid texture filtering on OpenCV's joint bilateral filter, whose windows are discs."""
    planes = np.ascontiguousarray(np.moveaxis(image, 2, 0))
    gaussian, laplacian = pyramid._pyramids(planes, 11, 0.8)
    result = gaussian.pop()
    for level in reversed(range(10)):
        sigma = 5.0 * 0.8**level
        side = 2 * math.ceil(2 * sigma + 1) + 1
        guide = np.moveaxis(gaussian[level], 0, 2).copy()

        def jbf(
            values: Array, joint: Array, side: int = side, sigma: float = sigma
        ) -> NDArray[np.float32]:
            filtered = cv2.ximgproc.jointBilateralFilter(
                joint.astype(np.float32), values.astype(np.float32), side, 0.05, sigma
            )
            return np.asarray(filtered, np.float32)

        enlarged = np.moveaxis(pyramid.resize(result, guide.shape[:2]), 0, 2).copy()
        sharp = jbf(enlarged, guide)
        added = jbf(sharp + np.moveaxis(laplacian[level], 0, 2), sharp)
        result = np.moveaxis(jbf(added, added), 2, 0)
    return np.moveaxis(result, 0, 2)


RIVALS: dict[str, dict[str, Callable[[Array], Array]]] = {
    "rtv": {"scipy.sparse.linalg.splu": rtv_by_elimination},
    "l0": {"scipy.fft": l0_by_fft, "cv2.ximgproc.l0Smooth": opencv_l0},
    "guided": {"cv2.ximgproc.guidedFilter": opencv_guided},
    "rolling": {"cv2.ximgproc.rollingGuidanceFilter": opencv_rolling},
    "ils": {"scipy.fft": ils_by_fft},
    "sd": {"scipy.sparse.linalg.cg": sd_by_gradients},
    "pyramid": {"cv2.ximgproc.jointBilateralFilter": opencv_pyramid},
}
"""By the operator's name and their own."""
