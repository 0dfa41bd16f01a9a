"""The joint bilateral filter, on which rolling guidance and pyramid texture filtering are based.

Each pixel becomes the average of those in its window, by the weights

    w(p, q) = exp(-|p - q|^2 / (2 sigma_s^2) - |G(p) - G(q)|^2 / (2 sigma_r^2))

of distance and of difference in the guide G, whose channels count together. As w is symmetric, each
pair of pixels is weighed once: for one half of the window's offsets, whole runs of the padded
image, laid out flat and short enough for the cache, are compared with themselves shifted, and both
ends of each pair receive their share: in C (csrc/bilateral.c) for float32, otherwise in NumPy.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocsmooth.operators import compiled, kernels

Planes = NDArray[np.floating[Any]]

_RUN = 32768
"""Pixels of one step in NumPy: its arrays fit in a core's second-level cache."""

_FAR = 1e6
"""A guide's level outside of the image: so different from all others that it weighs nothing."""


def joint_bilateral(
    values: Planes,
    guide: Planes,
    spatial: NDArray[np.float64],
    sigma_range: float,
    *,
    replicate: bool = False,
) -> Planes:
    """Filter all channels of an image by the channels of a guide.

    Parameters
    ----------
    values : (C, H, W) ndarray
        float32 or float64.
    guide : (G, H, W) ndarray
        Its dtype.
    spatial : (2 r + 1, 2 r + 1) ndarray
        Weights by distance, of any scale, symmetric; 0 where a pixel is outside of the window.
    sigma_range : float
        Difference in the guide that halves a weight, about.
    replicate : bool
        Whether pixels beyond the border count, as copies of the nearest one; otherwise the window
        ends at the border.
    """
    pad = len(spatial) // 2
    around = ((0, 0), (pad, pad), (pad, pad))
    padded = np.pad(values, around, mode="edge")
    levels = guide / guide.dtype.type(math.sqrt(2) * sigma_range)
    if replicate:
        levels = np.pad(levels, around, mode="edge")
    else:
        levels = np.pad(levels, around, constant_values=_FAR)
    height, stride = padded.shape[1:]
    own = spatial[pad, pad]
    half = [
        (dy * stride + dx, math.log(spatial[pad + dy, pad + dx] / own))
        for dy in range(pad + 1)
        for dx in range(-pad, pad + 1)
        if (dy, dx) > (0, 0) and spatial[pad + dy, pad + dx] > 0
    ]
    flat, flat_levels = padded.reshape(len(values), -1), levels.reshape(len(guide), -1)
    total, weight = flat.copy(), np.ones_like(flat[0])  # every pixel's own share, weight 1
    share = kernels.choose(compiled.share_pairs, _share_pairs, supported=flat.dtype == np.float32)
    share(flat, flat_levels, total, weight, half)
    total /= weight
    filtered = total.reshape(padded.shape)
    return filtered[:, pad : height - pad, pad : stride - pad]


def _share_pairs(
    values: Planes, levels: Planes, total: Planes, weight: Planes, half: list[tuple[int, float]]
) -> None:
    """Weigh each pair of pixels (i, i + shift) and add each one's value to the other's sums.

    A shift that leaves its row pairs it with the padding, whose sums nobody reads.
    """
    buffers = np.empty((3, _RUN), values.dtype)
    for start in range(0, len(weight), _RUN):
        for shift, log_spatial in half:
            near = slice(start, min(start + _RUN, len(weight) - shift))
            far = slice(start + shift, near.stop + shift)
            w, product, square = buffers[:, : max(0, near.stop - start)]
            w[...] = 0
            for level in levels:
                np.subtract(level[near], level[far], out=square)
                np.multiply(square, square, out=square)
                np.add(w, square, out=w)
            np.subtract(w.dtype.type(log_spatial), w, out=w)
            np.exp(w, out=w)
            for here, there in ((near, far), (far, near)):
                np.add(weight[here], w, out=weight[here])
                for value, sums in zip(values, total, strict=True):
                    np.multiply(w, value[there], out=product)
                    np.add(sums[here], product, out=sums[here])
