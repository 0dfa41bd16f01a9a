"""Convolutions in int8, as oneDNN multiplies them, with ranges from a calibration.

Between the convolutions of a block, and of the edge head, features stay whole numbers; sums, and
what is concatenated, have the type of the layers around. Images leave in float32.

Why torch's own operators and not OpenVINO's or ONNX Runtime's int8 (the network bundled before the
present one, with layers in int8 that write images, too; one thread of an AMD Zen 5,
benchmarks/results/engines-zen5.json; grey levels of 255):

==================  ====  ==========  ===================  ===========================
way                 s/MP  mean error  more than two apart  packages
==================  ====  ==========  ===================  ===========================
ours, bfloat16      0.65  0.10        0                    none
ours, int8          0.47  0.23        0.09 %               none
ONNX Runtime, int8  0.51  0.76        4.7 %                onnxruntime, 50 MB
OpenVINO, int8      0.35  0.76        4.8 %                OpenVINO and NNCF, 180 MB
==================  ====  ==========  ===================  ===========================

They have one range for all channels of a tensor, also where values can be negative, and round what
reads the image as well.
With the present network they are 1.82 and 1.34 levels off, and ours 0.69; where there is AMX all
but OpenVINO's are slower than our bfloat16 (benchmarks/results/engines.json).
"""

from __future__ import annotations

import functools
from typing import Literal

import torch
from torch import Tensor, nn

from csgisnet.device import bfloat16_instructions
from csgisnet.networks.layers import Block
from csgisnet.networks.quantising import Calibration, Range, bears_int8, rounded_weights
from csgisnet.networks.smoothing import SmoothingNetwork

_ZERO = 128
"""The whole number that stands for 0 where an input has negative values."""


@functools.cache
def has_int8_convolution() -> bool:
    """Return whether this build of torch has oneDNN's convolution in int8, as it is called here.

    torch.compile calls the same operator, but torch does not promise to keep it.
    """
    one = torch.ones(1)
    try:
        with torch.inference_mode():
            layer = _Int8Conv(
                nn.Conv2d(1, 1, 1), Range(0 * one, one, 0 * one), relu=False, to=torch.float32
            )
            layer(one.view(1, 1, 1, 1))
    except (AttributeError, RuntimeError, TypeError):
        return False
    return True


def features_precision() -> Literal["float32", "bfloat16"]:
    """Return the precision of what does not bear int8: bfloat16 where the processor has it."""
    return "bfloat16" if bfloat16_instructions() else "float32"


def quantise(network: SmoothingNetwork, calibration: Calibration) -> None:
    """Replace the convolutions of a folded network that bear int8.

    Parameters
    ----------
    network : SmoothingNetwork
        With its normalisation folded; it is modified.
    calibration : Mapping
        A range for each of those convolutions.
    """
    features = torch.bfloat16 if features_precision() == "bfloat16" else torch.float32
    heads = {name: getattr(network, name) for name in ("interpreter1", "interpreter2", "refine")}
    for name, layers in heads.items():
        setattr(network, name, _quantised(name, layers, calibration, features))
    descriptor = network.descriptor
    name = "descriptor.res16"
    descriptor.res16 = _quantised(name, descriptor.res16, calibration, features)
    if network.finish is not None:
        layers = network.finish.layers
        network.finish.layers = _quantised("finish.layers", layers, calibration, features)


def _quantised(
    prefix: str, layers: nn.Sequential, calibration: Calibration, features: torch.dtype
) -> nn.Sequential:
    """Return the layers of a head; those that do not bear int8 stay as they are."""
    named = [
        (f"{prefix}.{name}", layer)
        for name, layer in layers.named_children()
        if not isinstance(layer, nn.Identity)
    ]
    quantised: list[nn.Module] = []
    for place, (name, layer) in enumerate(named):
        if isinstance(layer, Block):
            quantised.append(_Int8Block(name, layer, calibration, features))
        elif isinstance(layer, nn.Conv2d) and bears_int8(name, layer):
            after = named[place + 1 : place + 3]  # a ReLU, if any, and the layer that follows it
            relu = bool(after) and isinstance(after[0][1], nn.ReLU)
            to: Range | torch.dtype = features
            if len(after) == 2 and type(after[1][1]) is nn.Conv2d:
                to = calibration[after[1][0]]
            quantised.append(_Int8Conv(layer, calibration[name], relu=relu, to=to))
        elif not (isinstance(layer, nn.ReLU) and isinstance(quantised[-1], _Int8Conv)):
            quantised.append(layer)
    return nn.Sequential(*quantised)


class _Int8Conv(nn.Module):
    """A convolution in int8, in one call with the ReLU that follows, if any.

    Parameters
    ----------
    conv : Conv2d
        Its weights.
    measured : Range
        Of its input, which is rounded here unless it comes as whole numbers.
    relu : bool
        Whether negative results become 0.
    to : Range or torch.dtype
        Range of the next convolution's input, for results in whole numbers, or their type.
    """

    def __init__(
        self, conv: nn.Conv2d, measured: Range, *, relu: bool, to: Range | torch.dtype
    ) -> None:
        super().__init__()
        step = measured.step()
        self.zero = _ZERO if measured.signed else 0
        self.per_step = (1 / step).view(1, -1, 1, 1) if measured.signed else float(1 / step[0])
        whole, distance = rounded_weights(conv.weight, step)
        bias = measured.shift if conv.bias is None else conv.bias + measured.shift
        if isinstance(to, Range):  # a positive factor passes a ReLU
            distance, bias = distance / to.step(), bias / to.step()
        self.to_type = torch.uint8 if isinstance(to, Range) else to
        self.geometry = (list(conv.stride), list(conv.padding), list(conv.dilation), conv.groups)
        self.activation = "relu" if relu else "none"
        self.bias, self.distance = bias, distance
        self.zeros = torch.zeros(len(distance), dtype=torch.int32)
        self.weight = torch.ops.onednn.qconv_prepack(
            whole.to(torch.int8), distance, 1.0, self.zero, *self.geometry, None
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = torch.ops.onednn.qconv2d_pointwise(
            x if x.dtype == torch.uint8 else self._rounded(x),
            1.0,
            self.zero,
            self.weight,
            self.distance,
            self.zeros,
            self.bias,
            *self.geometry,
            1.0,
            0,
            self.to_type,
            self.activation,
            [],
            "",
        )
        return result

    def _rounded(self, x: Tensor) -> Tensor:
        """Return features as whole numbers, in six passes that are faster than torch's own one.

        Of the types of 8 bits, torch converts only to int8 quickly; a flipped sign bit makes it the
        uint8 that is 128 more.
        """
        factor = self.per_step
        whole = x.mul(factor if isinstance(factor, float) else factor.to(x.dtype))
        if not self.zero:
            whole.sub_(_ZERO)
        whole = whole.round_().clamp_(-_ZERO, _ZERO - 1).to(torch.int8)
        return (
            whole.view(torch.uint8)
            .bitwise_xor_(_ZERO)
            .contiguous(memory_format=torch.channels_last)
        )


class _Int8Block(nn.Module):
    """What a `Block` computes; its input and output are features."""

    def __init__(
        self, name: str, block: Block, calibration: Calibration, features: torch.dtype
    ) -> None:
        super().__init__()
        names = [f"{name}.conv_3x3_{k}" for k in (1, 2, 3)]
        convs = (block.conv_3x3_1, block.conv_3x3_2, block.conv_3x3_3)
        to: list[Range | torch.dtype] = [calibration[names[1]], calibration[names[2]], features]
        self.convs = nn.Sequential(
            *(
                _Int8Conv(conv, calibration[own], relu=True, to=target)
                for own, conv, target in zip(names, convs, to, strict=True)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.convs(x)
        return y.add_(x)
