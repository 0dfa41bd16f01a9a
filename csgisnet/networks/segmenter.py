"""The semantic teacher: DeepLabV3+ on MobileNetV2, under the names of the public VOC checkpoints.

References
----------
.. [1] L.-C. Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image
       Segmentation", ECCV 2018.
.. [2] M. Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018,
       table 2.
"""

from __future__ import annotations

import dataclasses
from itertools import chain
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

# Expansion, channels, repeats and stride of each stage (table 2 of [2]).
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)

_LOW_LAYERS = 4

# The last layer at stride 2, 4, 8 and 16, and the last of all; the second feeds the decoder.
_LEVELS = (1, 3, 6, 13, 17)

_DETAIL_WIDTH = 48

_ASPP_RATES = {8: (12, 24, 36), 16: (6, 12, 18)}

_IMAGENET_MEAN = (0.485, 0.456, 0.406)

_IMAGENET_STD = (0.229, 0.224, 0.225)


OutputStride: TypeAlias = Literal[8, 16]

BOUNDARIES = 2
"""Number of classes of a segmenter that tells boundaries from the inside of regions."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmenterConfig:
    """Size of a `Segmenter`; the defaults are those of the public VOC checkpoints."""

    width: float = 1.0
    """Multiplier of the backbone's channels."""
    head_width: int = 256
    """Channels of the pyramid and of the decoder."""
    output_stride: OutputStride = 16
    """Pixels per cell of the deepest feature map; no weight depends on it."""
    num_classes: int = 21
    """Classes, including the background; 2 tells boundaries from the inside of regions."""

    def __post_init__(self) -> None:
        if not 0 < self.width <= 4:
            raise ValueError(f"width must be above 0 and at most 4, got {self.width}.")
        if not 1 <= self.head_width <= 2048:
            raise ValueError(f"head_width must be 1 to 2048, got {self.head_width}.")
        if self.output_stride not in _ASPP_RATES:
            raise ValueError(f"output_stride must be 8 or 16, got {self.output_stride}.")
        if not 2 <= self.num_classes <= 255:
            raise ValueError(f"num_classes must be 2 to 255, got {self.num_classes}.")


class Segmenter(nn.Module):
    """Predicts class logits of RGB images in [0, 1]; training needs batches of at least 2.

    Parameters
    ----------
    config : SegmenterConfig
        Size.
    """

    def __init__(self, config: SegmenterConfig | None = None) -> None:
        super().__init__()
        self.config = config or SegmenterConfig()
        self.backbone = _Backbone(self.config)
        self.classifier = _Head(self.config)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, K, H, W) of images (B, 3, H, W)."""
        return self.classify(self.levels(image), image.shape[-2:])

    def classify(self, levels: tuple[Tensor, ...], size: tuple[int, ...]) -> Tensor:
        """Return logits (B, K, *size) from the `levels` of an image of that size."""
        logits = self.classifier(levels[1], levels[-1])
        return functional.interpolate(logits, size, mode="bilinear")

    def levels(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the backbone's feature maps at strides 2, 4, 8 and 16, and its last one."""
        maps: tuple[Tensor, ...] = self.backbone(normalise(image))
        return maps


def normalise(image: Tensor) -> Tensor:
    """Shift and scale RGB images (B, 3, H, W) in [0, 1] as networks trained on ImageNet expect."""
    channels = zip(image.unbind(dim=1), _IMAGENET_MEAN, _IMAGENET_STD, strict=True)
    return torch.stack([(channel - mean) / std for channel, mean, std in channels], dim=1)


def denormalise(image: Tensor) -> Tensor:
    """Undo `normalise`, so that a network that normalises its input sees `image` itself."""
    channels = zip(image.unbind(dim=1), _IMAGENET_MEAN, _IMAGENET_STD, strict=True)
    return torch.stack([channel * std + mean for channel, mean, std in channels], dim=1)


class _Backbone(nn.Module):
    """MobileNetV2 without its classifier; past the output stride, dilations replace strides."""

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__()
        channels = _scaled(32, config.width)
        layers: list[nn.Module] = [_conv_bn_relu6(3, channels, kernel=3, stride=2)]
        stride, dilation = 2, 1
        for expansion, base, repeats, reduction in _STAGES:
            width, first_dilation = _scaled(base, config.width), dilation
            step = 1 if stride == config.output_stride else reduction
            dilation *= reduction // step
            stride *= step
            layers.append(_InvertedResidual(channels, width, step, first_dilation, expansion))
            layers += [
                _InvertedResidual(width, width, 1, dilation, expansion) for _ in range(1, repeats)
            ]
            channels = width
        numbered = nn.Sequential(*layers)  # slices keep the numbers that the public names have
        self.low_level_features = numbered[:_LOW_LAYERS]
        self.high_level_features = numbered[_LOW_LAYERS:]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        levels = []
        layers = chain(self.low_level_features.children(), self.high_level_features.children())
        for number, layer in enumerate(layers):
            x = layer(x)
            if number in _LEVELS:
                levels.append(x)
        return tuple(levels)


class _InvertedResidual(nn.Module):
    """Expand, filter each channel, project; plus the input where the shape allows."""

    def __init__(
        self, channels: int, width: int, stride: int, dilation: int, expansion: int
    ) -> None:
        super().__init__()
        hidden = channels * expansion
        expand = [_conv_bn_relu6(channels, hidden)] if expansion > 1 else []
        filtering = _conv_bn_relu6(
            hidden, hidden, kernel=3, stride=stride, dilation=dilation, groups=hidden
        )
        project = nn.Conv2d(hidden, width, 1, bias=False)
        self.conv = nn.Sequential(*expand, filtering, project, nn.BatchNorm2d(width))
        self.padding = (dilation,) * 4
        self.residual = stride == 1 and channels == width

    def forward(self, x: Tensor) -> Tensor:
        # The public weights were trained with the zero padding before the expansion.
        y: Tensor = self.conv(functional.pad(x, self.padding))
        return x + y if self.residual else y


class _Head(nn.Module):
    """Decoder: a pyramid over the deepest feature map, joined with detail from a shallow one."""

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__()
        width = config.head_width
        detail = _scaled(_STAGES[1][1], config.width)
        self.project = _conv_bn_relu(detail, _DETAIL_WIDTH)
        self.aspp = _Pyramid(
            _scaled(_STAGES[-1][1], config.width), width, _ASPP_RATES[config.output_stride]
        )
        self.classifier = nn.Sequential(
            *_conv_bn_relu(_DETAIL_WIDTH + width, width, dilation=1),
            nn.Conv2d(width, config.num_classes, 1),
        )

    def forward(self, detail: Tensor, deep: Tensor) -> Tensor:
        detail = self.project(detail)
        deep = functional.interpolate(self.aspp(deep), detail.shape[-2:], mode="bilinear")
        logits: Tensor = self.classifier(torch.cat([detail, deep], dim=1))
        return logits


class _Pyramid(nn.Module):
    """Atrous spatial pyramid pooling: a 1x1 convolution, three dilations, and a global mean."""

    def __init__(self, channels: int, width: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [
                _conv_bn_relu(channels, width),
                *(_conv_bn_relu(channels, width, rate) for rate in rates),
                nn.Sequential(nn.AdaptiveAvgPool2d(1), *_conv_bn_relu(channels, width)),
            ]
        )
        joined = (len(rates) + 2) * width
        self.project = nn.Sequential(*_conv_bn_relu(joined, width), nn.Dropout(0.1))

    def forward(self, x: Tensor) -> Tensor:
        maps = [conv(x) for conv in self.convs]
        maps[-1] = maps[-1].expand_as(maps[0])
        joined: Tensor = self.project(torch.cat(maps, dim=1))
        return joined


def _scaled(channels: int, width: float) -> int:
    """Return a number of channels scaled by `width` and rounded to a multiple of 8."""
    return max(8, round(channels * width / 8) * 8)


def _conv_bn_relu6(
    channels: int,
    width: int,
    *,
    kernel: int = 1,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
) -> nn.Sequential:
    """Return the layers of a convolution in the backbone, without padding."""
    conv = nn.Conv2d(channels, width, kernel, stride, dilation=dilation, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU6(inplace=True))


def _conv_bn_relu(channels: int, width: int, dilation: int | None = None) -> nn.Sequential:
    """Return a head layer, 1x1, or 3x3 with a dilation; it keeps the size."""
    kernel, padding = (1, 0) if dilation is None else (3, dilation)
    conv = nn.Conv2d(channels, width, kernel, padding=padding, dilation=dilation or 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True))
