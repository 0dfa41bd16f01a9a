"""Convolutions of 3 x 3 by Winograd's method, for training in float32 on x86 processors with AVX2.

With torch's convolutions they take four fifths of a step, half of that for the gradients of the
weights. Here all three directions need a quarter of the products
(`vocsmooth/operators/csrc/winograd.c` and `winograd_gradient.c`). Against float64, and relative to
the largest value, results and gradients of features are off by up to 1e-5 (torch's by 1e-6), and
gradients of weights by up to 4e-5 (1e-5); bfloat16 rounds to 4e-3.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from csgisnet.networks.smoothing import SmoothingNetwork
from csgisnet.prediction.compiled_layers import Arranged, aim, run
from csgisnet.prediction.winograd import TRANSFORM, WINOGRAD, pays
from csgisnet.training.config import Config
from csgisnet.training.normalise import normalise_fast
from vocsmooth.operators import interface

_ROWS = 16
"""Rows of an image that are worth a thread."""

_FEWEST_PIXELS = 1300
"""Pixels of a batch's features from which on the method pays, as it transforms the weights first:
about that many with 48 channels and with 96 (Zen 4, one thread)."""

_MOST_THREADS = 64
"""Those that the library starts at most."""


class WinogradConv(nn.Conv2d):
    """A convolution whose results and gradients are computed by Winograd's method in training.

    Where that does not fit the features (other precisions, channels or layouts, or few pixels),
    torch's is taken.
    """

    @classmethod
    def of(cls, conv: nn.Conv2d) -> WinogradConv:
        """Return one that shares its weights with `conv`."""
        made = cls.__new__(cls)
        made.__dict__.update(conv.__dict__)
        return made

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, width, H, W) for features (B, channels, H, W)."""
        fits = _fits(x) and self.weight.dtype == x.dtype
        if not (self.training and fits and torch.is_grad_enabled()):
            return super().forward(x)
        function: Any = _Function.apply
        result: Tensor = function(x, self.weight, self.bias, self.dilation[0])
        return result


def use_kernels(network: nn.Module, config: Config, device: torch.device) -> None:
    """Let a network that is trained use the kernels that are made for the run's precision."""
    if device.type != "cpu" or config.run.compile:
        return
    if config.run.precision_on(device) == "bfloat16":
        normalise_fast(network)
    else:
        convolve_fast(network)


def convolve_fast(network: nn.Module) -> None:
    """Let a network of ours convolve with the kernels in training, where they are the faster way.

    Its parameters, its state and the names in it stay as they are.
    """
    if not pays() or not isinstance(network, SmoothingNetwork):
        return
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Conv2d and _is_covered(child):
                setattr(module, name, WinogradConv.of(child))


def _is_covered(conv: nn.Conv2d) -> bool:
    """Tell whether the kernels compute such a convolution."""
    keeps_size = conv.stride == (1, 1) and conv.padding == conv.dilation
    whole = conv.in_channels % WINOGRAD.group == 0 and conv.out_channels % WINOGRAD.group == 0
    return conv.kernel_size == (3, 3) and conv.groups == 1 and keeps_size and whole


def _fits(x: Tensor) -> bool:
    """Tell whether the kernels take these features."""
    return (
        x.dtype == torch.float32
        and x.device.type == "cpu"
        and x.is_contiguous(memory_format=torch.channels_last)
        and x[:, 0].numel() >= _FEWEST_PIXELS
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


class _Function(torch.autograd.Function):
    """The convolution and its derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.dilation, ctx.has_bias = dilation, bias is not None
        return _convolve(x, weight, bias, dilation)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        at_x = at_weight = at_bias = None
        if ctx.needs_input_grad[0]:
            turned = weight.flip(2, 3).transpose(0, 1)
            at_x = _convolve(gradient, turned, None, ctx.dilation)
        if ctx.needs_input_grad[1]:
            at_weight = _weight_gradient(x, gradient, ctx.dilation)
            at_weight = at_weight.contiguous(memory_format=torch.channels_last)
        if ctx.has_bias and ctx.needs_input_grad[2]:
            at_bias = gradient.sum(dim=(0, 2, 3))
        return at_x, at_weight, at_bias, None


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
    """Return the results (B, width, H, W) for weights (width, channels, 3, 3)."""
    width, channels = weight.shape[:2]
    arranged = weight.view(-1, WINOGRAD.group, channels, 3, 3)
    kernel = WINOGRAD.kernel(Arranged(arranged, dilation, channels))
    bias = torch.zeros(width) if bias is None else bias.contiguous()
    out = torch.empty(len(x), width, *x.shape[2:], memory_format=torch.channels_last)
    for source, target in zip(_pixels(x), _pixels(out), strict=True):
        call = _call(source, width, dilation)
        call.weights, call.bias = kernel.weights.data_ptr(), bias.data_ptr()
        aim(call, "out", WINOGRAD.all_of(target))
        run(kernel.name, call, torch.get_num_threads())
    return out


def _weight_gradient(x: Tensor, gradient: Tensor, dilation: int) -> Tensor:
    """Return the gradient (width, channels, 3, 3) for that of the results (B, width, H, W)."""
    width, channels = gradient.shape[1], x.shape[1]
    bands = max(1, min(torch.get_num_threads(), x.shape[2] // _ROWS, _MOST_THREADS))
    sums = torch.zeros(bands, 6, 6, channels, width)
    for source, given in zip(_pixels(x), _pixels(gradient), strict=True):
        call = _call(source, width, dilation)
        call.blocks, call.out = bands, sums.data_ptr()
        call.added = given.data_ptr()
        call.add_row, call.add_pixel, _ = given.stride()
        run("winograd_gradient", call)
    total = sums.double().sum(dim=0).view(len(TRANSFORM), -1)
    weights = (TRANSFORM.T @ total).view(3, 3, channels, width)
    return weights.permute(3, 2, 0, 1).float()


def _pixels(features: Tensor) -> Tensor:
    """Return features (B, C, H, W) as (B, H, W, C), where they lie."""
    return features.permute(0, 2, 3, 1)


def _call(source: Tensor, width: int, dilation: int) -> interface.Convolution:
    """Return the arguments that all directions have, for features (H, W, C)."""
    height, columns, channels = source.shape
    row, pixel, _ = source.stride()
    call = interface.Convolution(
        height=height,
        width=columns,
        channels=channels,
        dilation=dilation,
        groups=width // WINOGRAD.group,
        in_row=row,
        in_pixel=pixel,
    )
    setattr(call, "in", source.data_ptr())
    return call
