"""The network as it predicts: weights are converted once, and convolutions take in their ReLUs.

`executable` exchanges the layers of a copy of a network; the network's own forward pass still says
how they are connected.

Why torch with fused convolutions, and no other runtime: on one thread of an Intel Xeon with AMX, in
turns in one process (compact, the bundled network: benchmarks/results/engines.json; full, with
random weights: benchmarks/results/predict.json):

================================  =============  =============  ================  ==========
way                               compact, s/MP  full, s/MP     first picture, s  mean error
================================  =============  =============  ================  ==========
torch                             2.63           36.3           0.54              0
ours, float32                     2.16           30.1           0.35              0
torch, autocast to bfloat16       2.14           29.8           0.37              0.20
OpenVINO, float32                 2.11           28.4           0.48              0
ONNX Runtime, float32             1.97           28.0           0.39              0
ours, int8                        0.77           -              0.28              0.69
torch.compile, frozen, bfloat16   0.63           -              11.97             0.17
OpenVINO, bfloat16                0.53           5.4            0.25              0.19
ours, bfloat16                    0.42           4.5            0.10              0.17
OpenVINO, int8                    0.40           -              0.31              1.34
================================  =============  =============  ================  ==========

The error is in grey levels of 255; it and the first picture are the compact network's. The others
gain up to 9 % in float32, for a dependency of 50 to 180 MB.

What bounds it: a core multiplies 241 Gflop/s in float32 and 3,700 in bfloat16, on the matrix unit,
of which oneDNN's convolutions of 48 channels reach a quarter, so that `csgisnet.prediction.matrix`
has its own. There int8, with those of oneDNN, is slower than bfloat16. On an AMD Zen 5 with
AVX-512 BF16, which multiplies 270 and 540, oneDNN reaches 85 % of that: 1.16, 0.65 and, in int8,
0.47 s a megapixel with the network bundled before, of two blocks less, where OpenVINO took 1.10,
0.57 and 0.35 (benchmarks/results/engines-zen5.json). Without AVX-512, and on Zen 4,
`csgisnet.prediction.winograd` has convolutions in float32: 1.30 s a megapixel on Zen 4, where
OpenVINO takes 2.92, and 1.45 in bfloat16 (engines-zen4.json).

These were measured on the Zen 5 and left out, as they gain little or nothing: weights packed
beforehand (packing takes 0.3 ms a picture of 105), channels padded (convolutions of 52 and 64
channels reach the same rate), tiles that fit the cache (images of 0.15 and 1.9 megapixels take the
same time per pixel, and the halos of small tiles cost up to twice as much), and a network that
inductor compiled ahead of time (6 % faster, for a package of each network and processor).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from csgisnet.device import PredictionPrecision, is_out_of_memory, place, use_precision
from csgisnet.networks.folding import fold_batch_norm
from csgisnet.networks.layers import Block, Guide, ImageConv
from csgisnet.networks.quantising import Calibration
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from csgisnet.prediction.int8 import features_precision, quantise

Image: TypeAlias = NDArray[np.float32]


def executable(
    network: SmoothingNetwork,
    precision: Literal["float32", "tf32", "bfloat16", "int8"],
    device: torch.device,
    calibration: Calibration | None = None,
) -> nn.Module:
    """Return a frozen copy of a network on `device`, for prediction in `precision`.

    What it returns has a result and edges, like `Smoothing`.

    On processors for which `csgisnet.prediction.compiled` has convolutions, those are used.
    Otherwise, in float32 and tf32 it is the network with its normalisation folded, no more: fusing
    gains at most 2 % there. In bfloat16 the hidden layers have
    weights and results of that type; the layers that output an image stay in float32, as bfloat16
    would round an image to 8 bits. In int8 some of these layers remain, see
    `csgisnet.networks.quantising.bears_int8`.
    """
    copy = fold_batch_norm(network)
    if precision == "int8":
        if calibration is None:
            raise ValueError("Prediction in int8 needs a calibration.")
        quantise(copy, calibration)
        precision = features_precision()
    elif device.type == "cpu":
        # Imported here, as the library of the operators is loaded with it.
        from csgisnet.prediction import compiled

        if (unit := compiled.unit_for(copy.config, precision)) is not None:
            return compiled.CompiledNetwork(copy, unit)
    if precision == "bfloat16":
        descriptor = copy.descriptor
        descriptor.add_module("conv_in", _FusedConv(descriptor.conv_in, relu=False))
        descriptor.res16 = _fuse(descriptor.res16)
        copy.interpreter1 = _fuse(copy.interpreter1)
        copy.interpreter2 = _fuse(copy.interpreter2)
        copy.refine = _fuse(copy.refine)
        if copy.finish is not None:
            copy.finish.details = _fuse(copy.finish.details)
            copy.finish.add_module("guide", _FusedGuide(copy.finish.guide))
            copy.finish.layers = _fuse(copy.finish.layers)
    return place(copy, device)


def bytes_per_pixel(config: NetworkConfig, precision: str) -> float:
    """Return the bytes of the activations at their peak, or somewhat more.

    Measured in bfloat16 with torch's convolutions: 371 for the bundled network, 634 for one with
    cells of 4 x 4 pixels and a finish of 32 channels, 541 for the full one; with those of
    `csgisnet.prediction.matrix` 269, 294 and 610.
    """
    maps = 6 * config.width / config.shuffle**2 + 7 * config.finish
    if precision == "int8":
        precision = features_precision()
    return (2 if precision == "bfloat16" else 4) * maps + 160


def apply_network(
    network: nn.Module,
    precision: PredictionPrecision,
    device: torch.device,
    images: Sequence[Image],
    views: int = 1,
) -> list[tuple[Image, Image]]:
    """Return the result (H, W, 3), not clamped, and edges (H, W) of images (H, W, 3) of one shape.

    Parameters
    ----------
    network, precision, device
        What `executable` returned, or another module that returns results and edges as a
        `Smoothing` has them; and what for.
    images : sequence of (H, W, 3) float32 in [0, 1]
        One batch.
    views : {1, 2}
        2 averages each result with what the image's transposed negative gives.

    Raises
    ------
    MemoryError
        The device has too little memory for the batch.
    """
    try:
        # (B, H, W, 3) seen as (B, 3, H, W) lies in memory as channels_last wants it.
        x = torch.from_numpy(np.stack(images)).to(device).permute(0, 3, 1, 2)
        outside_int8 = features_precision() if precision == "int8" else precision
        with torch.inference_mode(), use_precision(outside_int8, device):
            smoothed, edge = _maps_of(network, x)
            if views == 2:
                transposed = (1 - x.mT).contiguous(memory_format=torch.channels_last)
                negative, other_edge = (maps.mT for maps in _maps_of(network, transposed))
                smoothed, edge = (smoothed + 1 - negative) / 2, (edge + other_edge) / 2
        results = smoothed.permute(0, 2, 3, 1).cpu().numpy()
        edges = edge.cpu().numpy()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        height, width = images[0].shape[:2]
        reason = f"{device}: not enough memory for {width} x {height} pixels ({error})."
    else:
        return list(zip(results, edges, strict=True))
    if device.type == "cuda":
        torch.cuda.empty_cache()
    raise MemoryError(reason)  # not in the handler: its traceback would keep the memory in use


def _maps_of(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the results (B, 3, H, W) and edges (B, H, W) of images, in float32."""
    smoothing = network(images)
    result: Tensor = smoothing.result.float()
    edge: Tensor = smoothing.edge[:, 0].float().sigmoid()
    return result, edge


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
        elif not isinstance(layer, nn.ReLU):
            fused.append(layer)
    return nn.Sequential(*fused)


class _FusedConv(nn.Module):
    """A convolution in bfloat16, in one call with the ReLU that follows, if any."""

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


class _FusedGuide(nn.Module):
    """What a `Guide` computes, in an order of channels that makes pixels of them in one copy."""

    def __init__(self, guide: Guide) -> None:
        super().__init__()
        self.factor = guide.factor
        order = torch.arange(guide.out_channels).view(-1, guide.factor**2).T.flatten()
        conv = nn.Conv2d(guide.in_channels, guide.out_channels, 1)
        conv.load_state_dict({name: value[order] for name, value in guide.state_dict().items()})
        self.conv = _FusedConv(conv.requires_grad_(False), relu=False)

    def forward(self, features: Tensor) -> Tensor:
        y: Tensor = self.conv(features).permute(0, 2, 3, 1)
        batch, height, width, _ = y.shape
        factor = self.factor
        cells = y.view(batch, height, width, factor, factor, -1).transpose(2, 3)
        pixels = cells.reshape(batch, height * factor, width * factor, -1)
        return pixels.permute(0, 3, 1, 2)


def _has_fused_convolution() -> bool:
    """Return whether this build of torch, on this processor, has oneDNN's convolution with ReLU.

    torch.compile calls the same operator, but torch does not promise to keep it.
    """
    mkldnn = torch.ops.mkldnn
    return hasattr(mkldnn, "_convolution_pointwise") and bool(mkldnn._is_mkldnn_bf16_supported())
