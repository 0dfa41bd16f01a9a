"""Cut views out of windows on the device: mirror, turn, rotate and scale all maps alike."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from csgisnet.training.augment import AugmentConfig, Changes

_NEAREST = frozenset({"edge", "mask"})


def cut_views(
    maps: Mapping[str, Tensor], changes: Changes, config: AugmentConfig, patch: int
) -> dict[str, Tensor]:
    """Cut windows into patches, the same way for all maps of a sample.

    Parameters
    ----------
    maps : mapping of str to Tensor
        Windows (B, S, S, ...) by name. "edge" and "mask" take the nearest pixel, the others
        interpolate.
    changes : Changes
        What one view of each sample does, on the device of the maps.
    config : AugmentConfig
        The settings that the views were drawn with.
    patch : int
        Side of a patch.

    Returns
    -------
    dict of str to Tensor
        Patches (B, patch, patch, ...) of the same dtypes, except float32 where pixels were
        interpolated.
    """
    if config.resamples:
        maps = _resample(maps, changes.affine, patch)
    if not config.turns:
        return dict(maps)
    return {name: _turn(pixels, changes.turns) for name, pixels in maps.items()}


def _resample(maps: Mapping[str, Tensor], affine: Tensor, patch: int) -> dict[str, Tensor]:
    """Interpolate images, and take the nearest pixel of edges and masks."""
    names = {"nearest": [n for n in maps if n in _NEAREST]}
    names["bilinear"] = [n for n in maps if n not in _NEAREST]
    grid = _grid(affine, patch, window=next(iter(maps.values())).shape[1])
    resampled: dict[str, Tensor] = {}
    for mode, chosen in names.items():
        if chosen:
            planes = [_planes(maps[name]) for name in chosen]
            stack = functional.grid_sample(
                torch.cat(planes, dim=1), grid, mode, padding_mode="border", align_corners=False
            )
            split = torch.split(stack, [p.shape[1] for p in planes], dim=1)
            resampled |= {n: _like(p, maps[n]) for n, p in zip(chosen, split, strict=True)}
    return resampled


def _planes(pixels: Tensor) -> Tensor:
    """Return maps (B, S, S[, C]) as float32 (B, C, S, S)."""
    pixels = pixels[..., None] if pixels.ndim == 3 else pixels
    return pixels.permute(0, 3, 1, 2).float()


def _like(planes: Tensor, pixels: Tensor) -> Tensor:
    """Undo `_planes`; images stay float32, and maps of one channel get their dtype back."""
    return planes.permute(0, 2, 3, 1) if pixels.ndim == 4 else planes[:, 0].to(pixels.dtype)


def _grid(affine: Tensor, patch: int, window: int) -> Tensor:
    """Return where patch pixels lie in the window, (B, patch, patch, 2) in [-1, 1]."""
    axis = torch.arange(patch, device=affine.device) - (patch - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)], dim=-1)
    position = torch.einsum("bij,hwj->bhwi", affine, points)
    return (2 * position + 1) / window - 1


def _turn(pixels: Tensor, flags: Tensor) -> Tensor:
    """Mirror rows, mirror columns and transpose where flagged: all eight symmetries of a square."""
    pixels = _where(flags[:, 0], pixels.flip(1), pixels)
    pixels = _where(flags[:, 1], pixels.flip(2), pixels)
    return _where(flags[:, 2], pixels.transpose(1, 2), pixels)


def _where(flags: Tensor, changed: Tensor, pixels: Tensor) -> Tensor:
    """Take samples of `changed` where flagged; bytes go eight at a time, which is much faster."""
    one, other = (maps.reshape(len(maps), -1) for maps in (changed, pixels))
    wide = torch.int64 if one.dtype == torch.uint8 and one.shape[1] % 8 == 0 else one.dtype
    chosen = torch.where(flags[:, None], one.view(wide), other.view(wide))
    return chosen.view(pixels.dtype).reshape(pixels.shape)
