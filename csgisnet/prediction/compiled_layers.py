"""Features with zeros around them, and the convolutions that read and write them on AMX."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vocsmooth.operators import interface, kernels

GROUP = 16
"""Outputs of one tile of the matrix unit; features have a multiple of as many channels."""

_PRODUCTS = 32
"""Channels that it multiplies at once."""

_BORDER = 3
"""Zeros around features, in pixels: the largest dilation."""

_BEHIND = 64
"""Pixels of zeros behind the last row, as blocks of 32 pixels may begin at its last one."""


def rounded_up(channels: int) -> int:
    """Return the channels that features have to have for so many."""
    return -(-channels // GROUP) * GROUP


class Workspace:
    """Memory for features of one size, which lie between zeros.

    Parameters
    ----------
    height, width : int
        Their size.
    """

    def __init__(self, height: int, width: int) -> None:
        self._height, self._width = height, width
        self._free: dict[int, list[Tensor]] = {}

    def take(self, channels: int) -> Tensor:
        """Return memory for features (H, W, C) in bfloat16; `channels` is a multiple of `GROUP`.

        All channels have to be written before it is read, if only with zeros: products of anything
        but numbers with weights of zero are not zero.
        """
        if self._free.get(channels):
            return self._free[channels].pop()
        rows, columns = self._height + 2 * _BORDER, self._width + 2 * _BORDER
        size = (rows * columns + _BEHIND) * channels
        memory = torch.empty(size, dtype=torch.bfloat16)
        padded = memory[: rows * columns * channels].view(rows, columns, channels)
        padded[:_BORDER].zero_()
        padded[:, :_BORDER].zero_()
        padded[:, -_BORDER:].zero_()
        memory[(rows - _BORDER) * columns * channels :].zero_()
        return padded[_BORDER:-_BORDER, _BORDER:-_BORDER]

    def give(self, features: Tensor) -> None:
        """Take back memory that is not read any more; what surrounds it is still zero."""
        self._free.setdefault(features.shape[2], []).append(features)


def spread(image: Tensor, features: Tensor, step: int, level: float) -> None:
    """Write an image (step * H, step * W, 3) as features (H, W, C) of cells, with the level.

    A cell's pixels come row by row, then the level, then zeros.
    """
    height, width, _ = features.shape
    row, pixel, _ = features.stride()
    kernels.required().spread(
        image.data_ptr(), height, width, step, level, features.data_ptr(), row, pixel
    )


class Target(NamedTuple):
    """Where a convolution writes its results."""

    pixels: Tensor
    """Features or an image, (scale * H, scale * W, C)."""
    places: Sequence[tuple[int, int, int]]
    """Of each group of outputs: row and column in a cell of `scale` x `scale`, first channel."""
    scale: int = 1

    @classmethod
    def of(cls, pixels: Tensor) -> Target:
        """Return features (H, W, C) as the target of as many outputs."""
        return cls(pixels, [(0, 0, first) for first in range(0, pixels.shape[2], GROUP)])


class Convolution:
    """A convolution of features on the matrix unit.

    Parameters
    ----------
    conv : Conv2d
        With an odd square kernel, and padded so that it keeps the size.
    shared : int, optional
        Channels of the features that it reads, if they have more than it looks at.
    inputs : sequence of int, optional
        Which inputs of `conv` the first channels of the features are; by default all, in order.
    outputs : Tensor, optional
        (groups, up to 16), which outputs of `conv` the groups are; by default all, in order.
    relu : bool
        Whether negative results become 0.
    """

    def __init__(
        self,
        conv: nn.Conv2d,
        *,
        shared: int | None = None,
        inputs: Sequence[int] | None = None,
        outputs: Tensor | None = None,
        relu: bool = False,
    ) -> None:
        weight = conv.weight.float()
        weight = weight if inputs is None else weight[:, list(inputs)]
        if outputs is None:
            outputs = torch.arange(len(weight)).view(-1, min(GROUP, len(weight)))
        (groups, kept), (_, count, side, _) = outputs.shape, weight.shape
        channels = rounded_up(count)
        arranged = torch.zeros(groups, GROUP, channels, side, side)
        arranged[:, :kept, :count] = weight[outputs]
        self._bias = torch.zeros(groups, GROUP)
        if conv.bias is not None:
            self._bias[:, :kept] = conv.bias.float()[outputs]
        self._relu, self._kept = relu, kept
        self.outputs = groups * GROUP
        steps, blocks = [], []
        for row, column, part in _rows_of(arranged, conv.dilation[0], shared or channels):
            for first in range(0, part.shape[2], _PRODUCTS):
                block = torch.zeros(groups, GROUP, _PRODUCTS)
                some = part[..., first : first + _PRODUCTS]
                block[..., : some.shape[2]] = some
                blocks.append(block.view(groups, GROUP, -1, 2).transpose(1, 2))
                steps.append((row, column, first))
        self._weights = torch.stack(blocks).to(torch.bfloat16).contiguous()
        self._steps = steps

    def __call__(self, source: Tensor, target: Target, *, added: Tensor | None = None) -> None:
        """Write the results for features (H, W, C), and `added` features of the same channels."""
        call = self._call(source)
        self._aim(call, "out", target)
        if added is not None:
            call.added = added.data_ptr()
            call.add_row, call.add_pixel, _ = added.stride()
        kernels.required().convolve(ctypes.byref(call), torch.get_num_threads())

    def to_image(
        self, source: Tensor, target: Target, *, base: Tensor | None, copy: Target | None
    ) -> None:
        """Write results in float32, each group's to its pixel, and their `copy` in bfloat16.

        `base`, of the target's size and layout, is added to them.
        """
        call = self._call(source)
        call.kept = self._kept
        self._aim(call, "image", target)
        if copy is not None:
            self._aim(call, "out", copy)
        if base is not None:
            call.base = base.data_ptr()
        kernels.required().convolve(ctypes.byref(call), torch.get_num_threads())

    def _call(self, source: Tensor) -> interface.Convolution:
        """Return the kernel's arguments but for what it writes."""
        row, pixel, _ = source.stride()
        offsets = [y * row + x * pixel + channel for y, x, channel in self._steps]
        call = interface.Convolution(
            height=source.shape[0],
            width=source.shape[1],
            blocks=len(offsets),
            groups=len(self._bias),
            relu=self._relu,
            in_row=row,
            in_pixel=pixel,
            weights=self._weights.data_ptr(),
            bias=self._bias.data_ptr(),
        )
        setattr(call, "in", source.data_ptr())
        return _with_array(call, "offsets", offsets)

    def _aim(self, call: interface.Convolution, name: str, target: Target) -> None:
        """Let the kernel write to a target, under the names of its fields."""
        row, pixel, _ = target.pixels.stride()
        setattr(call, name, target.pixels.data_ptr())
        setattr(call, f"{name}_row", target.scale * row)
        setattr(call, f"{name}_pixel", target.scale * pixel)
        places = [y * row + x * pixel + channel for y, x, channel in target.places]
        _with_array(call, "places" if name == "out" else "image_places", places)


def _rows_of(weight: Tensor, dilation: int, shared: int) -> Iterator[tuple[int, int, Tensor]]:
    """Yield runs of weights whose channels lie side by side, (groups, 16, run).

    With each come the row and the column, seen from the pixel, at which it begins. Without dilation
    neighbours in a row make one run, if features have no other channels between theirs.
    """
    side = weight.shape[-1]
    reach = side // 2
    whole = dilation == 1 and shared == weight.shape[2]
    for y in range(side):
        if whole:
            yield y - reach, -reach, weight[:, :, :, y].transpose(2, 3).flatten(2)
            continue
        for x in range(side):
            yield dilation * (y - reach), dilation * (x - reach), weight[:, :, :, y, x]


def _with_array(
    call: interface.Convolution, field: str, values: Sequence[int]
) -> interface.Convolution:
    """Point a field at an array of whole numbers, which lives as long as the arguments."""
    array = (ctypes.c_int * len(values))(*values)
    setattr(call, field, ctypes.addressof(array))
    call.arrays = (*getattr(call, "arrays", ()), array)
    return call
