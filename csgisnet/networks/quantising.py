"""Convolutions in int8: which of them tolerate it, the ranges they need, how weights are rounded.

A convolution in int8 multiplies whole numbers: its input is rounded to 256 steps, its weights to
255. `calibrate` measures on pictures how large the steps have to be, once for a network. Values
beyond the largest that it saw are clipped, so that the pictures should be like those to smooth.

References
----------
.. [1] B. Jacob et al., "Quantization and Training of Neural Networks for Efficient
       Integer-Arithmetic-Only Inference", CVPR 2018, section 2.
.. [2] M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
       ICCV 2019, section 4.2.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from csgisnet.networks.folding import fold_batch_norm
from csgisnet.networks.layers import ImageConv
from csgisnet.networks.smoothing import SmoothingNetwork

LEVELS = (0.0, 0.5, 1.0)
"""Levels at which a network that takes one is calibrated."""

_SIDE = 256
"""Of the windows of the pictures to calibrate on."""

_SMALLEST = 1e-6
"""Of a channel's range, so that a channel that is always zero does no harm."""


class Range(NamedTuple):
    """What was measured at a convolution."""

    low: Tensor
    """Smallest value in each channel of its input, (C,); all are 0 or more after a ReLU."""
    high: Tensor
    """Largest value, (C,)."""
    shift: Tensor
    """What to add to its bias, (O,), so that its results have the right mean."""

    @property
    def signed(self) -> bool:
        """Whether the input has negative values."""
        return bool((self.low < 0).any())

    def step(self) -> Tensor:
        """Return the distance of two values of the rounded input, for each channel, (C,).

        After a ReLU it is the same for all channels: one that is small in all pictures of the
        calibration may be large in others.
        """
        if self.signed:
            return torch.maximum(self.high, -self.low).clamp_min(_SMALLEST) / 127
        return self.high.max().clamp_min(_SMALLEST).expand_as(self.high) / 255


Calibration: TypeAlias = Mapping[str, Range]
"""A `Range` for each convolution in int8, by its name in the network."""


def bears_int8(name: str, conv: nn.Conv2d) -> bool:
    """Return whether a convolution of a `SmoothingNetwork` is one that runs in int8.

    All are but those that read or write an image: 256 steps of each colour are too few there, and
    the last layer of a head takes small differences of large features. They would make half of
    the bundled network's error in int8.
    """
    image_readers = ("descriptor.conv_in", "refine.0", "finish.details", "finish.guide")
    return not (name.startswith((*image_readers, "finish.layers.0")) or isinstance(conv, ImageConv))


def convolutions(network: nn.Module) -> dict[str, nn.Conv2d]:
    """Return the convolutions that run in int8, by name, in the order of execution."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and bears_int8(name, module)
    }


def fits(network: nn.Module, calibration: Calibration) -> bool:
    """Return whether a calibration has the convolutions of a network, each of the right size."""
    expected = {
        name: (conv.in_channels, conv.in_channels, conv.out_channels)
        for name, conv in convolutions(network).items()
    }
    sizes = {
        name: tuple(values.numel() if values.ndim == 1 else -1 for values in measured)
        for name, measured in calibration.items()
    }
    return sizes == expected


def rounded_weights(weight: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Return weights (O, C, H, W) as whole numbers from -127 to 127, and their distances.

    Parameters
    ----------
    weight : Tensor
        (O, C, H, W) float32.
    step : Tensor
        (C,), what one step of the input's channels is worth.

    Returns
    -------
    whole : Tensor
        (O, C, H, W) float32.
    distance : Tensor
        (O,): ``whole * distance / step`` is about `weight`, with each over its own axis.
    """
    scaled = weight * step[None, :, None, None]
    distance = scaled.abs().amax((1, 2, 3)).clamp_min(1e-12) / 127
    return (scaled / distance[:, None, None, None]).round(), distance


def calibrate(network: SmoothingNetwork, pictures: Iterable[Tensor]) -> Calibration:
    """Measure the ranges of a network's convolutions on pictures.

    The mean of what a convolution returns is set right for each output channel: rounded weights are
    a little too large or too small, and that error would be the same everywhere in a picture [2]_.

    Parameters
    ----------
    network : SmoothingNetwork
        On the CPU; it is not modified.
    pictures : iterable of Tensor
        (1, 3, H, W) float32 in [0, 1], of the kind that is to be smoothed. Of each, at most four
        windows of 256 x 256 pixels are looked at, and kept. Ten photographs are enough.

    Returns
    -------
    Mapping
        A `Range` for each convolution that bears int8.

    Raises
    ------
    ValueError
        There is no picture.

    Examples
    --------
    >>> from csgisnet.networks.smoothing import NetworkConfig
    >>> network = SmoothingNetwork(NetworkConfig(width=4, blocks=1, coarse_blocks=0))
    >>> calibrate(network, [torch.rand(1, 3, 32, 32)])["interpreter1.0"].high.shape
    torch.Size([4])
    """
    windows = [window for picture in pictures for window in _windows(picture)]
    if not windows:
        raise ValueError("There must be at least one picture to calibrate on.")
    folded = fold_batch_norm(network)
    levels = LEVELS if network.config.level else (None,)

    def run() -> None:
        for picture, level in itertools.product(windows, levels):
            folded(picture, None if level is None else torch.full((len(picture),), level))

    ranges = _ranges(folded, run)
    shifts = _shifts(folded, ranges, run)
    return {name: found._replace(shift=shifts[name]) for name, found in ranges.items()}


def _windows(picture: Tensor) -> list[Tensor]:
    """Return the middles of a picture's quarters, or all of a small picture, as copies.

    In a picture of less than 512 pixels they overlap or are cut off at its border.
    """
    *_, height, width = picture.shape
    if max(height, width) <= _SIDE:
        return [picture]
    starts = [
        sorted({max(0, (quarter * side) // 4 - _SIDE // 2) for quarter in (1, 3)})
        for side in (height, width)
    ]
    return [
        picture[..., top : top + _SIDE, left : left + _SIDE].clone()
        for top, left in itertools.product(*starts)
    ]


def apply_rounded(conv: nn.Conv2d, values: Tensor, measured: Range) -> Tensor:
    """Return what a convolution in int8 returns before its shift, computed in float32."""
    step = measured.step()
    shape = (1, -1, 1, 1)
    low = -128 if measured.signed else 0
    whole = (values / step.view(shape)).round().clamp(low, low + 255)
    weight, distance = rounded_weights(conv.weight, step)
    result = functional.conv2d(whole, weight, None, conv.stride, conv.padding, conv.dilation)
    bias = torch.zeros_like(distance) if conv.bias is None else conv.bias
    return result * distance.view(shape) + bias.view(shape)


def _ranges(network: nn.Module, run: Callable[[], None]) -> dict[str, Range]:
    """Return the ranges of the inputs of a network's convolutions in `run`, without shifts."""
    found: dict[str, Range] = {}

    def watch(name: str, conv: nn.Conv2d, values: Tensor, _: Tensor) -> None:
        low, high = values.amin((0, 2, 3)), values.amax((0, 2, 3))
        if before := found.get(name):
            low, high = torch.minimum(low, before.low), torch.maximum(high, before.high)
        found[name] = Range(low, high, torch.zeros(conv.out_channels))

    _watched(network, watch, run)
    return found


def _shifts(
    network: nn.Module, ranges: Mapping[str, Range], run: Callable[[], None]
) -> dict[str, Tensor]:
    """Return by how much the convolutions' mean results fall short in int8, channel by channel."""
    short: dict[str, list[Tensor]] = {}

    def watch(name: str, conv: nn.Conv2d, values: Tensor, result: Tensor) -> None:
        rounded = apply_rounded(conv, values, ranges[name])
        short.setdefault(name, []).append((result - rounded).mean((0, 2, 3)))

    _watched(network, watch, run)
    return {name: torch.stack(values).mean(0) for name, values in short.items()}


def _watched(
    network: nn.Module,
    watch: Callable[[str, nn.Conv2d, Tensor, Tensor], None],
    run: Callable[[], None],
) -> None:
    """Call `run`, and `watch` with the input and output of each convolution that it executes."""

    def hook_of(name: str) -> Callable[[nn.Conv2d, tuple[Tensor, ...], Tensor], None]:
        return lambda conv, inputs, result: watch(name, conv, inputs[0], result)

    convs = convolutions(network).items()
    handles = [conv.register_forward_hook(hook_of(name)) for name, conv in convs]
    try:
        with torch.inference_mode():
            run()
    finally:
        for handle in handles:
            handle.remove()
