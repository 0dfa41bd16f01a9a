"""Convolutions in float32 by Winograd's method, on x86 processors with AVX2.

It takes 36 products for what takes 144, see `vocsmooth/operators/csrc/winograd.c`. On one thread of
an AMD EPYC (Zen 3) the bundled network is 1.9 to 2.7 times as fast as with oneDNN's convolutions,
which torch calls (Zen 4: 2.6 times, engines-zen4.json), and as exact: on three photographs its
results differ from those in float64 by 0.00002 grey levels on average and 0.0003 at most, torch's
by 0.00002 and 0.0002.

What bounds it: the products reach nine tenths of what a core multiplies; the transforms before and
after them, which hardly multiply, take two fifths of the time, as weights and sums do not fit the
second cache together. 24 or 36 tiles at a time, instead of 12, and huge pages gain nothing.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn import functional

from csgisnet.prediction.compiled_layers import Arranged, Kernel, Unit
from vocsmooth.operators import interface, kernels

_PANEL = 2
"""Groups of outputs whose weights lie side by side."""

_ONE_WAY = torch.tensor(
    [
        *((1 / 4, 0, 0), (-1 / 6, -1 / 6, -1 / 6), (-1 / 6, 1 / 6, -1 / 6)),
        *((1 / 24, 1 / 12, 1 / 6), (1 / 24, -1 / 12, 1 / 6), (0, 0, 1)),
    ],
    dtype=torch.float64,
)
"""(6, 3): three weights become six, for four results side by side; G of Lavin and Gray, F(4, 3)."""

TRANSFORM = torch.kron(_ONE_WAY, _ONE_WAY)
"""(36, 9): both ways at once, for the weights of 3 x 3 pixels."""


@functools.cache
def has_winograd() -> bool:
    """Return whether the kernels were built for this method, and the processor has AVX2."""
    return kernels.library is not None and bool(kernels.library.winograd_allowed())


@functools.cache
def pays() -> bool:
    """Return whether it was measured to be faster than the convolutions of torch here.

    It is on x86 processors without AVX-512, and on those of AMD's family 25 (Zen 3 and Zen 4).
    Elsewhere oneDNN multiplies twice as much with AVX-512, and nobody has compared the two.
    """
    return kernels.library is not None and bool(kernels.library.winograd_pays())


def _prepare(arranged: Arranged) -> Kernel:
    """Transform weights; those of a single pixel are 3 x 3 with zeros around."""
    weight, dilation, _ = arranged
    if weight.shape[-1] not in (1, 3):
        raise ValueError(f"Kernels must be 1 or 3 pixels wide, got {weight.shape[-1]}.")
    margin = (3 - weight.shape[-1]) // 2
    weight = functional.pad(weight.double(), (margin,) * 4)
    groups, _, channels = weight.shape[:3]
    products = (weight.flatten(3) @ TRANSFORM.T).permute(3, 0, 2, 1)  # (36, groups, channels, 8)
    # (36, channels, outputs) of each panel, one after the other for each of the 36.
    panels = [
        products[:, first : first + _PANEL].transpose(1, 2).flatten(1)
        for first in range(0, groups, _PANEL)
    ]

    def describe(call: interface.Convolution, _: Tensor) -> None:
        call.channels, call.dilation = channels, dilation

    return Kernel("convolve_winograd", torch.cat(panels, dim=1).float().contiguous(), describe)


def _spread(image: Tensor, features: Tensor, step: int, level: float) -> None:
    """Write an image as features; see `Unit.spread`."""
    height, width, _ = features.shape
    cells = image.view(height, step, width, step, 3).transpose(1, 2).reshape(height, width, -1)
    count = cells.shape[2]
    features[..., :count] = cells
    features[..., count:] = 0
    if features.shape[2] > count:
        features[..., count] = level


WINOGRAD = Unit(torch.float32, group=8, border=0, behind=0, kernel=_prepare, spread=_spread)
"""Convolutions by Winograd's method."""
