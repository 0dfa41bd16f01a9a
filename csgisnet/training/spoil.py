"""Spoil inputs as cameras and files do: noise, and the losses of JPEG. Labels stay clean.

What remains of them in a result is an error, so a network learns to remove both.

References
----------
.. [1] ITU-T Recommendation T.81 (JPEG), 1992, annexes A and K.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from csgisnet.device import constant

_SIDE = 8

_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""Quantisation of the luminance at quality 50, table K.1."""

_CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * _SIDE,) * 4,
)
"""Of the two chroma channels, table K.2."""

_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


def draw_noise(keys: NDArray[np.uint64], patch: int) -> Tensor:
    """Draw the noise of B samples, (B, 3, patch, patch) float32, from the keys of their views."""
    # Jumped ahead, as the first numbers of each key have drawn the view.
    streams = (np.random.Generator(np.random.Philox(key=key).jumped()) for key in keys)
    fields = [stream.standard_normal((3, patch, patch), np.float32) for stream in streams]
    return torch.from_numpy(np.stack(fields))


def add_noise(images: Tensor, noise: Tensor, deviations: Tensor) -> Tensor:
    """Add noise to images.

    Parameters
    ----------
    images : Tensor
        (B, 3, H, W) in [0, 1].
    noise : Tensor
        Of their shape, with a standard deviation of 1.
    deviations : Tensor
        Standard deviation of each image's noise, (B,), in units of the range.

    Returns
    -------
    Tensor
        Noisy images, clipped to [0, 1].
    """
    return (images + deviations[:, None, None, None] * noise).clamp_(0, 1)


def compress(images: Tensor, qualities: Tensor) -> Tensor:
    """Return what is left of images after they were stored as JPEG [1]_, chroma at half resolution.

    It is computed on the device of the images; decoders differ from it by their rounding and by how
    they enlarge the chroma.

    Parameters
    ----------
    images : Tensor
        (B, 3, H, W) in [0, 1].
    qualities : Tensor
        Quality of each image, (B,) in 1 to 100, as libjpeg counts it; 0 leaves it as it is.

    Returns
    -------
    Tensor
        (B, 3, H, W) in [0, 1].
    """
    height, width = images.shape[-2:]
    step = 2 * _SIDE
    padding = (0, -width % step, 0, -height % step)
    padded = functional.pad(images, padding, mode="replicate")
    to_ycc, to_rgb = constant(_TO_YCC, images), constant(_to_rgb(), images)
    levels = 255 * torch.einsum("ij,bjhw->bihw", to_ycc, padded)
    luminance, chroma = levels[:, :1] - 128, functional.avg_pool2d(levels[:, 1:], 2)
    scale = torch.where(qualities < 50, 50 / qualities.clamp(min=1), 2 - qualities / 50)
    kept = _quantised(luminance, _table(_LUMINANCE, scale)) + 128
    chroma = _quantised(chroma, _table(_CHROMINANCE, scale)).clamp(-128, 127)
    chroma = functional.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    ycc = torch.cat([kept.clamp(0, 255), chroma], dim=1)
    rgb = torch.einsum("ij,bjhw->bihw", to_rgb, ycc)
    stored = (rgb.round() / 255).clamp(0, 1)[..., :height, :width]
    return torch.where((qualities > 0)[:, None, None, None], stored, images)


def _table(rows: tuple[tuple[int, ...], ...], scale: Tensor) -> Tensor:
    """Return a quantisation table for each scale, (B, 1, 8, 8), 1 to 255."""
    base = constant(rows, scale)
    return (base * scale[:, None, None, None] + 0.5).floor().clamp(1, 255)


def _quantised(planes: Tensor, table: Tensor) -> Tensor:
    """Return planes (B, C, H, W), as their 8x8 blocks' quantised cosine transforms give them."""
    batch, count, height, width = planes.shape
    cosines = constant(_cosines(), planes)
    blocks = planes.reshape(batch, count, height // _SIDE, _SIDE, width // _SIDE, _SIDE)
    spectra = torch.einsum("ui,bcyixj,vj->bcyxuv", cosines, blocks, cosines)
    table = table[:, :, None, None]
    kept = (spectra / table).round() * table
    blocks = torch.einsum("ui,bcyxuv,vj->bcyixj", cosines, kept, cosines)
    return blocks.reshape(planes.shape)


@functools.cache
def _to_rgb() -> tuple[tuple[float, ...], ...]:
    """Return the inverse of the matrix of luminance and chroma; a device would be waited for."""
    return tuple(map(tuple, torch.linalg.inv(torch.tensor(_TO_YCC)).tolist()))


@functools.cache
def _cosines() -> tuple[tuple[float, ...], ...]:
    """Return the orthonormal cosine transform of 8 values; row u is frequency u."""
    u, i = np.mgrid[:_SIDE, :_SIDE]
    rows: NDArray[np.float64] = np.cos((2 * i + 1) * u * np.pi / (2 * _SIDE)) / 2
    rows[0] /= np.sqrt(2)
    return tuple(tuple(float(value) for value in row) for row in rows)
