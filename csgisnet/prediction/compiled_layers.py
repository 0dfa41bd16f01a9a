"""Features in memory, and the convolutions of our own that read and write them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vocsmooth.operators import interface, kernels


class Unit(NamedTuple):
    """One of the ways to compute convolutions: what its features are like, and its kernel."""

    dtype: torch.dtype
    """Of features."""
    group: int
    """Outputs computed side by side; features have a multiple of as many channels."""
    border: int
    """Zeros around features, in pixels."""
    behind: int
    """Pixels of zeros behind the last row of those."""
    kernel: Callable[[Arranged], Kernel]
    """Prepares weights."""
    spread: Callable[[Tensor, Tensor, int, float], None]
    """Writes an image (step * H, step * W, 3) as features (H, W, C) of cells, for `step` and a
    level. A cell's pixels come row by row, then the level, then zeros."""

    def rounded_up(self, channels: int) -> int:
        """Return the channels that features have to have for so many."""
        return -(-channels // self.group) * self.group

    def all_of(self, pixels: Tensor) -> Target:
        """Return features (H, W, C) as the target of as many outputs."""
        return Target(pixels, [(0, 0, first) for first in range(0, pixels.shape[2], self.group)])


class Arranged(NamedTuple):
    """The weights of a convolution in the order of channels that its features have."""

    weight: Tensor
    """(groups, outputs of a group, C, side, side)."""
    dilation: int
    shared: int
    """Channels of the features that it reads; it looks at the first C."""


class Kernel(NamedTuple):
    """A function of the library, prepared for the weights of one convolution."""

    name: str
    """Of the function."""
    weights: Tensor
    """As it takes them."""
    describe: Callable[[interface.Convolution, Tensor], None]
    """Fills in the arguments of its own, for the features that it is to read."""


class Workspace:
    """Memory for features of one size, which lie between zeros.

    Parameters
    ----------
    unit : Unit
        Who reads and writes them.
    height, width : int
        Their size.
    """

    def __init__(self, unit: Unit, height: int, width: int) -> None:
        self._unit, self._height, self._width = unit, height, width
        self._free: dict[int, list[Tensor]] = {}

    def take(self, channels: int) -> Tensor:
        """Return memory for features (H, W, C); `channels` is a multiple of the unit's group.

        All channels have to be written before it is read, if only with zeros: products of anything
        but numbers with weights of zero are not zero.
        """
        if self._free.get(channels):
            return self._free[channels].pop()
        border = self._unit.border
        rows, columns = self._height + 2 * border, self._width + 2 * border
        size = (rows * columns + self._unit.behind) * channels
        memory = torch.empty(size, dtype=self._unit.dtype)
        padded = memory[: rows * columns * channels].view(rows, columns, channels)
        if border:
            padded[:border].zero_()
            padded[:, :border].zero_()
            padded[:, -border:].zero_()
        memory[(rows - border) * columns * channels :].zero_()
        return padded[border : rows - border, border : columns - border]

    def give(self, features: Tensor) -> None:
        """Take back memory that is not read any more; what surrounds it is still zero."""
        self._free.setdefault(features.shape[2], []).append(features)


class Target(NamedTuple):
    """Where a convolution writes its results."""

    pixels: Tensor
    """Features or an image, (scale * H, scale * W, C)."""
    places: Sequence[tuple[int, int, int]]
    """Of each group of outputs: row and column in a cell of `scale` x `scale`, first channel."""
    scale: int = 1


class Convolution:
    """A convolution of features.

    Parameters
    ----------
    unit : Unit
        How it is computed.
    conv : Conv2d
        With an odd square kernel, and padded so that it keeps the size.
    shared : int, optional
        Channels of the features that it reads, if they have more than it looks at.
    inputs : sequence of int, optional
        Which inputs of `conv` the first channels of the features are; by default all, in order.
    outputs : Tensor, optional
        (groups, outputs of a group), which outputs of `conv` the groups are; by default all, in
        order. A group may have fewer than the unit computes.
    relu : bool
        Whether negative results become 0.
    """

    def __init__(
        self,
        unit: Unit,
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
            outputs = torch.arange(len(weight)).view(-1, min(unit.group, len(weight)))
        (groups, kept), (_, count, side, _) = outputs.shape, weight.shape
        channels = unit.rounded_up(count)
        arranged = torch.zeros(groups, unit.group, channels, side, side)
        arranged[:, :kept, :count] = weight[outputs]
        self._bias = torch.zeros(groups, unit.group)
        if conv.bias is not None:
            self._bias[:, :kept] = conv.bias.float()[outputs]
        self._relu, self._kept = relu, kept
        self._kernel = unit.kernel(Arranged(arranged, conv.dilation[0], shared or channels))
        self.outputs = groups * unit.group

    def __call__(self, source: Tensor, target: Target, *, added: Tensor | None = None) -> None:
        """Write the results for features (H, W, C), and `added` features of the same channels."""
        call = self._call(source)
        aim(call, "out", target)
        if added is not None:
            call.added = added.data_ptr()
            call.add_row, call.add_pixel, _ = added.stride()
        run(self._kernel.name, call, torch.get_num_threads())

    def to_image(
        self, source: Tensor, target: Target, *, base: Tensor | None, copy: Target | None
    ) -> None:
        """Write results in float32, each group's to its pixel, and their `copy` as features.

        `base`, of the target's size and layout, is added to them.
        """
        call = self._call(source)
        call.kept = self._kept
        aim(call, "image", target)
        if copy is not None:
            aim(call, "out", copy)
        if base is not None:
            call.base = base.data_ptr()
        run(self._kernel.name, call, torch.get_num_threads())

    def _call(self, source: Tensor) -> interface.Convolution:
        """Return the kernel's arguments but for what it writes."""
        row, pixel, _ = source.stride()
        call = interface.Convolution(
            height=source.shape[0],
            width=source.shape[1],
            groups=len(self._bias),
            relu=self._relu,
            in_row=row,
            in_pixel=pixel,
            weights=self._kernel.weights.data_ptr(),
            bias=self._bias.data_ptr(),
        )
        setattr(call, "in", source.data_ptr())
        self._kernel.describe(call, source)
        return call


def run(name: str, call: interface.Convolution, *arguments: int) -> None:
    """Call a function of the library.

    Raises
    ------
    MemoryError
        It lacked memory.
    """
    failed = ctypes.c_int(0)
    call.failed = ctypes.addressof(failed)
    getattr(kernels.required(), name)(ctypes.byref(call), *arguments)
    if failed.value:
        raise MemoryError("There is not enough memory for a convolution.")


def with_array(call: interface.Convolution, field: str, values: Sequence[int]) -> None:
    """Point a field at an array of whole numbers, which lives as long as the arguments."""
    array = (ctypes.c_int * len(values))(*values)
    setattr(call, field, ctypes.addressof(array))
    call.arrays = (*getattr(call, "arrays", ()), array)


def aim(call: interface.Convolution, name: str, target: Target) -> None:
    """Let the kernel write to a target, under the names of its fields."""
    row, pixel, _ = target.pixels.stride()
    setattr(call, name, target.pixels.data_ptr())
    setattr(call, f"{name}_row", target.scale * row)
    setattr(call, f"{name}_pixel", target.scale * pixel)
    places = [y * row + x * pixel + channel for y, x, channel in target.places]
    with_array(call, "places" if name == "out" else "image_places", places)
