"""One picture that shows samples side by side: input, result, label, negatives, edges, mask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vocsmooth.arrays import to_float, to_uint
from vocsmooth.classes import VOC_CLASSES, VOC_PALETTE, VOID
from vocsmooth.shards import Dataset, Split

Pixels: TypeAlias = NDArray[np.uint8]

Smoother: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]

_GAP = 8

_CAPTION_HEIGHT = 24

_MASK_OPACITY = 0.6


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A captioned picture, (H, W, 3) uint8."""

    caption: str
    pixels: Pixels


def draw_sheet(
    dataset: Dataset, split: str, *, rows: int = 4, smooth: Smoother | None = None
) -> tuple[Pixels, tuple[str, ...]]:
    """Draw one sample of each of the first photographs of a split.

    Parameters
    ----------
    dataset : Dataset
        Opened by `vocsmooth.shards.open_dataset`.
    split : str
        "train" or "val".
    rows : int
        Photographs to show; one row each.
    smooth : callable, optional
        From (H, W, 3) float32 in [0, 1] to the same; its result is shown beside the input.

    Returns
    -------
    picture : ndarray
        (H, W, 3) uint8.
    ids : tuple of str
        Of the photographs shown.
    """
    samples = dataset.split(split)
    chosen = _one_per_photograph(samples)[:rows]
    names = ("input", "label", "edge", "mask", *dataset.negatives)
    panels = [sample_row(samples.read(i, names), dataset.negatives, smooth) for i in chosen]
    return compose_sheet(panels), tuple(samples.ids[i] for i in chosen)


def compose_sheet(rows: Sequence[Sequence[Panel]], *, height: int = 240) -> Pixels:
    """Lay rows of panels out on white, each scaled to one height, captions above.

    Parameters
    ----------
    rows : sequence of sequences of Panel
        At least one row with at least one panel; rows may differ in length.
    height : int
        Height of every panel in pixels.

    Returns
    -------
    ndarray
        (H, W, 3) uint8.
    """
    strips = [_strip(row, height) for row in rows]
    canvas = Image.new(
        "RGB",
        (max(strip.width for strip in strips), sum(strip.height for strip in strips)),
        "white",
    )
    top = 0
    for strip in strips:
        canvas.paste(strip, (0, top))
        top += strip.height
    return np.asarray(canvas)


def sample_row(
    maps: Mapping[str, NDArray[Any]],
    negatives: Sequence[str],
    smooth: Smoother | None = None,
) -> list[Panel]:
    """Return the panels of one sample.

    Parameters
    ----------
    maps : mapping
        The maps of one sample by name, as `vocsmooth.shards.Split.read` returns them.
    negatives : sequence of str
        Names of the negatives among `maps`, in the order to show them.
    smooth : callable, optional
        From (H, W, 3) float32 in [0, 1] to the same; its result is shown beside the input.
    """
    image, label = maps["input"], maps["label"]
    panels = [Panel(caption=f"input, {_decibels(image, label)}", pixels=image)]
    if smooth is not None:
        result = _to_8_bit(smooth(to_float(image)))
        panels.append(Panel(caption=f"result, {_decibels(result, label)}", pixels=result))
    panels.append(Panel(caption="label", pixels=label))
    panels += [Panel(caption=f"negative: {name}", pixels=maps[name]) for name in negatives]
    panels.append(Panel(caption="edges", pixels=_gray(255 - 255 * maps["edge"])))
    panels.append(
        Panel(caption=_mask_caption(maps["mask"]), pixels=overlay_mask(label, maps["mask"]))
    )
    return panels


def overlay_mask(image: Pixels, mask: Pixels) -> Pixels:
    """Blend a mask's VOC colours over an image; background is left alone, void turns white."""
    colours: Pixels = VOC_PALETTE[mask]
    colours[mask == VOID] = 255
    opacity = np.where(mask == 0, 0.0, _MASK_OPACITY)[..., None]
    return np.asarray(np.rint(image * (1 - opacity) + colours * opacity), np.uint8)


def _one_per_photograph(samples: Split) -> list[int]:
    """Return the first sample of every photograph."""
    first: dict[str, int] = {}
    for index, photograph in enumerate(samples.ids):
        first.setdefault(photograph, index)
    return list(first.values())


def _strip(panels: Sequence[Panel], height: int) -> Image.Image:
    """Draw one row of panels."""
    pictures = [_scaled(panel.pixels, height) for panel in panels]
    width = sum(picture.width + _GAP for picture in pictures) + _GAP
    strip = Image.new("RGB", (width, height + _CAPTION_HEIGHT + _GAP), "white")
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(size=14)
    left = _GAP
    for panel, picture in zip(panels, pictures, strict=True):
        draw.text((left, 5), panel.caption, fill="black", font=font)
        strip.paste(picture, (left, _CAPTION_HEIGHT))
        left += picture.width + _GAP
    return strip


def _scaled(pixels: Pixels, height: int) -> Image.Image:
    """Scale the picture to the given height, keeping its aspect ratio."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    width = max(1, round(picture.width * height / picture.height))
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _mask_caption(mask: Pixels) -> str:
    """Name the classes that a mask shows."""
    names = [VOC_CLASSES[index] for index in np.unique(mask) if 0 < index < len(VOC_CLASSES)]
    return "mask: " + (", ".join(names) or "background")


def _decibels(image: Pixels, label: Pixels) -> str:
    """Return the PSNR of two 8-bit images as text."""
    error = np.mean((image.astype(np.float64) - label) ** 2)
    return "equal to label" if error == 0 else f"{10 * np.log10(255**2 / error):.1f} dB"


def _gray(plane: NDArray[Any]) -> Pixels:
    """Return a plane as three equal channels of uint8."""
    return np.repeat(plane.astype(np.uint8)[..., None], 3, axis=2)


def _to_8_bit(image: NDArray[np.float32]) -> Pixels:
    """Return a float image as 8 bits."""
    return np.asarray(to_uint(image, np.uint8), np.uint8)
