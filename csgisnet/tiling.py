"""Large images in tiles: with a halo of the receptive radius the result has no seam at all.

A tile ends at the image's border or a halo beyond what is kept of it, so the zero padding of the
convolutions acts where it acts on the whole image, and nowhere else within reach.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.float32]


class Span(NamedTuple):
    """One tile along one axis, in pixels of the image."""

    start: int
    """First pixel read."""
    stop: int
    """End of the pixels read."""
    first: int
    """First pixel kept."""
    last: int
    """End of the pixels kept."""


def apply_tiled(
    function: Callable[[Image], Image], image: Image, *, tile: int, halo: int, multiple: int = 1
) -> Image:
    """Apply `function` tile by tile; equal to ``function(image)`` if `halo` covers its reach.

    Parameters
    ----------
    function : callable
        Maps an image (h, w, C) to one of the same size; each pixel depends on those within `halo`.
    image : ndarray
        Image (H, W, C).
    tile : int
        Largest side of a tile, halo not counted.
    halo : int
        Pixels read beyond each side of a tile, where the image has them.
    multiple : int
        Tiles start at multiples of this, as pixel-unshuffling networks need.
    """
    height, width = image.shape[:2]
    if max(height, width) <= tile:
        return function(image)
    result = np.empty_like(image)
    for rows in spans(height, tile, halo, multiple):
        for columns in spans(width, tile, halo, multiple):
            done = function(image[rows.start : rows.stop, columns.start : columns.stop])
            result[rows.first : rows.last, columns.first : columns.last] = done[
                rows.first - rows.start : rows.last - rows.start,
                columns.first - columns.start : columns.last - columns.start,
            ]
    return result


def spans(length: int, tile: int, halo: int, multiple: int = 1) -> Iterator[Span]:
    """Yield tiles of nearly equal size that cover an axis of `length` pixels."""
    count = math.ceil(length / tile)
    step = _round_up(math.ceil(length / count), multiple)
    margin = _round_up(halo, multiple)
    for first in range(0, length, step):
        last = min(first + step, length)
        yield Span(max(first - margin, 0), min(last + margin, length), first, last)


def tile_side(memory: int, bytes_per_pixel: float, halo: int, multiple: int = 1) -> int:
    """Return the largest tile that, halo included, takes at most `memory` bytes; at least 64."""
    side = int(math.sqrt(memory / bytes_per_pixel)) - 2 * _round_up(halo, multiple)
    return max(side // multiple * multiple, 64)


def _round_up(number: int, multiple: int) -> int:
    """Return the next multiple."""
    return -(-number // multiple) * multiple
