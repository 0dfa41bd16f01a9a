"""Pyramid texture filtering as a plain program, beside those of `references`."""

from __future__ import annotations

import math

import numpy as np
import scipy.ndimage
from references import Array, as_channels


def pyramid(
    image: Array,
    sigma_space: float = 5.0,
    sigma_range: float = 0.05,
    levels: int = 11,
    scale: float = 0.8,
) -> Array:
    """Pyramid texture filtering (Zhang et al. 2023): loops over levels and pixels.

    The choices of the authors' program: blur, sizes, antialiased resizing, windows cut at borders.
    """
    channels = as_channels(image)
    if channels.shape[2] == 1:
        channels = channels.repeat(3, axis=2)
    gaussian, laplacian = [channels], []
    for _ in range(levels - 1):
        finer = gaussian[-1]
        height, width = (max(1, math.floor(side * scale)) for side in finer.shape[:2])
        gaussian.append(resized(blurred(finer), height, width))
        laplacian.append(finer - blurred(resized(gaussian[-1], *finer.shape[:2])))
    result = gaussian.pop()
    while gaussian:
        guide = gaussian.pop()
        sigma = sigma_space * scale ** len(gaussian)
        sharp = bilateral(resized(result, *guide.shape[:2]), guide, sigma, sigma_range)
        added = bilateral(sharp + laplacian.pop(), sharp, sigma, sigma_range)
        result = bilateral(added, added, sigma, sigma_range)
    return result[..., : as_channels(image).shape[2]].reshape(image.shape)


def bilateral(image: Array, guide: Array, sigma: float, sigma_range: float) -> Array:
    """The joint bilateral filter of colours by the colours of a guide, pixel by pixel."""
    radius = math.ceil(2 * sigma + 1)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    result = np.empty_like(image)
    for i, j in np.ndindex(image.shape[:2]):
        window = tuple(slice(max(k - radius, 0), k + radius + 1) for k in (i, j))
        far = ((y[window] - i) ** 2 + (x[window] - j) ** 2) / (2 * sigma**2)
        unlike = ((guide[window] - guide[i, j]) ** 2).sum(2) / (2 * sigma_range**2)
        weight = np.exp(-far - unlike)
        result[i, j] = (weight[..., None] * image[window]).sum((0, 1)) / weight.sum()
    return result


def blurred(image: Array) -> Array:
    """Blur by a 5 x 5 Gaussian of sigma 1, the border mirrored."""
    tap = np.exp(-(np.arange(-2, 3) ** 2) / 2)
    for axis in (0, 1):
        image = scipy.ndimage.correlate1d(image, tap / tap.sum(), axis, mode="reflect")
    return image


def resized(image: Array, *shape: int) -> Array:
    """Resize bilinearly by weights of a triangle, widened where the image shrinks."""
    for axis, new in enumerate(shape):
        old = image.shape[axis]
        wide = max(1.0, old / new)
        lines = []
        for centre in (np.arange(new) + 0.5) * old / new - 0.5:
            taps = np.arange(math.floor(centre - wide), math.ceil(centre + wide) + 1)
            weights = np.maximum(0, 1 - np.abs(taps - centre) / wide)
            there_and_back = np.concatenate([np.arange(old), np.arange(old)[::-1]])
            parts = image.take(there_and_back[taps % (2 * old)], axis)
            lines.append(np.tensordot(weights / weights.sum(), parts, (0, axis)))
        image = np.stack(lines, axis)
    return image
