"""Process large images in tiles; a halo as wide as the receptive radius rules out seams.

A tile ends either at the image's border or one halo beyond the pixels that are kept. The zero
padding of the convolutions therefore affects the kept pixels exactly as on the whole image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

Tiled: TypeAlias = Callable[[Array], tuple[Array, ...]]
"""Maps (h, w) or (h, w, C) to one or more arrays of that height and width."""

SMALLEST_TILE = 64
"""Side in pixels, without the halo; smaller tiles would be nearly all halo."""


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

    @property
    def kept(self) -> slice:
        """Return the pixels to keep, as a slice of the image."""
        return slice(self.first, self.last)

    @property
    def inner(self) -> slice:
        """Return the pixels to keep, as a slice of the tile."""
        return slice(self.first - self.start, self.last - self.start)


def apply_tiled(
    function: Tiled, image: Array, *, pixels: int, halo: int, multiple: int = 1
) -> tuple[Array, ...]:
    """Apply `function` tile by tile; equal to ``function(image)`` if `halo` covers its reach.

    Parameters
    ----------
    function : callable
        Maps an image to arrays of its size; each pixel depends on those within `halo`.
    image : ndarray
        Image (H, W) or (H, W, C).
    pixels : int
        Most pixels in a tile, its halo included; tiles of `SMALLEST_TILE` may exceed it.
    halo : int
        Pixels read beyond each side of a tile, where the image has them.
    multiple : int
        Tiles start at multiples of this, as pixel-unshuffling networks need.
    """
    height, width = image.shape[:2]
    if height * width <= pixels:
        return function(image)
    down, across = tile_counts(height, width, pixels, halo, multiple)
    wholes: tuple[Array, ...] = ()
    for rows in spans(height, down, halo, multiple):
        for columns in spans(width, across, halo, multiple):
            pieces = function(image[rows.start : rows.stop, columns.start : columns.stop])
            wholes = wholes or tuple(
                np.empty((height, width, *piece.shape[2:]), piece.dtype) for piece in pieces
            )
            for whole, piece in zip(wholes, pieces, strict=True):
                whole[rows.kept, columns.kept] = piece[rows.inner, columns.inner]
    return wholes


def tile_counts(
    height: int, width: int, pixels: int, halo: int, multiple: int = 1
) -> tuple[int, int]:
    """Return the numbers of tiles down and across for which the fewest pixels are read.

    Each has at most `pixels`, its halo included, unless even tiles of `SMALLEST_TILE` have more.
    """
    fitting = []
    most = _most(height, halo, multiple)
    for down in range(1, most + 1):
        rows = spans(height, down, halo, multiple)
        room = pixels // (rows[0].stop - rows[0].start)
        across = _fewest(width, room, halo, multiple)
        if across is not None:
            columns = spans(width, across, halo, multiple)
            read = sum(s.stop - s.start for s in rows) * sum(s.stop - s.start for s in columns)
            fitting.append((read, down, across))
    if not fitting:
        return most, _most(width, halo, multiple)
    _, down, across = min(fitting)
    return down, across


def spans(length: int, count: int, halo: int, multiple: int = 1) -> list[Span]:
    """Return about `count` tiles that cover an axis of `length` pixels.

    All read the same number of pixels (the last one up to `multiple` - 1 fewer), so that memory
    freed by one tile fits the next.
    """
    margin = _round_up(halo, multiple)
    inside = length - 2 * margin  # first and last tile have a halo on one side only
    if count == 1 or inside <= 0:
        return [Span(0, length, 0, length)]
    step = _round_up(math.ceil(inside / count), multiple)
    found = []
    for start in range(0, inside, step):
        first = start + margin if start else 0
        last = start + margin + step if start + step < inside else length
        begin = min(start, _round_up(length - 2 * margin - step, multiple))
        found.append(Span(max(begin, 0), min(begin + 2 * margin + step, length), first, last))
    return found


def _most(length: int, halo: int, multiple: int) -> int:
    """Return how many tiles of `SMALLEST_TILE` fit along an axis."""
    inside = length - 2 * _round_up(halo, multiple)
    return max(1, math.ceil(inside / _round_up(SMALLEST_TILE, multiple)))


def _fewest(length: int, room: int, halo: int, multiple: int) -> int | None:
    """Return the fewest tiles that read at most `room` pixels each; None if no number does."""
    if length <= room:
        return 1
    margin = _round_up(halo, multiple)
    step = room // multiple * multiple - 2 * margin
    return math.ceil((length - 2 * margin) / step) if step >= SMALLEST_TILE else None


def _round_up(number: int, multiple: int) -> int:
    """Return the smallest multiple that is not below `number`."""
    return -(-number // multiple) * multiple
