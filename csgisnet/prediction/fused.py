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
from csgisnet.networks.smoothing import Block, ImageConv, NetworkConfig, SmoothingNetwork


def executable(
    network: SmoothingNetwork,
    precision: Literal["float32", "tf32", "bfloat16"],
    device: torch.device,
) -> SmoothingNetwork:
    """Return a frozen copy of a network on `device`, for prediction in `precision`.

    In float32 and tf32 it is the network with its normalisation folded, no more: fusing gains at
    most 2 % there, and this way the results stay the same bits. In bfloat16 the hidden layers have
    weights and results of that type; the layers that output an image stay in float32, as bfloat16
    would round an image to 8 bits.
    """
    copy = fold_batch_norm(network)
    if precision == "bfloat16":
        descriptor = copy.descriptor
        descriptor.add_module("conv_in", _FusedConv(descriptor.conv_in, relu=False))
        descriptor.res16 = _fuse(descriptor.res16)
        copy.interpreter1 = _fuse(copy.interpreter1)
        copy.interpreter2 = _fuse(copy.interpreter2)
        copy.refine = _fuse(copy.refine)
    return place(copy, device)


def bytes_per_pixel(config: NetworkConfig, precision: str) -> float:
    """Return the bytes of the activations at their peak, or somewhat more.

    Measured: 280 for the bundled network (165 in bfloat16), 1,320 for the full one (680).
    """
    maps = 6 * config.width / config.shuffle**2
    return (2 if precision == "bfloat16" else 4) * maps + 160


def _fuse(layers: Iterable[nn.Module]) -> nn.Sequential:
    """Return layers that do the same in fewer calls; normalisation has been folded already."""
    kept = [layer for layer in layers if not isinstance(layer, nn.Identity)]
    fused: list[nn.Module] = []
    for layer, following in zip(kept, [*kept[1:], None], strict=True):
        if isinstance(layer, Block):
            fused.append(_FusedBlock(layer))
        elif isinstance(layer, ImageConv):
            fused.append(layer)
        elif isinstance(layer, nn.Conv2d):
            fused.append(_FusedConv(layer, relu=isinstance(following, nn.ReLU)))
    return nn.Sequential(*fused)


class _FusedConv(nn.Module):
    """A convolution in bfloat16, in one call with the ReLU after it if there is one."""

    def __init__(self, conv: nn.Module, *, relu: bool) -> None:
        super().__init__()
        self.conv = conv.to(torch.bfloat16)
        self.relu = relu
        self._in_one_call = _has_fused_convolution()

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv
        x = x.to(torch.bfloat16, memory_format=torch.channels_last)
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

    def __init__(self, block: Block) -> None:
        super().__init__()
        convs = (block.conv_3x3_1, block.conv_3x3_2, block.conv_3x3_3)
        self.convs = nn.Sequential(*(_FusedConv(conv, relu=True) for conv in convs))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.convs(x)
        return y.add_(x)


def _has_fused_convolution() -> bool:
    """Return whether this build of torch, on this processor, has oneDNN's convolution with ReLU.

    torch.compile calls the same operator, but torch does not promise to keep it.
    """
    mkldnn = torch.ops.mkldnn
    return hasattr(mkldnn, "_convolution_pointwise") and bool(mkldnn._is_mkldnn_bf16_supported())
