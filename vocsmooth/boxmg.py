"""The grids of vocsmooth/multigrid.py in NumPy: line solves, coarse grids, one V-cycle.

Arrays have a border of zeros one point wide, so that a neighbour outside the image counts as zero.
A coupling is stored at its left or upper point.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import spttrf, spttrs

from vocsmooth.errors import ConvergenceError
from vocsmooth.galerkin import Couplings, Interpolation, coarsen

Field = NDArray[np.float32]
"""(C, H + 2, W + 2)"""

INSIDE, NEXT, BEFORE = slice(1, -1), slice(2, None), slice(0, -2)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Couplings, factored line systems, and (but for the coarsest) the weights from the next grid.

    `rows` and `columns` hold the factors of the even and of the odd lines.
    """

    couplings: Couplings
    rows: tuple[LineFactors, LineFactors]
    columns: tuple[LineFactors, LineFactors]
    weights: Interpolation | None = None


@dataclass(frozen=True, kw_only=True)
class LineFactors:
    """L D L' of all lines of one parity, end to end as one tridiagonal system."""

    diagonal: NDArray[np.float32]
    subdiagonal: NDArray[np.float32]


def build_grids(east: NDArray[np.floating], south: NDArray[np.floating]) -> list[Grid]:
    """Coarsen the five-point system with mass 1 until a grid is a single line."""
    couplings = Couplings(
        mass=bordered(np.ones_like(east)), east=bordered(east), south=bordered(south)
    )
    grids = []
    while min(couplings.mass.shape) > 3:
        weights, coarser = coarsen(couplings)
        grids.append(_factor(couplings, weights))
        couplings = coarser
    grids.append(_factor(couplings, None))
    return grids


def cycle(grids: list[Grid], rhs: Field) -> Field:
    """One V-cycle from zero, an approximation to A^-1 rhs: rows down, columns up."""
    grid = grids[0]
    x = _sweep_rows(grid, rhs)
    if grid.weights is not None:
        residual = _from_rows(grid.couplings, x, 0)  # the odd rows have none after the sweep
        _interpolate(grid.weights, x, cycle(grids[1:], _restrict(grid.weights, residual)))
    _sweep_columns(grid, x, rhs)
    return x


def bordered(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Add the border of zeros to the last two axes."""
    padding = ((0, 0),) * (values.ndim - 2) + ((1, 1), (1, 1))
    return np.pad(values.astype(np.float32), padding)


def _factor(couplings: Couplings, weights: Interpolation | None) -> Grid:
    """Factor the row and the column systems of a grid."""
    diagonal = _diagonal(couplings)
    east = couplings.east[INSIDE, INSIDE]
    south = couplings.south[INSIDE, INSIDE].T
    return Grid(
        couplings=couplings,
        weights=weights,
        rows=(_factor_lines(diagonal[::2], east[::2]), _factor_lines(diagonal[1::2], east[1::2])),
        columns=(
            _factor_lines(diagonal.T[::2], south[::2]),
            _factor_lines(diagonal.T[1::2], south[1::2]),
        ),
    )


def _diagonal(couplings: Couplings) -> NDArray[np.float32]:
    """Diagonal of the system, without border: mass and all couplings of a point."""
    east, south = couplings.east, couplings.south
    total = couplings.mass[INSIDE, INSIDE] + east[INSIDE, INSIDE] + east[INSIDE, BEFORE]
    total += south[INSIDE, INSIDE] + south[BEFORE, INSIDE]
    if couplings.southeast is not None and couplings.southwest is not None:
        total += couplings.southeast[INSIDE, INSIDE] + couplings.southeast[BEFORE, BEFORE]
        total += couplings.southwest[INSIDE, INSIDE] + couplings.southwest[BEFORE, NEXT]
    return total


def _factor_lines(diagonal: NDArray[np.float32], coupling: NDArray[np.float32]) -> LineFactors:
    """Factor lines that lie along the last axis; the last coupling of each is zero."""
    if diagonal.size < 2:  # LAPACK's wrapper wants an off-diagonal
        return LineFactors(diagonal=diagonal.ravel(), subdiagonal=coupling.ravel()[:0])
    pivots, multipliers, failed = spttrf(diagonal.ravel(), -coupling.ravel()[:-1])
    if failed:
        raise ConvergenceError("A line system of the multigrid is not positive definite.")
    return LineFactors(diagonal=pivots, subdiagonal=multipliers)


def _solve_lines(factors: LineFactors, rhs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Solve the lines along the last axis of `rhs` (C, lines, length)."""
    if factors.diagonal.size < 2:
        return rhs / factors.diagonal if rhs.size else rhs
    flat = rhs.reshape(rhs.shape[0], -1).T
    solution, _ = spttrs(factors.diagonal, factors.subdiagonal, flat, overwrite_b=True)
    solved: NDArray[np.float32] = solution.T.reshape(rhs.shape)
    return solved


def _from_rows(couplings: Couplings, x: Field, parity: int) -> NDArray[np.float32]:
    """What the rows of one parity get from the rows between them."""
    height = x.shape[1] - 2
    here, above = slice(1 + parity, height + 1, 2), slice(parity, height, 2)
    below = slice(2 + parity, height + 2, 2)
    south, se, sw = couplings.south, couplings.southeast, couplings.southwest
    total = south[above, INSIDE] * x[:, above, INSIDE]
    total += south[here, INSIDE] * x[:, below, INSIDE]
    if se is not None and sw is not None:
        total += se[above, BEFORE] * x[:, above, BEFORE]
        total += sw[above, NEXT] * x[:, above, NEXT]
        total += sw[here, INSIDE] * x[:, below, BEFORE]
        total += se[here, INSIDE] * x[:, below, NEXT]
    return total


def _from_columns(couplings: Couplings, x: Field, parity: int) -> NDArray[np.float32]:
    """What the columns of one parity get from the columns between them."""
    width = x.shape[2] - 2
    here, left = slice(1 + parity, width + 1, 2), slice(parity, width, 2)
    right = slice(2 + parity, width + 2, 2)
    east, se, sw = couplings.east, couplings.southeast, couplings.southwest
    total = east[INSIDE, left] * x[:, INSIDE, left]
    total += east[INSIDE, here] * x[:, INSIDE, right]
    if se is not None and sw is not None:
        total += se[BEFORE, left] * x[:, BEFORE, left]
        total += sw[BEFORE, right] * x[:, BEFORE, right]
        total += sw[INSIDE, here] * x[:, NEXT, left]
        total += se[INSIDE, here] * x[:, NEXT, right]
    return total


def _sweep_rows(grid: Grid, rhs: Field) -> Field:
    """Solve the even rows with zeros beside them, then the odd rows beside those."""
    x = np.zeros_like(rhs)
    x[:, 1:-1:2, INSIDE] = _solve_lines(grid.rows[0], rhs[:, 1:-1:2, INSIDE].copy())
    beside = _from_rows(grid.couplings, x, 1)
    beside += rhs[:, 2:-1:2, INSIDE]
    x[:, 2:-1:2, INSIDE] = _solve_lines(grid.rows[1], beside)
    return x


def _sweep_columns(grid: Grid, x: Field, rhs: Field) -> None:
    """Solve the even columns beside the odd ones, then the odd columns beside those."""
    for parity in (0, 1):
        beside = _from_columns(grid.couplings, x, parity)
        beside += rhs[:, INSIDE, 1 + parity : -1 : 2]
        lines = np.ascontiguousarray(beside.transpose(0, 2, 1))
        solution = _solve_lines(grid.columns[parity], lines)
        x[:, INSIDE, 1 + parity : -1 : 2] = solution.transpose(0, 2, 1)


def _restrict(weights: Interpolation, residual: NDArray[np.float32]) -> Field:
    """Right side of the next grid, from the residual on the even rows."""
    odd = residual[:, :, 1::2]
    columns = odd.shape[2]
    left, right = (weight[:, :columns] for weight in weights.across)
    height, width = weights.across[0].shape
    rhs = np.zeros((len(residual), height + 2, width + 2), np.float32)
    rhs[:, INSIDE, INSIDE] = residual[:, :, ::2]
    rhs[:, INSIDE, 1 : 1 + columns] += left * odd
    rhs[:, INSIDE, 2 : 2 + columns] += right * odd
    rhs[:, :, -1] = 0
    return rhs


def _interpolate(weights: Interpolation, x: Field, coarse: Field) -> None:
    """Add the next grid's correction to the odd columns; the column sweep reads no others."""
    rows, columns = (x.shape[1] - 2) // 2, (x.shape[2] - 2) // 2
    here, right = coarse[:, INSIDE, INSIDE], coarse[:, INSIDE, NEXT]
    below, below_right = coarse[:, NEXT, INSIDE], coarse[:, NEXT, NEXT]
    first, second = weights.across
    x[:, 1:-1:2, 2:-1:2] += (first * here + second * right)[:, :, :columns]
    c0, c1, c2, c3 = weights.centre
    centre = c0 * here + c1 * right + c2 * below + c3 * below_right
    x[:, 2:-1:2, 2:-1:2] += centre[:, :rows, :columns]
