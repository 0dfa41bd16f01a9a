"""Plain programs of the operators, written from the papers, to compare the fast ones with.

Each does its steps one after the other in double precision: sparse systems are solved by
elimination, transforms come from scipy.fft, windows are looped over. They share no code with the
package. Where a paper leaves something open, the authors' published parameters and definitions
decide: the periodic borders of L0 and ILS, the kernel size of RTV, the window of rolling guidance.
Images are (H, W) or (H, W, C) float64; the result has the same shape.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import scipy.fft
import scipy.ndimage
import scipy.sparse
import scipy.sparse.linalg
from numpy.typing import NDArray

Array = NDArray[np.float64]

Pairs = tuple[NDArray[np.int_], NDArray[np.int_], Array]
"""Coupled pixels: flat indices of both ends, and the weights."""


def rtv(
    image: Array, lam: float = 0.01, sigma: float = 3.0, sharpness: float = 0.02, num_iter: int = 4
) -> Array:
    """Relative total variation (Xu et al. 2012, eqs. 7 to 12): a sparse system each iteration."""
    channels = as_channels(image)
    index = np.arange(channels[..., 0].size).reshape(channels.shape[:2])
    smooth = channels
    for _ in range(num_iter):
        radius = (math.floor(5 * sigma + 0.5) | 1) // 2
        blurred = smooth
        for axis in (0, 1):
            blurred = scipy.ndimage.gaussian_filter1d(
                blurred, sigma, axis=axis, mode="constant", radius=radius
            )
        across, down = (forward_difference(smooth, axis) for axis in (1, 0))
        length = np.maximum(np.hypot(across, down).mean(2), sharpness)
        pairs: list[Pairs] = []
        for axis in (0, 1):
            variation = np.abs(forward_difference(blurred, axis)).mean(2)
            weight = lam / 2 / (length * np.maximum(variation, 1e-3))
            ends, strength = np.moveaxis(index, axis, 0), np.moveaxis(weight, axis, 0)
            pairs.append((ends[:-1].ravel(), ends[1:].ravel(), strength[:-1].ravel()))
        smooth = solve_held(channels, pairs)
        sigma = max(sigma / 2, 0.5)
    return smooth.reshape(image.shape)


def sd(
    image: Array, lam: float = 3.0, mu: float = 50.0, nu: float = 400.0, num_iter: int = 10
) -> Array:
    """The SD filter (Ham et al. 2015, eqs. 2 to 4, 11): a sparse system each step."""
    channels = as_channels(image)
    height, width = channels.shape[:2]
    ends = [
        (y * width + x, (y + dy) * width + x + dx)
        for y, x in product(range(height), range(width))
        for dy, dx in ((0, 1), (1, -1), (1, 0), (1, 1))
        if y + dy < height and 0 <= x + dx < width
    ]
    first, second = np.array(ends, int).reshape(-1, 2).T

    def similarity(features: Array, sharpness: float) -> Array:
        colors = lab(features) if features.shape[2] == 3 else features
        flat = colors.reshape(-1, colors.shape[2])
        squares = ((flat[first] - flat[second]) ** 2).sum(1)
        largest = squares.max(initial=0) or 1.0
        weights: Array = np.exp(-sharpness * squares / largest) + 1e-5
        return weights

    static, smooth = similarity(channels, mu), np.zeros_like(channels)
    for _ in range(num_iter):
        weights = lam * static * similarity(smooth, nu)
        smooth = solve_held(channels, [(first, second, weights)])
    return smooth.reshape(image.shape)


def l0(image: Array, lam: float = 0.02, kappa: float = 2.0, beta_max: float = 1e5) -> Array:
    """L0 gradient minimisation (Xu et al. 2011, algorithm 1): a complex 2-D DFT each round."""
    channels = as_channels(image)
    spectrum = scipy.fft.fft2(channels, axes=(0, 1))
    laplacian = laplacian_spectrum(channels.shape)
    smooth, beta = channels, 2 * lam
    while beta < beta_max:
        across, down = (periodic_difference(smooth, axis) for axis in (1, 0))
        flat = (across**2 + down**2).sum(2) < lam / beta
        across[flat] = down[flat] = 0
        pull = adjoint_difference(across, 1) + adjoint_difference(down, 0)
        fitted = (spectrum + beta * scipy.fft.fft2(pull, axes=(0, 1))) / (1 + beta * laplacian)
        smooth = scipy.fft.ifft2(fitted, axes=(0, 1)).real
        beta *= kappa
    return smooth.reshape(image.shape)


def ils(
    image: Array,
    lam: float = 30.0,
    gamma: float = 10 / 255,
    num_iter: int = 10,
    penalty: str = "welsch",
    p: float = 0.8,
    eps: float = 1e-4,
) -> Array:
    """Iterative least squares (Liu et al. 2020, eqs. 7 to 13): a complex 2-D DFT each step."""
    smooth = as_channels(image)
    curvature = 2.0 if penalty == "welsch" else p * eps ** (p / 2 - 1)
    denominator = 1 + lam / 2 * curvature * laplacian_spectrum(smooth.shape)
    for _ in range(num_iter):
        right_side = smooth.copy()
        for axis in (0, 1):
            x = periodic_difference(smooth, axis)
            if penalty == "welsch":
                slope = 2 * x * np.exp(-(x**2) / (2 * gamma**2))
            else:
                slope = p * x * (x**2 + eps) ** (p / 2 - 1)
            right_side += lam / 2 * adjoint_difference(curvature * x - slope, axis)
        spectrum = scipy.fft.fft2(right_side, axes=(0, 1)) / denominator
        smooth = scipy.fft.ifft2(spectrum, axes=(0, 1)).real
    return smooth.reshape(image.shape)


def guided(image: Array, guide: Array, radius: int = 4, eps: float = 0.01) -> Array:
    """The guided filter (He et al. 2013, eqs. 5, 6, 8, 19 to 21) by box sums."""
    channels, guides = as_channels(image), as_channels(guide)

    def mean(values: NDArray[Any]) -> Array:
        return box_sum(values, radius) / box_sum(np.ones(channels.shape[:2]), radius)[..., None]

    count = guides.shape[2]
    mean_I, mean_p = mean(guides), mean(channels)
    outer = (guides[..., :, None] * guides[..., None, :]).reshape(*guides.shape[:2], -1)
    cov = mean(outer).reshape(*guides.shape, count) - mean_I[..., :, None] * mean_I[..., None, :]
    mixed = (guides[..., :, None] * channels[..., None, :]).reshape(*guides.shape[:2], -1)
    cov_Ip = mean(mixed).reshape(*guides.shape, -1) - mean_I[..., :, None] * mean_p[..., None, :]
    a: NDArray[Any] = np.linalg.solve(cov + eps * np.eye(count), cov_Ip)  # (H, W, guides, channels)
    b = mean_p - (a * mean_I[..., None]).sum(2)
    mean_a = mean(a.reshape(*guides.shape[:2], -1)).reshape(a.shape)
    q = (mean_a * guides[..., None]).sum(2) + mean(b)
    return np.asarray(q.reshape(image.shape), np.float64)


def rolling(
    image: Array, sigma_space: float = 4.0, sigma_range: float = 0.1, num_iter: int = 4
) -> Array:
    """Rolling guidance (Zhang et al. 2014, eqs. 4 to 6): a loop over the pixels of each channel."""
    channels = as_channels(image)
    radius = math.floor(sigma_space * math.sqrt(-2 * math.log(0.05)))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    spatial = np.exp(-(x**2 + y**2) / (2 * sigma_space**2))
    spatial[spatial < 0.05] = 0
    result = np.empty_like(channels)
    for c in range(channels.shape[2]):
        values = np.pad(channels[..., c], radius, mode="edge")
        guide = np.zeros(channels.shape[:2])
        for _ in range(num_iter):
            levels, filtered = np.pad(guide, radius, mode="edge"), np.empty_like(guide)
            for i, j in np.ndindex(guide.shape):
                window = np.s_[i : i + 2 * radius + 1, j : j + 2 * radius + 1]
                distance = levels[window] - guide[i, j]
                weight = spatial * np.exp(-(distance**2) / (2 * sigma_range**2))
                filtered[i, j] = (weight * values[window]).sum() / weight.sum()
            guide = filtered
        result[..., c] = guide
    return result.reshape(image.shape)


def solve_held(channels: Array, all_pairs: list[Pairs]) -> Array:
    """Solve (1 + L) x = channels by elimination, L the graph Laplacian of weighted pairs."""
    size = channels[..., 0].size
    laplacian = scipy.sparse.csc_array((size, size))
    for first, second, weight in all_pairs:
        row = np.concatenate([first, second, first, second])
        column = np.concatenate([first, second, second, first])
        entries = np.concatenate([weight, weight, -weight, -weight])
        laplacian = laplacian + scipy.sparse.csc_array((entries, (row, column)), (size, size))
    factors = scipy.sparse.linalg.splu(
        (scipy.sparse.eye_array(size) + laplacian).tocsc(), permc_spec="MMD_AT_PLUS_A"
    )
    solution: Array = factors.solve(channels.reshape(size, -1))
    return solution.reshape(channels.shape)


def box_sum(values: NDArray[Any], radius: int) -> Array:
    """Sum over the square window around each pixel, as much of it as lies inside the image."""
    for axis in (0, 1):
        sums = np.insert(np.cumsum(values, axis), 0, 0, axis)
        centre = np.arange(values.shape[axis])
        last = np.minimum(centre + radius + 1, values.shape[axis])
        values = sums.take(last, axis) - sums.take(np.maximum(centre - radius, 0), axis)
    return values


def forward_difference(values: Array, axis: int) -> Array:
    """Next value minus this one, 0 at the last."""
    return np.diff(values, axis=axis, append=values.take([-1], axis))


def periodic_difference(values: Array, axis: int) -> Array:
    """Next value minus this one, the first following the last."""
    return np.roll(values, -1, axis) - values


def adjoint_difference(values: Array, axis: int) -> Array:
    """The transpose of `periodic_difference`."""
    return np.roll(values, 1, axis) - values


def laplacian_spectrum(shape: tuple[int, ...]) -> Array:
    """|F(d/dx)|^2 + |F(d/dy)|^2 of the periodic differences, (H, W, 1), from their kernels."""
    total = np.zeros(shape[:2])
    for axis in (0, 1):
        impulse = np.zeros(shape[:2])
        impulse[0, 0] = 1
        total += np.abs(scipy.fft.fft2(periodic_difference(impulse, axis))) ** 2
    return total[..., None]


def lab(rgb: Array) -> Array:
    """RGB to CIE Lab as the SD filter's authors do it: Rec. 709's gamma and D65."""
    bright = ((rgb + 0.099) / 1.099) ** (1 / 0.45)
    linear = np.where(bright < 0.018, rgb / 4.5138, bright)
    to_xyz = [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
    relative = linear @ np.array(to_xyz).T / (0.950456, 1.0, 1.088754)
    f = np.where(relative > 0.008856, np.cbrt(relative), 841 / 108 * relative + 4 / 29)
    return np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1
    )


def as_channels(image: Array) -> Array:
    """View an image as (H, W, C)."""
    return image.reshape(*image.shape[:2], -1)
