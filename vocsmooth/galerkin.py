"""The coarse grids of vocsmooth/multigrid.py in NumPy: interpolation weights and P'AP.

A coarse cell has four corners (0 upper left, 1 upper right, 2 lower left, 3 lower right), which are
every second point of the fine grid, the middle of each side, and a centre. The weights of a fine
point are those of its four corners, a plain 0.0 standing for an array of zeros.
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

INSIDE, NEXT, BEFORE = slice(1, -1), slice(2, None), slice(0, -2)


@dataclass(frozen=True, kw_only=True)
class Couplings:
    """A graph Laplacian and the mass; a coupling is stored at its left or upper point.

    Arrays are (H + 2, W + 2) with a border of zeros. The finest grid has no diagonal couplings.
    """

    mass: Array
    east: Array
    south: Array
    southeast: Array | None = None
    southwest: Array | None = None


@dataclass(frozen=True, kw_only=True)
class Interpolation:
    """Weights of the points between the coarse ones, (coarse rows, coarse columns) each."""

    across: tuple[Array, Array]  # left and right, at even rows and odd columns
    down: tuple[Array, Array]  # upper and lower, at odd rows and even columns
    centre: tuple[Array, Array, Array, Array]  # the corners, at odd rows and odd columns


@dataclass(frozen=True, kw_only=True)
class _Cells:
    """A coefficient as the coarse cells see it, zero outside the image."""

    padded: Array
    height: int
    width: int

    def at(self, dy: int, dx: int) -> Array:
        """Value at an offset from the upper left corner of each cell."""
        rows = slice(1 + dy, 1 + dy + 2 * self.height, 2)
        return self.padded[rows, 1 + dx : 1 + dx + 2 * self.width : 2]


def coarsen(fine: Couplings) -> tuple[Interpolation, Couplings]:
    """Return the weights from the grid of every second row and column, and P'AP on that grid."""
    mass, east, south = _cells(fine.mass), _cells(fine.east), _cells(fine.south)
    diagonal = None
    if fine.southeast is not None and fine.southwest is not None:
        diagonal = (_cells(fine.southeast), _cells(fine.southwest))
    weights = _interpolate_by(east, south, diagonal)
    coupling = _project(_fine_couplings(east, south, diagonal, weights), weights.across[0].shape)
    return weights, _assemble(coupling, _coarse_mass(mass, weights))


def _cells(values: Array) -> _Cells:
    height, width = (values.shape[0] - 1) // 2, (values.shape[1] - 1) // 2
    padded = np.zeros((2 * height + 3, 2 * width + 3), np.float32)
    padded[: values.shape[0], : values.shape[1]] = values
    return _Cells(padded=padded, height=height, width=width)


def _interpolate_by(
    east: _Cells, south: _Cells, diagonal: tuple[_Cells, _Cells] | None
) -> Interpolation:
    """Weights in proportion to what the couplings pull."""
    to_west, to_east = east.at(0, 0), east.at(0, 1)
    to_north, to_south = south.at(0, 0), south.at(1, 0)
    if diagonal:
        se, sw = diagonal
        to_west = to_west + se.at(-1, 0) + sw.at(0, 1)
        to_east = to_east + sw.at(-1, 2) + se.at(0, 1)
        to_north = to_north + se.at(0, -1) + sw.at(0, 1)
        to_south = to_south + sw.at(1, 0) + se.at(1, 0)
    across, down = _share(to_west, to_east), _share(to_north, to_south)
    top, left, right, bottom = _sides(across, down)
    pulls: list[tuple[Array, Point]] = [
        (south.at(0, 1), top),
        (east.at(1, 0), left),
        (east.at(1, 1), right),
        (south.at(1, 1), bottom),
    ]
    if diagonal:
        se, sw = diagonal
        strengths = (se.at(0, 0), sw.at(0, 2), sw.at(1, 1), se.at(1, 1))
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
    """How strongly a coupling draws a point to its neighbour's value.

    A negative one draws hardly at all, but enough for weights that sum to 1 where a point has no
    other: P'AP is a Laplacian, and positive, only because P maps constants to constants.
    """
    return np.where(coupling > 0, coupling, np.float32(-1e-6) * coupling)


def _share(first: Array, second: Array) -> tuple[Array, Array]:
    """Weights of a point between two coarse ones."""
    first, second = _pull(first), _pull(second)
    total = first + second + TINY
    return first / total, second / total


def _sides(across: tuple[Array, Array], down: tuple[Array, Array]) -> tuple[Point, ...]:
    """The points in the middle of a cell's upper, left, right and lower side."""
    below = [np.pad(weight, ((0, 1), (0, 0)))[1:] for weight in across]
    beside = [np.pad(weight, ((0, 0), (0, 1)))[:, 1:] for weight in down]
    top = (across[0], across[1], 0.0, 0.0)
    left = (down[0], 0.0, down[1], 0.0)
    right = (0.0, beside[0], 0.0, beside[1])
    bottom = (0.0, 0.0, below[0], below[1])
    return top, left, right, bottom


def _corner(which: int) -> Point:
    w0, w1, w2, w3 = (float(which == a) for a in range(4))
    return w0, w1, w2, w3


def _is_set(weight: Array | float) -> bool:
    """Whether a weight is more than the plain zero."""
    return not isinstance(weight, float) or weight != 0.0


def _fine_couplings(
    east: _Cells, south: _Cells, diagonal: tuple[_Cells, _Cells] | None, weights: Interpolation
) -> Iterator[tuple[Array, Point, Point]]:
    """Yield each fine coupling of a cell with its two points; right and lower sides are others'."""
    top, left, right, bottom = _sides(weights.across, weights.down)
    c0, c1, c2, c3 = (_corner(a) for a in range(4))
    centre = weights.centre
    yield east.at(0, 0), c0, top
    yield east.at(0, 1), top, c1
    yield south.at(0, 0), c0, left
    yield south.at(1, 0), left, c2
    yield south.at(0, 1), top, centre
    yield south.at(1, 1), centre, bottom
    yield east.at(1, 0), left, centre
    yield east.at(1, 1), centre, right
    if diagonal:
        se, sw = diagonal
        yield se.at(0, 0), c0, centre
        yield se.at(1, 1), centre, c3
        yield sw.at(0, 2), c1, centre
        yield sw.at(1, 1), centre, c2
        yield se.at(0, 1), top, right
        yield se.at(1, 0), left, bottom
        yield sw.at(0, 1), top, left
        yield sw.at(1, 2), right, bottom


def _project(
    fine_couplings: Iterator[tuple[Array, Point, Point]], shape: tuple[int, ...]
) -> dict[tuple[int, int], Array]:
    """P'LP cell by cell: w between p and q couples corners a, b by -w (p - q)[a] (p - q)[b]."""
    coupling = {pair: np.zeros(shape, np.float32) for pair in PAIRS}
    for strength, first, second in fine_couplings:
        step = [p - q for p, q in zip(first, second, strict=True)]
        for a, b in PAIRS:
            if _is_set(step[a]) and _is_set(step[b]):
                coupling[a, b] -= strength * step[a] * step[b]
    return coupling


def _assemble(coupling: dict[tuple[int, int], Array], mass: Array) -> Couplings:
    """Add what the cells on both sides of a coarse line contribute, inside a border of zeros."""
    east, south, southeast, southwest = (np.zeros_like(mass) for _ in range(4))
    east[INSIDE, INSIDE] = coupling[0, 1]
    east[NEXT, INSIDE] += coupling[2, 3]
    south[INSIDE, INSIDE] = coupling[0, 2]
    south[INSIDE, NEXT] += coupling[1, 3]
    southeast[INSIDE, INSIDE] = coupling[0, 3]
    southwest[INSIDE, NEXT] = coupling[1, 2]
    for values in (east, south, southeast, southwest):
        values[-1] = 0
        values[:, -1] = 0
    return Couplings(mass=mass, east=east, south=south, southeast=southeast, southwest=southwest)


def _coarse_mass(mass: _Cells, weights: Interpolation) -> Array:
    """Mass of the coarse points: each fine point's goes to its corners (P'M, lumped)."""
    total = np.zeros((mass.height + 2, mass.width + 2), np.float32)
    places = ((INSIDE, INSIDE), (INSIDE, NEXT), (NEXT, INSIDE), (NEXT, NEXT))
    top, left, _, _ = _sides(weights.across, weights.down)
    points = ((0, 0, _corner(0)), (0, 1, top), (1, 0, left), (1, 1, weights.centre))
    for dy, dx, point in points:
        for place, weight in zip(places, point, strict=True):
            if _is_set(weight):
                total[place] += weight * mass.at(dy, dx)
    total[-1] = 0
    total[:, -1] = 0
    return total
