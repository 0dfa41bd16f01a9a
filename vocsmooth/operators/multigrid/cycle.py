"""The grids in NumPy: line solves, coarse grids, one V-cycle (solver.py describes the method).

Fields (C, H, W) are taken apart into quarters (coarsening.split) while a grid is at work. What is
said here of rows holds for columns too: they are the rows of the turned quarters, which are views
of the same memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import spttrf, spttrs

from vocsmooth.errors import ConvergenceError
from vocsmooth.operators.multigrid.coarsening import (
    HERE,
    PARITIES,
    THERE,
    Array,
    Couplings,
    Interpolation,
    Quarters,
    coarsen,
    join,
    split,
    turn,
)

ALL = slice(None)

NEIGHBOURS = ((-1, 0), (0, 1))
"""Where in the other parity's quarter the neighbours of an even, and of an odd, point are."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A grid as rows and as columns, and (but for the coarsest) the weights from the next grid."""

    shape: tuple[int, int]
    rows: Lines
    columns: Lines
    weights: Interpolation | None = None


@dataclass(frozen=True, kw_only=True)
class Lines:
    """Couplings, and the factored systems of the even and of the odd rows."""

    couplings: Couplings
    factors: tuple[Factors, Factors]


@dataclass(frozen=True, kw_only=True)
class Factors:
    """The systems of all rows of one parity: odd points are eliminated, even ones factored.

    `scale` is 1 / diagonal of the odd points, `gain` and `following` are the weights of the even
    points before and after them; `pivots` and `multipliers` are L D L' of what is left, the rows
    end to end as one tridiagonal system.
    """

    scale: Array
    gain: Array
    following: Array
    pivots: Array
    multipliers: Array


def build_grids(east: NDArray[np.floating], south: NDArray[np.floating]) -> list[Grid]:
    """Coarsen the five-point system with mass 1 until a grid is a single line."""
    shape = east.shape[0], east.shape[1]
    couplings = Couplings(mass=split(np.ones(shape), 1), east=split(east), south=split(south))
    grids = []
    while min(shape) > 1:
        weights, coarser = coarsen(couplings)
        grids.append(_factor_grid(shape, couplings, weights))
        couplings = coarser
        shape = (shape[0] + 1) // 2, (shape[1] + 1) // 2
    grids.append(_factor_grid(shape, couplings, None))
    return grids


def cycle(grids: list[Grid], rhs: Array) -> Array:
    """Run one V-cycle from zero, which approximates A^-1 rhs: rows on the way down, columns up."""
    grid = grids[0]
    right_side = split(rhs)
    x = np.zeros_like(right_side)
    x[0] = right_side[0]
    _solve(grid.rows.factors[0], *x[0])  # beside odd rows that are still zero
    _sweep(grid.rows, x, right_side, 1)
    if grid.weights is not None:
        residual = _from_beside(grid.rows.couplings, x, 0)  # odd rows have none after the sweep
        _interpolate(grid.weights, x, cycle(grids[1:], _restrict(grid.weights, residual)))
    for parity in (0, 1):
        _sweep(grid.columns, turn(x), turn(right_side), parity)
    return join(x, grid.shape)


def _factor_grid(
    shape: tuple[int, int], couplings: Couplings, weights: Interpolation | None
) -> Grid:
    """Factor the row and the column systems of a grid."""
    rows, columns = _factor_rows(couplings), _factor_rows(couplings.turned())
    return Grid(shape=shape, rows=rows, columns=columns, weights=weights)


def _factor_rows(couplings: Couplings) -> Lines:
    return Lines(couplings=couplings, factors=(_factor(couplings, 0), _factor(couplings, 1)))


def _factor(couplings: Couplings, parity: int) -> Factors:
    """Factor the systems of the rows of one parity."""
    ones = np.ones_like(couplings.mass)[:, :, np.newaxis]
    to_odd, to_even = couplings.east[parity]
    even, odd = couplings.mass[parity] + to_odd + _from_beside(couplings, ones, parity)[:, 0]
    odd += to_even
    even[:, 1:] += to_even[:, :-1]
    scale = 1 / odd
    gain, following = to_odd * scale, to_even * scale
    even -= to_odd * gain
    even[:, 1:] -= (to_even * following)[:, :-1]
    pivots, multipliers = even.ravel(), -(to_odd * following).ravel()[:-1]
    if pivots.size > 1:  # LAPACK's wrapper wants an off-diagonal
        pivots, multipliers, _ = spttrf(pivots, multipliers)
    if not np.all(pivots > 0):
        raise ConvergenceError("A line system of the multigrid is not positive definite.")
    return Factors(
        scale=scale, gain=gain, following=following, pivots=pivots, multipliers=multipliers
    )


def _from_beside(couplings: Couplings, x: Quarters, parity: int) -> Array:
    """Return what the rows of one parity receive from the rows between them.

    South couplings of even rows join an even and an odd row of the same index, those of odd rows
    join an odd row and the next even one.
    """
    south, se, sw = couplings.south, couplings.southeast, couplings.southwest
    other, (up, down) = 1 - parity, NEIGHBOURS[parity]
    total: Array = south[0][:, np.newaxis] * x[other]
    far = down or up  # the neighbour of another index
    for column, (left, right) in enumerate(NEIGHBOURS):
        here, there = total[column][:, HERE[far]], x[other, column][:, THERE[far]]
        _add_product(here, south[1, column, HERE[1]], there)
        if se is not None and sw is not None:
            beside = x[other, 1 - column]
            for strength, dy, dx in (
                (se[other, 1 - column, THERE[up], THERE[left]], up, left),
                (sw[other, 1 - column, THERE[up], THERE[right]], up, right),
                (sw[parity, column, HERE[down], HERE[left]], down, left),
                (se[parity, column, HERE[down], HERE[right]], down, right),
            ):
                here = total[column][:, HERE[dy], HERE[dx]]
                _add_product(here, strength, beside[:, THERE[dy], THERE[dx]])
    return total


def _sweep(lines: Lines, x: Quarters, rhs: Quarters, parity: int) -> None:
    """Solve the rows of one parity beside the others."""
    np.add(_from_beside(lines.couplings, x, parity), rhs[parity], out=x[parity])
    _solve(lines.factors[parity], *x[parity])


def _solve(factors: Factors, even: Array, odd: Array) -> None:
    """Solve rows in place, given the right side at even and at odd points."""
    gain, following = factors.gain, factors.following
    _add_product(even, gain, odd)
    _add_product(even[..., 1:], following[..., :-1], odd[..., :-1])
    if factors.pivots.size > 1:
        rows = np.ascontiguousarray(even).reshape(len(even), -1)
        solution, _ = spttrs(factors.pivots, factors.multipliers, rows.T, overwrite_b=True)
        even[...] = solution.T.reshape(even.shape)
    else:
        even /= factors.pivots
    odd *= factors.scale
    _add_product(odd, gain, even)
    _add_product(odd[..., :-1], following[..., :-1], even[..., 1:])


def _add_product(total: Array, strength: Array, field: Array) -> None:
    """Add `strength` (h, w) times `field` (C, h, w) in one pass, without storing the product.

    That memory would cost several times the arithmetic. OpenCV wants rows that lie end to end.
    """
    if not field.size:
        return
    if total.strides[-1] > total.strides[-2]:
        total, field = total.swapaxes(-1, -2), field.swapaxes(-1, -2)
        strength = strength.T
    for plane, values in zip(total, field, strict=True):
        cv2.accumulateProduct(strength, values, plane)


def _restrict(weights: Interpolation, residual: Array) -> Array:
    """Return the right side of the next grid, from the residual on the even rows."""
    even, odd = residual
    left, right = weights.across
    rhs: Array = even.copy()
    _add_product(rhs, left, odd)
    _add_product(rhs[..., 1:], right[..., :-1], odd[..., :-1])
    return rhs


def _interpolate(weights: Interpolation, x: Quarters, coarse: Array) -> None:
    """Add the next grid's correction to the odd columns; the column sweep reads no others."""
    for target, strengths in ((x[0, 1], weights.across), (x[1, 1], weights.centre)):
        for strength, (down, right) in zip(strengths, PARITIES, strict=False):
            here, there = (HERE[down], HERE[right]), (THERE[down], THERE[right])
            _add_product(target[(ALL, *here)], strength[here], coarse[(ALL, *there)])
