"""Find a free place for a name on a plot, near what it names and without covering anything."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_STEP = 3
"""Pixels between the places tried, across and down."""

_BESIDE = 0.2
"""Cost of a pixel by which a name is above or below its mark; a pixel beside it costs 1."""


class Box(NamedTuple):
    """A rectangle on the canvas, y downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        """Tell whether two boxes have more than an edge in common."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


class Label(NamedTuple):
    """A name to place: what it stands for, and how much room it takes."""

    mark: Box
    """The point, dot or line that it names."""
    width: float
    height: float


def place_labels(labels: Sequence[Label], taken: Sequence[Box], frame: Box) -> list[Box | None]:
    """Return a box for each label, close to its mark, and to the right of it if there is room.

    No box meets another one, a box of `taken`, or the border of `frame`.

    Parameters
    ----------
    labels : sequence of Label
        Those that come first have the first choice, unless a later one would find no place at all.
    taken : sequence of Box
        What no label may cover, their marks included unless these may be covered.
    frame : Box
        Where labels may be.

    Returns
    -------
    list of Box or None
        None for a label that has no place.

    Examples
    --------
    >>> dot = Box(10, 10, 20, 20)
    >>> place_labels([Label(dot, width=30, height=10)], [dot], Box(0, 0, 100, 100))
    [Box(left=20.0, top=10.0, right=50.0, bottom=20.0)]
    """
    order = list(range(len(labels)))
    best: dict[int, Box] = {}
    for _ in labels:
        placed: dict[int, Box] = {}
        for number in order:
            if box := _nearest_free(labels[number], [*taken, *placed.values()], frame):
                placed[number] = box
        best = max(best, placed, key=len)
        if len(placed) == len(labels):
            break
        order.sort(key=placed.__contains__)  # those without a place choose first in the next round
    return [best.get(number) for number in range(len(labels))]


def _nearest_free(label: Label, taken: Sequence[Box], frame: Box) -> Box | None:
    """Return the free place that is nearest to a label's mark; None if there is none."""
    mark, width, height = label
    # One of the places is exactly right of the mark, or ends with it.
    beside = mark.right if mark.right + width <= frame.right else mark.right - width
    level = (mark.top + mark.bottom - height) / 2
    lefts = _steps(frame.left, frame.right - width, beside)[None, :]
    tops = _steps(frame.top, frame.bottom - height, level)[:, None]
    free = np.ones(np.broadcast_shapes(lefts.shape, tops.shape), np.bool_)
    for box in taken:
        across = (lefts < box.right) & (lefts + width > box.left)
        free &= ~(across & (tops < box.bottom) & (tops + height > box.top))
    if not free.any():
        return None
    away = np.maximum(np.maximum(lefts - mark.right, mark.left - lefts - width), 0)
    below = np.maximum(np.maximum(tops - mark.bottom, mark.top - tops - height), 0)
    cost = np.hypot(away, below) + _BESIDE * np.abs(tops - level)
    cost = cost + (lefts < beside) * _BESIDE * _STEP  # of two places as near, the one on the right
    top, left = np.unravel_index(int(np.where(free, cost, math.inf).argmin()), free.shape)
    x, y = float(lefts[0, left]), float(tops[top, 0])
    return Box(x, y, x + width, y + height)


def _steps(low: float, high: float, through: float) -> NDArray[np.float64]:
    """Return numbers from `low` to `high`, `_STEP` apart, so that `through` would be among them."""
    return np.arange(low + (through - low) % _STEP, high + 1e-9, _STEP)
