"""The smoothing network: shared features, an edge head, a coarse image and a learnt correction.

Modules are named as in the authors' released checkpoints, so that their state dicts load unchanged;
the variables of the forward pass say what each module computes.

References
----------
.. [1] J. Wang et al., "Contrastive Semantic-Guided Image Smoothing Network", Computer Graphics
       Forum 41(7), 2022, section 3.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from csgisnet.networks.layers import (
    DILATIONS,
    Block,
    Finish,
    ImageConv,
    conv,
    conv_bn_relu,
    shrink,
    shuffle,
)

_LARGEST = 1024

GREY = 0.5
"""Where networks with `grey_outside` count images from."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Size and variant of a `SmoothingNetwork`; the defaults are the paper's."""

    width: int = 64
    """Channels of every hidden layer."""
    blocks: int = 12
    """Residual blocks in the shared descriptor."""
    coarse_blocks: int = 3
    """Residual blocks in the coarse head."""
    refine_blocks: int = 6
    """Residual blocks in the refine head."""
    shuffle: int = 1
    """Pixel-unshuffle factor: all layers work at 1 / `shuffle` of the resolution."""
    skip: bool = False
    """Predict the coarse image as a correction to the input that starts out close to zero."""
    finish: int = 0
    """Channels of a head that corrects the result at full resolution; 0 for none."""
    level: bool = False
    """Take a level from 0 to 1 beside the image: how much faint structure goes with the texture."""
    default_level: float = 0.0
    """Level to take if none is given."""
    grey_outside: bool = False
    """Count images from mid-grey, so that the zeros around them are grey; otherwise they are black,
    see `csgisnet.networks.outside`."""

    def __post_init__(self) -> None:
        least = {"width": 1, "blocks": 1, "shuffle": 1}
        for name in (*least, "coarse_blocks", "refine_blocks", "finish"):
            low, value = least.get(name, 0), getattr(self, name)
            if not low <= value <= _LARGEST:
                raise ValueError(f"{name} must be {low} to {_LARGEST}, got {value}.")
        if not 0 <= self.default_level <= 1:
            raise ValueError(f"default_level must be 0 to 1, got {self.default_level}.")


FULL = NetworkConfig()

COMPACT = NetworkConfig(width=32, blocks=4, coarse_blocks=1, refine_blocks=2, shuffle=2, skip=True)


class Smoothing(NamedTuple):
    """What the network predicts for a batch of images; images are not clamped to [0, 1]."""

    result: Tensor
    """Smoothed image (B, 3, H, W): `coarse` + `residual`, corrected by the finish if any."""
    coarse: Tensor
    """First estimate of the smoothed image (B, 3, H, W)."""
    residual: Tensor
    """Correction of the first estimate (B, 3, H, W)."""
    edge: Tensor
    """Edge logits (B, 1, H, W)."""


class SmoothingNetwork(nn.Module):
    """Predicts the structure of RGB images in [0, 1] of any size.

    `csgisnet.SmoothingNetwork` is this one with methods to load, save and publish it.

    Parameters
    ----------
    config : NetworkConfig
        Size and variant.
    """

    def __init__(self, config: NetworkConfig = FULL) -> None:
        super().__init__()
        self.config = config
        width, cells = config.width, config.shuffle**2
        edge, image = cells, 3 * cells
        self.descriptor = _Descriptor(image + config.level, width, config.blocks)
        self.interpreter1 = nn.Sequential(
            *conv_bn_relu(width, width), *conv_bn_relu(width, width), conv(width, edge)
        )
        self.interpreter2 = nn.Sequential(
            *conv_bn_relu(width + edge, width),
            *(Block(width) for _ in range(config.coarse_blocks)),
            *conv_bn_relu(width, width),
            ImageConv(width, image),
        )
        self.refine = nn.Sequential(
            *conv_bn_relu(width + edge + image, width),
            *(Block(width) for _ in range(config.refine_blocks)),
            ImageConv(width, image),
        )
        if config.skip:
            shrink(self.interpreter2[-1])
            shrink(self.refine[-1])
        self.finish = Finish(width, config.finish, config.shuffle) if config.finish else None
        for name, mark in marks(config).items():
            self.register_buffer(name, mark)
        self.register_load_state_dict_pre_hook(_add_marks)  # type: ignore[no-untyped-call]

    def forward(self, image: Tensor, level: Tensor | None = None) -> Smoothing:
        """Smooth a batch.

        Parameters
        ----------
        image : Tensor
            (B, 3, H, W) in [0, 1].
        level : Tensor, optional
            (B,) in [0, 1], for a network that takes a level; by default the configuration's. At 0
            it keeps what an exact label keeps, at 1 what people draw as boundaries.
        """
        height, width = image.shape[-2:]
        factor = self.config.shuffle
        image = fitted(image, factor)
        if self.config.grey_outside:
            image = image - GREY
        x = image if factor == 1 else functional.pixel_unshuffle(image, factor)
        features = self.descriptor(self._with_level(x, level))
        edge = self.interpreter1(features)
        features = torch.cat([features, edge], dim=1)
        coarse = self.interpreter2(features)
        if self.config.skip:
            coarse = coarse + x
        *refine, to_image = self.refine
        features = torch.cat([features, coarse.to(features.dtype)], dim=1)
        for layer in refine:
            features = layer(features)
        residual = to_image(features)
        maps = (coarse + residual, coarse, residual, edge)
        result, coarse, residual, edge = (shuffle(m, factor) for m in maps)
        if self.finish is not None:
            result = result + self.finish(image, result, features)
        if self.config.grey_outside:
            result, coarse = result + GREY, coarse + GREY
        whole = (result, coarse, residual, edge)
        return Smoothing(*(m[..., :height, :width] for m in whole))

    def _with_level(self, x: Tensor, level: Tensor | None) -> Tensor:
        """Append the level as a plane, if the network takes one."""
        if not self.config.level:
            if level is not None:
                raise ValueError("This network takes no level.")
            return x
        plane = torch.ones_like(x[:, :1])
        if level is None:
            return torch.cat([x, self.config.default_level * plane], dim=1)
        return torch.cat([x, level.to(x.dtype)[:, None, None, None] * plane], dim=1)


def marks(config: NetworkConfig) -> dict[str, Tensor]:
    """Return a one-element buffer for each option that cannot be told from the shapes of weights.

    With them a bare state dict tells the whole configuration, see `csgisnet.checkpoints.bare`.
    """
    skip = {"skip": torch.ones(1, dtype=torch.int64)} if config.skip else {}
    level = {"level": torch.tensor([config.default_level])} if config.level else {}
    grey = {"grey_outside": torch.ones(1, dtype=torch.int64)} if config.grey_outside else {}
    return skip | level | grey


def receptive_radius(config: NetworkConfig) -> int:
    """Return the greatest distance, in pixels, at which an input pixel can affect the result.

    A tile with a halo this wide gives the same result as the whole image, if the tile (halo
    included) starts at a multiple of ``config.shuffle``.
    """
    block = sum(DILATIONS)
    descriptor = 1 + block * config.blocks
    edge = 3
    coarse = 3 + block * config.coarse_blocks
    refine = 2 + block * config.refine_blocks
    cells = descriptor + edge + coarse + refine
    finish = 3 if config.finish else 0  # of the result, which reaches farther than the input
    return config.shuffle * cells + config.shuffle - 1 + finish


class _Descriptor(nn.Module):
    """A convolution and a chain of blocks: the features that all heads read."""

    def __init__(self, channels: int, width: int, blocks: int) -> None:
        super().__init__()
        self.conv_in = conv(channels, width)
        self.res16 = nn.Sequential(*(Block(width) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.res16(self.conv_in(x))
        return features


def _add_marks(
    network: SmoothingNetwork, state: dict[str, Tensor], prefix: str, *_: object
) -> None:
    """Let a network load weights that are older than the marks, as its configuration is known."""
    for name, mark in marks(network.config).items():
        state.setdefault(prefix + name, mark)


def fitted(image: Tensor, factor: int) -> Tensor:
    """Replicate the bottom and right border of images (B, C, H, W) to multiples of `factor`."""
    height, width = image.shape[-2:]
    if height % factor or width % factor:
        padding = (0, -width % factor, 0, -height % factor)
        image = functional.pad(image, padding, mode="replicate")
    return image
