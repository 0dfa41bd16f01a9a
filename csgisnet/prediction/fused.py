"""The network as it predicts: weights converted once, each convolution one call with its ReLU.

`executable` exchanges the layers of a copy of a network; the network's own forward pass still says
how they are connected. The results in float32 are the same bits.

Why plain torch with oneDNN's fused convolution: on one thread of an AMD Zen 5, seconds a megapixel
of photographs with the bundled network (paired medians):

======================================  =========  ======================  ==========
way                                     s / MP     first picture, s        mean error
======================================  =========  ======================  ==========
torch, float32                          1.36       0.3                     0
ONNX Runtime, float32                   1.26       0.3                     0
torch, autocast to bfloat16             0.73       0.3                     0.12
OpenVINO, bfloat16                      0.63       0.2, install of 190 MB  0.12
torch.compile, frozen, bfloat16         0.67       9.7                     0.12
this, bfloat16                          0.66       0.3                     0.12
======================================  =========  ======================  ==========

Convolutions reach 90 % of what that processor can multiply in either format (275 and 545 Gflop/s),
so the other runtimes gain nothing for a large dependency or a compilation at every start.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from csgisnet.device import place
from csgisnet.networks.folding import fold_batch_norm
from csgisnet.networks.smoothing import Block, ImageConv, SmoothingNetwork


def executable(
    network: SmoothingNetwork,
    precision: Literal["float32", "tf32", "bfloat16"],
    device: torch.device,
) -> SmoothingNetwork:
    """Return a frozen copy of a network on `device`, for prediction in `precision`.

    Its hidden layers have weights and results of that precision; the layers that output an image
    stay in float32, as bfloat16 would round an image to 8 bits.
    """
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    copy = fold_batch_norm(network)
    descriptor = copy.descriptor
    descriptor.add_module("conv_in", _FusedConv(descriptor.conv_in, dtype, relu=False))
    descriptor.res16 = _fuse(descriptor.res16, dtype)
    copy.interpreter1 = _fuse(copy.interpreter1, dtype)
    copy.interpreter2 = _fuse(copy.interpreter2, dtype)
    copy.refine = _fuse(copy.refine, dtype)
    return place(copy, device)


def _fuse(layers: Iterable[nn.Module], dtype: torch.dtype) -> nn.Sequential:
    """Return layers that do the same in fewer calls; normalisation has been folded already."""
    kept = [layer for layer in layers if not isinstance(layer, nn.Identity)]
    fused: list[nn.Module] = []
    for layer, following in zip(kept, [*kept[1:], None], strict=True):
        if isinstance(layer, Block):
            fused.append(_FusedBlock(layer, dtype))
        elif isinstance(layer, ImageConv):
            fused.append(layer)
        elif isinstance(layer, nn.Conv2d):
            fused.append(_FusedConv(layer, dtype, relu=isinstance(following, nn.ReLU)))
    return nn.Sequential(*fused)


class _FusedConv(nn.Module):
    """A convolution, and the ReLU after it if there is one, in a precision of its own."""

    def __init__(self, conv: nn.Conv2d, dtype: torch.dtype, *, relu: bool) -> None:
        super().__init__()
        self.conv = conv.to(dtype)
        self.relu = relu
        self._in_one_call = _has_fused_convolution(dtype)

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv
        x = x.to(conv.weight.dtype, memory_format=torch.channels_last)
        if x.device.type == "cpu" and self._in_one_call:
            fused: Tensor = torch.ops.mkldnn._convolution_pointwise(
                x,
                conv.weight,
                conv.bias,
                conv.padding,
                conv.stride,
                conv.dilation,
                conv.groups,
                "relu" if self.relu else "none",
                [],
                "",
            )
            return fused
        y: Tensor = conv(x)
        return y.relu_() if self.relu else y


class _FusedBlock(nn.Module):
    """What a `Block` computes, the sum in place."""

    def __init__(self, block: Block, dtype: torch.dtype) -> None:
        super().__init__()
        convs = (block.conv_3x3_1, block.conv_3x3_2, block.conv_3x3_3)
        self.convs = nn.Sequential(*(_FusedConv(conv, dtype, relu=True) for conv in convs))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.convs(x)
        return y.add_(x)


def _has_fused_convolution(dtype: torch.dtype) -> bool:
    """Return whether this build of torch, on this processor, has oneDNN's convolution with ReLU.

    torch.compile calls the same operator, but torch does not promise to keep it.
    """
    if not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return False
    return dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
