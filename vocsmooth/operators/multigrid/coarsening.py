"""The coarse grids in NumPy: interpolation weights and P'AP (solver.py describes the method).

A coarse cell has four corners (0 upper left, 1 upper right, 2 lower left, 3 lower right), which are
every second point of the fine grid, the middle of each side, and a centre. The weights of a fine
point are those of its four corners, a plain 0.0 standing for an array of zeros.

Arrays of a grid are stored in quarters, by the parity of row and column: what line solves,
interpolation and P'AP combine is then contiguous, and not every second float.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

Point = tuple[Array | float, Array | float, Array | float, Array | float]

TINY = np.float32(1e-30)
"""Keeps a quotient finite where a point has no couplings at all."""

PAIRS = ((0, 1), (0, 2), (1, 3), (2, 3), (0, 3), (1, 2))
"""Corners of a cell that can be coupled."""

PARITIES = ((0, 0), (0, 1), (1, 0), (1, 1))

Quarters = NDArray[np.float32]
"""(2, 2, ..., h, w): [p, q, ..., i, j] is the point (2 i + p, 2 j + q).

The last points of odd sides stand for what lies outside.
"""


@dataclass(frozen=True, kw_only=True)
class Couplings:
    """A graph Laplacian and the mass; a coupling is stored at its left or upper point.

    Outside the grid the mass is 1 and couplings are 0. The finest grid has no diagonal ones.
    """

    mass: Quarters
    east: Quarters
    south: Quarters
    southeast: Quarters | None = None
    southwest: Quarters | None = None

    def turned(self) -> Couplings:
        """Return the couplings of the grid whose rows are this one's columns."""
        southeast = southwest = None
        if self.southeast is not None and self.southwest is not None:
            southeast = turn(self.southeast)
            southwest = turn(_by_lower_end(self.southwest))
        east, south = turn(self.south), turn(self.east)
        return Couplings(
            mass=turn(self.mass), east=east, south=south, southeast=southeast, southwest=southwest
        )


def split(values: NDArray[np.floating], outside: float = 0) -> Quarters:
    """Take an array (..., H, W) apart into quarters."""
    height, width = values.shape[-2:]
    shape = (2, 2, *values.shape[:-2], (height + 1) // 2, (width + 1) // 2)
    quarters = np.full(shape, outside, np.float32)
    for p, q in PARITIES:
        quarter = values[..., p::2, q::2]
        quarters[p, q, ..., : quarter.shape[-2], : quarter.shape[-1]] = quarter
    return quarters


def join(quarters: Quarters, shape: tuple[int, int]) -> Array:
    """Put the quarters of a grid together: the inverse of split."""
    values = np.empty((*quarters.shape[2:-2], *shape), np.float32)
    for p, q in PARITIES:
        quarter = values[..., p::2, q::2]
        quarter[...] = quarters[p, q, ..., : quarter.shape[-2], : quarter.shape[-1]]
    return values


def turn(quarters: Quarters) -> Quarters:
    """View rows as columns."""
    return quarters.swapaxes(0, 1).swapaxes(-1, -2)


HERE = {-1: slice(1, None), 0: slice(None), 1: slice(0, -1)}
"""By a step of -1, 0 or 1: the rows (or columns) that have a neighbour so many further on."""

THERE = {-1: slice(0, -1), 0: slice(None), 1: slice(1, None)}
"""By the same step: those neighbours, in the same order. ``x[HERE[1]]`` and ``x[THERE[1]]`` pair
every row with the next one."""


def move(values: Array, dy: int, dx: int) -> Array:
    """Return the values `dy` rows below and `dx` columns right of each point, 0 beyond the last."""
    if not dy and not dx:
        return values
    moved = np.zeros_like(values)
    moved[..., HERE[dy], HERE[dx]] = values[..., THERE[dy], THERE[dx]]
    return moved


def _by_lower_end(southwest: Quarters) -> Quarters:
    """Store each coupling at its lower left point, not at its upper right one."""
    ends = [move(southwest[1 - p, 1 - q], p - 1, q) for p, q in PARITIES]
    return np.stack(ends).reshape(southwest.shape)


@dataclass(frozen=True, kw_only=True)
class Interpolation:
    """Weights of the points between the coarse ones, (coarse rows, coarse columns) each."""

    across: tuple[Array, Array]  # left and right, at even rows and odd columns
    down: tuple[Array, Array]  # upper and lower, at odd rows and even columns
    centre: tuple[Array, Array, Array, Array]  # the corners, at odd rows and odd columns


def coarsen(fine: Couplings) -> tuple[Interpolation, Couplings]:
    """Return the weights from the grid of every second row and column, and P'AP on that grid."""
    weights = _interpolate_by(fine)
    coupling = _project(_fine_couplings(fine, weights), weights.across[0].shape)
    return weights, _assemble(coupling, _coarse_mass(fine.mass, weights))


def _at(quarters: Quarters, dy: int, dx: int) -> Array:
    """Return the values at an offset from the upper left corner of each cell."""
    return move(quarters[dy % 2, dx % 2], dy // 2, dx // 2)


def _interpolate_by(fine: Couplings) -> Interpolation:
    """Return weights in proportion to the pull of the couplings."""
    east, south, se, sw = fine.east, fine.south, fine.southeast, fine.southwest
    to_west, to_east = _at(east, 0, 0), _at(east, 0, 1)
    to_north, to_south = _at(south, 0, 0), _at(south, 1, 0)
    if se is not None and sw is not None:
        to_west = to_west + _at(se, -1, 0) + _at(sw, 0, 1)
        to_east = to_east + _at(sw, -1, 2) + _at(se, 0, 1)
        to_north = to_north + _at(se, 0, -1) + _at(sw, 0, 1)
        to_south = to_south + _at(sw, 1, 0) + _at(se, 1, 0)
    across, down = _share(to_west, to_east), _share(to_north, to_south)
    top, left, right, bottom = _sides(across, down)
    pulls: list[tuple[Array, Point]] = [
        (_at(south, 0, 1), top),
        (_at(east, 1, 0), left),
        (_at(east, 1, 1), right),
        (_at(south, 1, 1), bottom),
    ]
    if se is not None and sw is not None:
        strengths = (_at(se, 0, 0), _at(sw, 0, 2), _at(sw, 1, 1), _at(se, 1, 1))
        pulls += [(strength, _corner(a)) for a, strength in enumerate(strengths)]
    pulls = [(_pull(strength), point) for strength, point in pulls]
    total = np.full_like(to_west, TINY)
    reach = np.zeros((4, *total.shape), np.float32)
    for strength, point in pulls:
        total += strength
        for a, weight in enumerate(point):
            if _is_set(weight):
                reach[a] += strength * weight
    reach /= total
    return Interpolation(across=across, down=down, centre=(reach[0], reach[1], reach[2], reach[3]))


def _pull(coupling: Array) -> Array:
    """Return how strongly a coupling draws a point to its neighbour's value.

    A negative one draws hardly at all, but enough for weights that sum to 1 where a point has no
    other: P'AP is a Laplacian, and positive, only because P maps constants to constants.
    """
    return np.where(coupling > 0, coupling, np.float32(-1e-6) * coupling)


def _share(first: Array, second: Array) -> tuple[Array, Array]:
    """Return the weights of a point between two coarse ones."""
    first, second = _pull(first), _pull(second)
    total = first + second + TINY
    return first / total, second / total


def _sides(across: tuple[Array, Array], down: tuple[Array, Array]) -> tuple[Point, ...]:
    """Return the points in the middle of a cell's upper, left, right and lower side."""
    below = [move(weight, 1, 0) for weight in across]
    beside = [move(weight, 0, 1) for weight in down]
    top = (across[0], across[1], 0.0, 0.0)
    left = (down[0], 0.0, down[1], 0.0)
    right = (0.0, beside[0], 0.0, beside[1])
    bottom = (0.0, 0.0, below[0], below[1])
    return top, left, right, bottom


def _corner(which: int) -> Point:
    w0, w1, w2, w3 = (float(which == a) for a in range(4))
    return w0, w1, w2, w3


def _is_set(weight: Array | float) -> bool:
    """Return whether a weight is anything but a plain zero."""
    return not isinstance(weight, float) or weight != 0.0


def _fine_couplings(
    fine: Couplings, weights: Interpolation
) -> Iterator[tuple[Array, Point, Point]]:
    """Yield the fine couplings of a cell but for its right and lower side, with their points."""
    east, south, se, sw = fine.east, fine.south, fine.southeast, fine.southwest
    top, left, right, bottom = _sides(weights.across, weights.down)
    c0, c1, c2, c3 = (_corner(a) for a in range(4))
    centre = weights.centre
    yield _at(east, 0, 0), c0, top
    yield _at(east, 0, 1), top, c1
    yield _at(south, 0, 0), c0, left
    yield _at(south, 1, 0), left, c2
    yield _at(south, 0, 1), top, centre
    yield _at(south, 1, 1), centre, bottom
    yield _at(east, 1, 0), left, centre
    yield _at(east, 1, 1), centre, right
    if se is not None and sw is not None:
        yield _at(se, 0, 0), c0, centre
        yield _at(se, 1, 1), centre, c3
        yield _at(sw, 0, 2), c1, centre
        yield _at(sw, 1, 1), centre, c2
        yield _at(se, 0, 1), top, right
        yield _at(se, 1, 0), left, bottom
        yield _at(sw, 0, 1), top, left
        yield _at(sw, 1, 2), right, bottom


def _project(
    fine_couplings: Iterator[tuple[Array, Point, Point]], shape: tuple[int, ...]
) -> dict[tuple[int, int], Array]:
    """Form P'LP by cells: w between p and q couples corners a, b by -w (p - q)[a] (p - q)[b]."""
    coupling = {pair: np.zeros(shape, np.float32) for pair in PAIRS}
    for strength, first, second in fine_couplings:
        step = [p - q for p, q in zip(first, second, strict=True)]
        for a, b in PAIRS:
            if _is_set(step[a]) and _is_set(step[b]):
                coupling[a, b] -= strength * step[a] * step[b]
    return coupling


def _assemble(coupling: dict[tuple[int, int], Array], mass: Array) -> Couplings:
    """Add what the cells on both sides of a coarse line contribute."""
    east, south, southwest = coupling[0, 1], coupling[0, 2], np.zeros_like(mass)
    east[1:] += coupling[2, 3][:-1]
    south[:, 1:] += coupling[1, 3][:, :-1]
    southwest[:, 1:] = coupling[1, 2][:, :-1]
    return Couplings(
        mass=split(mass, 1),
        east=split(east),
        south=split(south),
        southeast=split(coupling[0, 3]),
        southwest=split(southwest),
    )


def _coarse_mass(mass: Quarters, weights: Interpolation) -> Array:
    """Return the mass of the coarse points, which share that of each fine point (P'M, lumped)."""
    height, width = weights.across[0].shape
    total = np.zeros((height + 1, width + 1), np.float32)
    top, left, _, _ = _sides(weights.across, weights.down)
    points = ((0, 0, _corner(0)), (0, 1, top), (1, 0, left), (1, 1, weights.centre))
    for dy, dx, point in points:
        for corner, weight in enumerate(point):
            if _is_set(weight):
                y, x = divmod(corner, 2)
                total[y : y + height, x : x + width] += weight * _at(mass, dy, dx)
    return total[:height, :width]
