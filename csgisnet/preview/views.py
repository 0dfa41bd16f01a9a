"""What the page shows of a photograph: all of it at screen size, or a crop at full size."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from vocsmooth.arrays import Pixels, to_8_bit
from vocsmooth.errors import InputError
from vocsmooth.images.reading import read_picture

T = TypeVar("T", bound=np.generic)

WHOLE_SIDE = 1024
"""Longer side, in pixels, of a whole photograph on the page."""

CROP_SIDE = 512
"""Side of a crop in pixels."""

CROP_MARGIN = 48
"""Pixels around a crop that are smoothed with it but not shown, to hide the effect of a border."""


@dataclass(frozen=True, kw_only=True)
class View:
    """A part of a photograph, ready to smooth."""

    pixels: Pixels
    """(H, W) or (H, W, 3), uint8 or uint16."""
    scale: float
    """Pixels of the view for one of the photograph: 1, or less where it was made smaller."""
    rows: slice
    columns: slice
    """The columns of `pixels` that are shown; the others are margin."""

    def shown(self, pixels: NDArray[T]) -> NDArray[T]:
        """Return the part that is shown, of an array as large as `pixels`."""
        return pixels[self.rows, self.columns]


def whole(path: Path) -> View:
    """Return a whole photograph, made smaller if it is larger than a screen.

    Raises
    ------
    InputError
        The file cannot be read as an image.
    """
    pixels = _read(path)
    scale = min(1.0, WHOLE_SIDE / max(pixels.shape[:2]))
    if scale < 1:
        height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
        resized = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        pixels = np.asarray(resized, pixels.dtype)
    return View(pixels=pixels, scale=scale, rows=slice(None), columns=slice(None))


def crop(path: Path, row: int, column: int) -> View:
    """Return a square of a photograph at full size, moved inside if it would reach beyond it.

    Parameters
    ----------
    path : Path
        The photograph.
    row, column : int
        Where its upper left corner should lie.

    Raises
    ------
    InputError
        The file cannot be read as an image.
    """
    pixels = _read(path)
    rows, shown_rows = _window(row, pixels.shape[0])
    columns, shown_columns = _window(column, pixels.shape[1])
    part = np.ascontiguousarray(pixels[rows, columns])
    return View(pixels=part, scale=1.0, rows=shown_rows, columns=shown_columns)


def to_png(pixels: Pixels) -> bytes:
    """Return pixels as a PNG of 8 bits a channel, compressed little: it stays on this machine."""
    shown = to_8_bit(pixels)
    ordered = shown if shown.ndim == 2 else np.ascontiguousarray(shown[..., ::-1])
    return bytes(cv2.imencode(".png", ordered, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1])


def size_of(path: Path) -> tuple[int, int]:
    """Return height and width of a photograph; InputError if it cannot be read."""
    height, width = _read(path).shape[:2]
    return height, width


def _window(start: int, length: int) -> tuple[slice, slice]:
    """Return the pixels to smooth along one axis, margin included, and which of them to show."""
    start = min(max(start, 0), max(length - CROP_SIDE, 0))
    end = min(start + CROP_SIDE, length)
    first, last = max(start - CROP_MARGIN, 0), min(end + CROP_MARGIN, length)
    return slice(first, last), slice(start - first, end - first)


@functools.lru_cache(maxsize=2)  # of large photographs more would not fit in memory
def _read(path: Path) -> Pixels:
    """Return the pixels of a photograph, without its transparency."""
    try:
        return read_picture(path).pixels
    except MemoryError:
        raise InputError(f"{path}: not enough memory to read it.") from None
