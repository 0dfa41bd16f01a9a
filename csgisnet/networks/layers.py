"""The layers of a `csgisnet.networks.smoothing.SmoothingNetwork`.

They are named as in the authors' released checkpoints, see there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

DILATIONS = (1, 2, 3)
"""Of the three convolutions of a block."""


class Block(nn.Module):
    """Residual hybrid dilated convolution (rHDC): three dilations in sequence, plus the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_3x3_1 = conv(width, width, DILATIONS[0])
        self.bn_conv_3x3_1 = nn.BatchNorm2d(width)
        self.conv_3x3_2 = conv(width, width, DILATIONS[1])
        self.bn_conv_3x3_2 = nn.BatchNorm2d(width)
        self.conv_3x3_3 = conv(width, width, DILATIONS[2])
        self.bn_conv_3x3_3 = nn.BatchNorm2d(width)

    def pairs(self) -> tuple[tuple[nn.Conv2d, nn.BatchNorm2d], ...]:
        """Return each convolution with its normalisation, in order."""
        return (
            (self.conv_3x3_1, self.bn_conv_3x3_1),
            (self.conv_3x3_2, self.bn_conv_3x3_2),
            (self.conv_3x3_3, self.bn_conv_3x3_3),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, width, H, W) for features of that shape."""
        y = norm_relu(self.bn_conv_3x3_1, self.conv_3x3_1(x))
        y = norm_relu(self.bn_conv_3x3_2, self.conv_3x3_2(y))
        y = norm_relu(self.bn_conv_3x3_3, self.conv_3x3_3(y))
        return x + y


class ImageConv(nn.Conv2d):
    """The convolution that outputs an image, without autocast: bfloat16 would round to 8 bits.

    What reaches the features in a gradient has no need of more: on processors it is computed in
    their type, as in all other layers.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(channels, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return an image (B, width, H, W) for features (B, channels, H, W) of any precision."""
        with torch.autocast(x.device.type, enabled=False):
            if _trains_in_bfloat16(x):
                function: Any = _ExactForward.apply
                image: Tensor = function(x, self.weight, self.bias, self.padding)
                return image
            return super().forward(x.to(self.weight.dtype))


def _trains_in_bfloat16(x: Tensor) -> bool:
    """Tell whether a gradient will flow to features in bfloat16 on a processor."""
    wanted = x.requires_grad and x.dtype == torch.bfloat16 and x.device.type == "cpu"
    return wanted and not torch.compiler.is_compiling()


class _ExactForward(torch.autograd.Function):
    """A convolution of features in bfloat16 whose gradient reaches them in their type.

    In float32 that takes five times as long, and is rounded at the end anyway. The gradient of the
    weights is not: rounded, it would depend on how a batch is divided among processes.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, padding: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        return functional.conv2d(x.to(weight.dtype), weight, bias, padding=padding)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        rounded = gradient.to(x.dtype, memory_format=torch.channels_last)
        call = ([1, 1], ctx.padding, [1, 1], False, [0, 0], 1)
        at_x, _, _ = torch.ops.aten.convolution_backward(
            rounded, x, weight.to(x.dtype), None, *call, [True, False, False]
        )
        _, at_weight, _ = torch.ops.aten.convolution_backward(
            gradient, x.to(weight.dtype), weight, None, *call, [False, True, False]
        )
        return at_x, at_weight, gradient.sum(dim=(0, 2, 3)), None


class Finish(nn.Module):
    """Corrects the result at full resolution, where the input has details that other layers lack.

    Parameters
    ----------
    width : int
        Channels of the features at reduced resolution.
    channels : int
        Channels at full resolution.
    factor : int
        Ratio of the two resolutions.
    """

    def __init__(self, width: int, channels: int, factor: int) -> None:
        super().__init__()
        self.details = nn.Sequential(*conv_bn_relu(6, channels))
        self.guide = Guide(width, channels, factor)
        self.layers = nn.Sequential(*conv_bn_relu(2 * channels, channels), ImageConv(channels, 3))
        shrink(self.layers[-1])

    def forward(self, image: Tensor, result: Tensor, features: Tensor) -> Tensor:
        """Return what to add to `result`, (B, 3, H, W)."""
        details = self.details(torch.cat([image, result.to(image.dtype)], dim=1))
        guide = self.guide(features).to(details.dtype)
        correction: Tensor = self.layers(torch.cat([details, guide], dim=1))
        return correction


class Guide(nn.Conv2d):
    """The features at full resolution: a 1x1 convolution whose channels become pixels."""

    def __init__(self, width: int, channels: int, factor: int) -> None:
        super().__init__(width, channels * factor**2, 1)
        self.factor = factor

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, channels, H, W) for features (B, width, H / factor, W / factor)."""
        return shuffle(super().forward(features), self.factor)


def conv(channels: int, width: int, dilation: int = 1) -> nn.Conv2d:
    """Return a 3x3 convolution that keeps the size."""
    return nn.Conv2d(channels, width, 3, padding=dilation, dilation=dilation)


def norm_relu(norm: nn.Module, x: Tensor) -> Tensor:
    """Normalise features and cut off what is below 0; some normalisations do both at once."""
    y: Tensor = norm(x)
    return y if getattr(norm, "relu", False) else functional.relu(y, inplace=True)


def conv_bn_relu(channels: int, width: int) -> tuple[nn.Module, ...]:
    """Return the three layers that begin every head."""
    return conv(channels, width), nn.BatchNorm2d(width), nn.ReLU(inplace=True)


def shrink(conv: nn.Module) -> None:
    """Make an output layer nearly zero; exactly zero would block the gradient of all before it."""
    for parameter in conv.parameters():
        nn.init.normal_(parameter, std=3e-4)


def shuffle(maps: Tensor, factor: int) -> Tensor:
    """Put cells of `factor` x `factor` channels back into pixels."""
    return maps if factor == 1 else functional.pixel_shuffle(maps, factor)
