"""Convolutions in bfloat16 on Intel's matrix unit (AMX).

Those of oneDNN, which torch calls, reach a quarter of what the unit multiplies with as few channels
as these networks have (48 x 48: 38 to 52 us for 1,000 pixels), and between them passes over memory
add, concatenate, convert and move pixels. Here a convolution does all of that to its results, see
`vocsmooth/operators/csrc/convolution.c` (31 to 39 us with the sum). The bundled network takes 0.60
to 0.66 of the time, the full one 0.72 to 0.87, and is a little closer to float32, as sums are not
rounded twice (benchmarks/results/matrix_unit.json).

What bounds it: tiles are loaded from the second cache and the third, as a convolution's weights (54
kB) and three rows of features do not fit the first. The unit alone would take 16 cycles for a
product that takes 30: without any loads a picture takes half of the time, with features that stay
in the first cache 0.93. These were measured and gain nothing, or lose: 64 channels instead of 48
with oneDNN, weights packed beforehand, weights and features fetched ahead, 16 outputs, or half of
the channels, at a time with weights that stay in the first cache, and the three convolutions of a
block in turns of a few rows.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from csgisnet.prediction.compiled_layers import Arranged, Kernel, Unit, with_array
from vocsmooth.operators import interface, kernels

_PRODUCTS = 32
"""Channels that the unit multiplies at once."""


@functools.cache
def has_matrix_unit() -> bool:
    """Return whether the kernels were built for the matrix unit, and the system lets it be used."""
    capable: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if not (capable.get("amx_bf16") and capable.get("avx512_bf16")):
        return False
    return kernels.library is not None and kernels.library.convolution_allow() == 0


def _prepare(arranged: Arranged) -> Kernel:
    """Cut weights into blocks of 32 channels that lie side by side under the window."""
    groups, outputs = arranged.weight.shape[:2]
    steps, blocks = [], []
    for row, column, part in _rows_of(arranged):
        for first in range(0, part.shape[2], _PRODUCTS):
            block = torch.zeros(groups, outputs, _PRODUCTS)
            some = part[..., first : first + _PRODUCTS]
            block[..., : some.shape[2]] = some
            blocks.append(block.view(groups, outputs, -1, 2).transpose(1, 2))
            steps.append((row, column, first))

    def describe(call: interface.Convolution, source: Tensor) -> None:
        row, pixel, _ = source.stride()
        call.blocks = len(steps)
        with_array(call, "offsets", [y * row + x * pixel + channel for y, x, channel in steps])

    return Kernel("convolve", torch.stack(blocks).to(torch.bfloat16).contiguous(), describe)


def _rows_of(arranged: Arranged) -> Iterator[tuple[int, int, Tensor]]:
    """Yield runs of weights whose channels lie side by side, (groups, outputs, run).

    With each come the row and the column, seen from the pixel, at which it begins. Without dilation
    neighbours in a row make one run, if features have no other channels between theirs.
    """
    weight, dilation, shared = arranged
    side = weight.shape[-1]
    reach = side // 2
    whole = dilation == 1 and shared == weight.shape[2]
    for y in range(side):
        if whole:
            yield y - reach, -reach, weight[:, :, :, y].transpose(2, 3).flatten(2)
            continue
        for x in range(side):
            yield dilation * (y - reach), dilation * (x - reach), weight[:, :, :, y, x]


def _spread(image: Tensor, features: Tensor, step: int, level: float) -> None:
    """Write an image as features; see `Unit.spread`."""
    height, width, _ = features.shape
    row, pixel, _ = features.stride()
    kernels.required().spread(
        image.data_ptr(), height, width, step, level, features.data_ptr(), row, pixel
    )


# The border is the largest dilation; blocks of 32 pixels may begin at the last one of a row.
MATRIX_UNIT = Unit(torch.bfloat16, group=16, border=3, behind=64, kernel=_prepare, spread=_spread)
"""Convolutions on the matrix unit."""
