"""Large images in tiles: with a halo of the receptive radius the result has no seam at all.

A tile ends at the image's border or a halo beyond what is kept of it, so the zero padding of the
convolutions acts where it acts on the whole image, and nowhere else within reach.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Tiled: TypeAlias = Callable[[Array], tuple[Array, ...]]
"""Maps (h, w) or (h, w, C) to one or more arrays of that height and width."""

SMALLEST_TILE = 64
"""Side in pixels, halo not counted; smaller ones would be all halo."""


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
        """The pixels kept, in the image."""
        return slice(self.first, self.last)

    @property
    def inner(self) -> slice:
        """The pixels kept, in the tile."""
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
        Largest tile, halo counted; tiles of `SMALLEST_TILE` may exceed it.
    halo : int
        Pixels read beyond each side of a tile, where the image has them.
    multiple : int
        Tiles start at multiples of this, as pixel-unshuffling networks need.
    """
    height, width = image.shape[:2]
    if height * width <= pixels:
        return function(image)
    tile_height, tile_width = tile_shape(height, width, pixels, halo, multiple)
    wholes: tuple[Array, ...] = ()
    for rows in spans(height, tile_height, halo, multiple):
        for columns in spans(width, tile_width, halo, multiple):
            parts = function(image[rows.start : rows.stop, columns.start : columns.stop])
            wholes = wholes or tuple(
                np.empty((height, width, *part.shape[2:]), part.dtype) for part in parts
            )
            for whole, part in zip(wholes, parts, strict=True):
                whole[rows.kept, columns.kept] = part[rows.inner, columns.inner]
    return wholes


def tile_shape(
    height: int, width: int, pixels: int, halo: int, multiple: int = 1
) -> tuple[int, int]:
    """Return the height and width, halo not counted, of the tiles that cost least to compute.

    With their halo they have at most `pixels`, if tiles of `SMALLEST_TILE` do.
    """
    margin = 2 * _round_up(halo, multiple)
    fitting = []
    for count in range(1, math.ceil(height / SMALLEST_TILE) + 1):
        rows = _round_up(math.ceil(height / count), multiple)
        read = min(rows + margin, height)
        columns = width if read * width <= pixels else pixels // read - margin
        columns = columns // multiple * multiple if columns < width else width
        if columns >= min(SMALLEST_TILE, width):
            strips = math.ceil(width / columns)
            columns = _round_up(math.ceil(width / strips), multiple)
            cost = math.ceil(height / rows) * read * strips * min(columns + margin, width)
            fitting.append((cost, rows, columns))
    if not fitting:
        return (_round_up(SMALLEST_TILE, multiple),) * 2
    _, rows, columns = min(fitting)
    return rows, columns


def spans(length: int, tile: int, halo: int, multiple: int = 1) -> Iterator[Span]:
    """Yield tiles of nearly equal size that cover an axis of `length` pixels."""
    count = math.ceil(length / tile)
    step = _round_up(math.ceil(length / count), multiple)
    margin = _round_up(halo, multiple)
    for first in range(0, length, step):
        last = min(first + step, length)
        yield Span(max(first - margin, 0), min(last + margin, length), first, last)


def _round_up(number: int, multiple: int) -> int:
    """Return the next multiple."""
    return -(-number // multiple) * multiple
