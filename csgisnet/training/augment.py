"""Cut one random view of each sample, the same for all its maps: crop, turns, scale, colours.

A view is a pure function of (seed, epoch, index): the number of workers or processes does not
change it. Without rotation and scale nothing is resampled, so what holds between the maps of a
sample (the input is the label plus the texture) holds bit for bit between their views.

Because the input is the label plus the texture, three more changes are exact and free: permuting
the channels and inverting the colours of all images of a sample (`permute`, `invert`), and adding
the texture with another sign or strength (`flip_texture`, `texture_gain`).

Last, inputs may be spoiled as cameras and files spoil pictures (`noise`, `jpeg`), see
`csgisnet.training.spoil`.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_LUMINANCE = (0.299, 0.587, 0.114)

_NUM_RANDOM = 21

_HIGHEST_QUALITY = 96


@dataclasses.dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How views may differ from the maps they are cut from; by default they are only turned."""

    turns: bool = True
    """Mirror and turn by multiples of 90 degrees."""
    max_angle: float = 0.0
    """Largest additional rotation in degrees, 0 to 45."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Smallest and largest magnification."""
    brightness: float = 0.0
    """Largest shift of all channels, as a share of their range."""
    contrast: float = 0.0
    """Largest relative change of the contrast, around mid-grey."""
    saturation: float = 0.0
    """Largest relative change of the saturation."""
    permute: bool = False
    """Permute red, green and blue, alike in all images of a sample. Not for use with teachers,
    as they know the colours of things."""
    invert: bool = False
    """Invert half of the samples: 1 - x for each value x. Not for use with teachers either."""
    flip_texture: bool = False
    """Subtract the texture from half of the labels instead of adding it."""
    texture_gain: tuple[float, float] = (1.0, 1.0)
    """Smallest and largest factor on the texture, evenly in its logarithm."""
    untextured: float = 0.0
    """Share of the samples that get no texture, so that pictures without any are left alone."""
    level_zero: float = 0.25
    """Share of the samples at level 0, for a network with a level; a third of the rest is at 1."""
    noise: float = 0.0
    """Largest standard deviation of the noise that half of the inputs get, values being 0 to 1."""
    jpeg: int = 0
    """Lowest quality, 1 to 96, at which half of the inputs are compressed; the highest is 96. 0
    compresses none."""

    def __post_init__(self) -> None:
        if not 0 <= self.max_angle <= 45:
            raise ValueError(f"max_angle must be from 0 to 45 degrees, got {self.max_angle}.")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale must be two rising numbers above 0, got {self.scale}.")
        if not 0 < self.texture_gain[0] <= self.texture_gain[1]:
            raise ValueError(
                f"texture_gain must be two rising numbers above 0, got {self.texture_gain}."
            )
        if not 0 <= self.jpeg <= _HIGHEST_QUALITY:
            raise ValueError(f"jpeg must be 0 to {_HIGHEST_QUALITY}, got {self.jpeg}.")
        for name in ("brightness", "contrast", "saturation", "untextured", "level_zero", "noise"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}.")

    @property
    def resamples(self) -> bool:
        """Return whether views interpolate between pixels."""
        return self.max_angle > 0 or self.scale != (1.0, 1.0)

    @property
    def recolours(self) -> bool:
        """Return whether views change colours."""
        gradual = max(self.brightness, self.contrast, self.saturation)
        return self.permute or self.invert or gradual > 0

    @property
    def changes_textures(self) -> bool:
        """Return whether views change the sign or the strength of the texture, or drop it."""
        return self.flip_texture or self.texture_gain != (1.0, 1.0) or self.untextured > 0

    def window(self, patch: int) -> int:
        """Return the side of the square window that holds any view of `patch` pixels."""
        if not self.resamples:
            return patch
        return math.ceil((patch - 1) * _span(math.radians(self.max_angle)) / self.scale[0]) + 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Views:
    """Views of B samples; each field is an array of length B."""

    tops: NDArray[np.int64]
    """First row of each window in its photograph."""
    lefts: NDArray[np.int64]
    """First column of each window in its photograph."""
    turns: NDArray[np.bool_]
    """Whether to mirror rows, mirror columns and transpose, (B, 3)."""
    affine: NDArray[np.float64]
    """Maps patch pixels to offsets from the window's corner: (B, 2, 3), rows (x, y)."""
    colour: NDArray[np.float64]
    """Maps RGB to RGB, (B, 3, 4); the last column is added."""
    gains: NDArray[np.float64]
    """Factor on each texture, (B,)."""
    levels: NDArray[np.float64]
    """Level to smooth each sample at, (B,) in [0, 1]."""
    deviations: NDArray[np.float64]
    """Standard deviation of the noise of each input, (B,)."""
    qualities: NDArray[np.float64]
    """JPEG quality of each input, (B,); 0 for one that is not compressed."""


def draw_views(
    config: AugmentConfig,
    patch: int,
    keys: NDArray[np.uint64],
    shapes: NDArray[np.int64],
) -> Views:
    """Draw one view of each sample.

    Parameters
    ----------
    config : AugmentConfig
        How much views may vary.
    patch : int
        Side of a view in pixels.
    keys : (B, 2) uint64
        Keys of the random numbers, from `sample_keys`.
    shapes : (B, 2) int64
        Height and width of each photograph.
    """
    u = _uniform(keys)
    window = config.window(patch)
    slack = np.maximum(shapes - window, 0)
    corners = (u[:, 0:2] * (slack + 1)).astype(np.int64)
    return Views(
        tops=corners[:, 0],
        lefts=corners[:, 1],
        turns=(u[:, 2:5] < 0.5) & config.turns,
        affine=_affine(config, patch, np.minimum(shapes, window), u[:, 5:9]),
        colour=_exchange(config, u[:, 12:16], _colour(config, u[:, 9:12])),
        gains=_gains(config, u[:, 16:18]),
        levels=(1.5 * (u[:, 18] - config.level_zero) / (1 - config.level_zero)).clip(0, 1),
        deviations=config.noise * (2 * u[:, 19] - 1).clip(0),
        qualities=_qualities(config, u[:, 20]),
    )


def sample_keys(
    seed: int, epochs: NDArray[np.int64], indices: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """Return Philox keys (B, 2) of samples `indices` as seen in `epochs`."""
    high = np.uint64(seed & 0xFFFFFFFF) << np.uint64(32)
    return np.stack([high | epochs.astype(np.uint64), indices.astype(np.uint64)], axis=1)


class Changes(NamedTuple):
    """What views do to pixels, as tensors on the device that does it: the fields of `Views`.

    `turns` is bool, the others are float32.
    """

    turns: Tensor
    affine: Tensor
    colour: Tensor
    gains: Tensor
    levels: Tensor
    deviations: Tensor
    qualities: Tensor


def pack_changes(views: Views) -> Tensor:
    """Pack what views do to pixels into one tensor (B, 25) float32: a single copy to a device."""
    parts = (
        views.turns,
        views.affine,
        views.colour,
        views.gains,
        views.levels,
        views.deviations,
        views.qualities,
    )
    rows = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
    return torch.from_numpy(rows.astype(np.float32))


def unpack_changes(packed: Tensor) -> Changes:
    """Unpack what `pack_changes` returned."""
    turns, affine, colour, *single = torch.split(packed, [3, 6, 12, 1, 1, 1, 1], dim=1)
    return Changes(
        turns > 0.5,
        affine.reshape(-1, 2, 3),
        colour.reshape(-1, 3, 4),
        *(values.flatten() for values in single),
    )


def recolour(images: Tensor, changes: Changes) -> Tensor:
    """Change the colours of images (B, M, 3, H, W) in [0, 1], alike within each sample."""
    colour = changes.colour
    changed = torch.einsum("bij,bmjhw->bmihw", colour[..., :3], images)
    return changed.add_(colour[:, None, :, 3, None, None]).clamp_(0, 1)


def change_textures(images: Tensor, label: Tensor, changes: Changes) -> Tensor:
    """Multiply the textures of images by their gains: ``label + gain * (image - label)``.

    Parameters
    ----------
    images : Tensor
        (B, M, 3, H, W) in [0, 1]: the input, and what was made of it.
    label : Tensor
        (B, 3, H, W) in [0, 1].
    changes : Changes
        What one view of each sample does.
    """
    gains = changes.gains[:, None, None, None, None]
    return (images - label[:, None]).mul_(gains).add_(label[:, None]).clamp_(0, 1)


def _uniform(keys: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return numbers in [0, 1), (B, _NUM_RANDOM); each row depends on its key alone."""
    philox = (np.random.Philox(key=key) for key in keys)
    return np.stack([np.random.Generator(one).random(_NUM_RANDOM) for one in philox])


def _affine(
    config: AugmentConfig, patch: int, extent: NDArray[np.int64], u: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Rotate and scale about a random centre, magnifying more where a view would leave its maps.

    `extent` is the height and width of the part of the window that the maps fill.
    """
    angle = np.radians(config.max_angle) * (2 * u[:, 0] - 1)
    low, high = np.log(config.scale)
    reach = (patch - 1) / 2 * _span(angle)
    room = (extent - 1) / 2
    scale = np.maximum(np.exp(low + (high - low) * u[:, 1]), reach / room.min(axis=1).clip(0.5))
    centre = room + (room - (reach / scale)[:, None]) * (2 * u[:, 2:4] - 1)
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    rows = np.stack([cos, -sin, centre[:, 1], sin, cos, centre[:, 0]], axis=1)
    return rows.reshape(-1, 2, 3)


def _span(angle: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the side of the bounding box of a unit square turned by `angle`, in radians."""
    return np.asarray(np.abs(np.cos(angle)) + np.abs(np.sin(angle)))


def _colour(config: AugmentConfig, u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return saturation about luminance, contrast about mid-grey and brightness as (B, 3, 4)."""
    shift, contrast, saturation = (
        np.array([config.brightness, config.contrast, config.saturation]) * (2 * u - 1)
    ).T[..., None, None]
    grey = np.broadcast_to(np.array(_LUMINANCE), (3, 3))
    mix = (1 + contrast) * ((1 + saturation) * np.eye(3) - saturation * grey)
    offset = np.broadcast_to(shift - contrast / 2, (len(u), 3, 1))
    return np.concatenate([mix, offset], axis=2)


def _exchange(
    config: AugmentConfig, u: NDArray[np.float64], colour: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Permute the channels of colour maps (B, 3, 4), and invert half of them."""
    if config.permute:
        colour = np.take_along_axis(colour, np.argsort(u[:, :3], axis=1)[..., None], axis=1)
    inverted = (u[:, 3] < 0.5)[:, None, None] & config.invert
    return np.where(inverted, np.array([0, 0, 0, 1]) - colour, colour)


def _gains(config: AugmentConfig, u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the factors on textures (B,)."""
    low, high = np.log(config.texture_gain)
    signs = np.where((u[:, 0] < 0.5) & config.flip_texture, -1.0, 1.0)
    share = (u[:, 1] - config.untextured) / (1 - config.untextured)
    return np.where(share < 0, 0, signs * np.exp(low + (high - low) * share))


def _qualities(config: AugmentConfig, u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return JPEG qualities (B,): 0 for half of the inputs, or for all."""
    if not config.jpeg:
        return np.zeros(len(u))
    return np.where(u < 0.5, config.jpeg + (_HIGHEST_QUALITY - config.jpeg) * 2 * u, 0)
