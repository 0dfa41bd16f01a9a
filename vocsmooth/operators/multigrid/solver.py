"""Solve (1 + L) x = b, where L is the graph Laplacian of an image's coupled pixels.

System. Each pixel is held to its value b by 1 and to its four neighbours by couplings w >= 0:
x_i + sum_j w_ij (x_i - x_j) = b_i. Couplings range over several decades and follow no axis.

Method. Conjugate gradients, preconditioned by one V-cycle of black-box multigrid:

- Grids. The next grid is every second row and column, until a grid is a single line. A point
  between coarse ones takes from each in proportion to the couplings on that side; the coarse
  operator is P'LP, a nine-point Laplacian, with the mass P'M lumped. P'LP has negative couplings.
  They stay in the operator, but draw next to nothing in the weights, which would otherwise blow
  up. Yet weights must sum to 1 even where all couplings of a point are negative, as happens in
  strong smoothing: the operator is kept as couplings alone, which is right, and positive, only if
  P maps constants to constants. Weights of 0 in such a place end in pivots below 0 and in NaN.
- Cycle, from x = 0. On the way down zebra sweeps along rows (all even rows at once, then all odd
  ones), on the way up zebra sweeps along columns, each line solved exactly. After the sweep along
  rows the residual is zero on odd rows; before the sweep along columns even columns count for
  nothing. Restriction and interpolation leave out what is known to be zero or unused.
- Gradients. The cycle is not symmetric, so they are the flexible kind: each direction is made
  conjugate to the last one with the present preconditioned residual. Without them hard systems
  (lam 0.05, sharpness 0.005) gain a factor of 1.2 to 1.5 a cycle, with them 2 to 4, easy ones 10.

Stop rule. A = 1 + L has row sums 1 and no positive off-diagonal, so A^-1 >= 0 with row sums 1 and
max |x - A^-1 b| <= max |b - A x|: the largest pixel of the residual bounds the error of every
pixel. The residual is that of the double-precision x in double precision; cycles and gradients are
in single precision and solve for the correction.

The C kernels (csrc/multigrid.c and what it names) and the NumPy here, in cycle.py and in
coarsening.py, with LAPACK's pttrf and pttrs for the lines, are the same algorithm.

References
----------
J. E. Dendy: Black Box Multigrid, J. Comput. Phys. 48, 1982. R. E. Alcouffe, A. Brandt, J. E. Dendy,
J. W. Painter: The Multi-Grid Method for the Diffusion Equation with Strongly Discontinuous
Coefficients, SIAM J. Sci. Stat. Comput. 2, 1981. Y. Notay: Flexible Conjugate Gradients, SIAM J.
Sci. Comput. 22, 2000.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vocsmooth.errors import ConvergenceError
from vocsmooth.operators import compiled_solvers, kernels
from vocsmooth.operators.compiled import Couplings, Planes
from vocsmooth.operators.multigrid.cycle import Grid, build_grids, cycle

MAX_CYCLES = 200

MOST_IDLE = 48 << 20
"""Bytes of all workspaces that are kept for the next solvers: one of 640 x 480 x 3 pixels."""

SINGLE_PRECISION_GAIN = 1e-5
"""How far gradients in single precision reduce a residual before it is computed anew."""


@dataclass(frozen=True, kw_only=True)
class _System:
    """The matrix and the grids that precondition it."""

    east: Couplings
    south: Couplings
    grids: list[Grid]


Solver = Callable[[Couplings, Couplings, Planes, Planes, float], Planes]


def solver(shape: tuple[int, int, int]) -> Solver:
    """Return the fastest available solver for images of a shape (C, H, W), with its memory.

    It takes ``(east, south, image, guess, tolerance)``: couplings (H, W) to the right and lower
    neighbour, zero in the last column and row; b; a first guess; and the largest error allowed. It
    returns x, until the next call, and raises ConvergenceError if the residual stays above the
    tolerance.
    """
    return kernels.choose(_compiled_solver, _numpy_solver)(shape)


def _numpy_solver(_: tuple[int, int, int]) -> Solver:
    """Return the solver in NumPy, which allocates memory as it goes."""
    return solve_screened


class _Idle:
    """Workspaces that compiled solvers left, for images of the same shapes in any thread.

    Systems give pages back and ask for them anew, cleared, with every large array. That costs RTV
    one or two hundredths of its time, and an eighth where each of its systems does it.
    """

    def __init__(self) -> None:
        self._kept: list[tuple[tuple[int, ...], NDArray[np.float32]]] = []
        # Nobody waits for it, since a process may have been forked while another thread had it.
        self._lock = threading.Lock()

    def take(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return a workspace, one that was left if it fits."""
        if self._lock.acquire(blocking=False):
            try:
                shapes = [kept for kept, _ in self._kept]
                if shape in shapes:
                    return self._kept.pop(shapes.index(shape))[1]
            finally:
                self._lock.release()
        return compiled_solvers.screened_workspace(shape)

    def keep(self, shape: tuple[int, ...], workspace: NDArray[np.float32]) -> bool:
        """Keep a workspace in the place of the oldest; return False if it is too large for that."""
        if workspace.nbytes > MOST_IDLE:
            return False
        if self._lock.acquire(blocking=False):
            try:
                self._kept.append((shape, workspace))
                while sum(kept.nbytes for _, kept in self._kept) > MOST_IDLE:
                    del self._kept[0]
            finally:
                self._lock.release()
        return True


_idle = _Idle()


def _compiled_solver(shape: tuple[int, int, int]) -> Solver:
    """Return the compiled solver with its memory; its results share one array.

    A workspace that is too large to outlive the solver serves all of its systems.
    """
    solution = np.empty(shape)
    own: NDArray[np.float32] | None = None

    def solve_compiled(
        east: Couplings, south: Couplings, image: Planes, guess: Planes, tolerance: float
    ) -> Planes:
        nonlocal own
        if guess is not solution:
            solution[...] = guess
        workspace = _idle.take(shape) if own is None else own
        own = None  # after failures NaN may be where the solver wants zeros
        solved = compiled_solvers.solve_screened(
            east,
            south,
            image,
            solution,
            tolerance=tolerance,
            max_cycles=MAX_CYCLES,
            workspace=workspace,
        )
        if not solved.residual <= tolerance:
            raise _not_converged(solved.residual, tolerance)
        if not _idle.keep(shape, workspace):
            own = workspace
        return solution

    return solve_compiled


def solve_screened(
    east: Couplings, south: Couplings, image: Planes, guess: Planes, tolerance: float
) -> Planes:
    """Solve (1 + L) x = image in NumPy; see `solver`."""
    system = _System(east=east, south=south, grids=build_grids(east, south))
    x = guess.copy()
    cycles = 0
    while True:
        residual = np.stack(
            [b - apply_system(east, south, p) for b, p in zip(image, x, strict=True)]
        )
        worst = float(np.abs(residual).max())
        if worst <= tolerance:
            return x
        if cycles >= MAX_CYCLES or not np.isfinite(worst):
            raise _not_converged(worst, tolerance)
        enough = max(0.9 * tolerance, SINGLE_PRECISION_GAIN * worst)
        correction, used = _gradients(system, residual, enough, MAX_CYCLES - cycles)
        x += correction
        cycles += used


def apply_system(east: Couplings, south: Couplings, x: NDArray[Any]) -> NDArray[Any]:
    """Return (1 + L) x, from differences so that strong couplings cost no digits."""
    across = x[..., 1:] - x[..., :-1]
    across *= east[:, :-1]
    down = x[..., 1:, :] - x[..., :-1, :]
    down *= south[:-1]
    result = x.copy()
    result[..., :-1] -= across
    result[..., 1:] += across
    result[..., :-1, :] -= down
    result[..., 1:, :] += down
    return result


def _not_converged(residual: float, tolerance: float) -> ConvergenceError:
    """Return the error for when the cycles have run out."""
    return ConvergenceError(
        f"The multigrid solver stopped at a residual of {residual:.3g}, above {tolerance:.3g}: "
        "the smoothing is too strong for it. Use a smaller lam or a larger sharpness."
    )


def _gradients(
    system: _System, residual: Planes, enough: float, max_cycles: int
) -> tuple[NDArray[np.float32], int]:
    """Find a correction by flexible conjugate gradients; return it and the cycles."""
    left = residual.astype(np.float32)
    correction = np.zeros_like(left)
    direction = image = np.zeros_like(left)
    energy = np.zeros(len(left))
    used = 0
    while used < max_cycles and np.abs(left).max() > enough:
        step = cycle(system.grids, left)
        _add_scaled(step, -_ratio(_dot(step, image), energy), direction)
        direction = step
        image = apply_system(system.east, system.south, direction)
        energy = _dot(direction, image)
        length = _ratio(_dot(direction, left), energy)
        _add_scaled(correction, length, direction)
        _add_scaled(left, -length, image)
        used += 1
    return correction, used


def _add_scaled(
    total: NDArray[np.float32], factors: NDArray[np.float64], field: NDArray[np.float32]
) -> None:
    """Add each channel of a field times its factor, in one pass."""
    for plane, factor, values in zip(total, factors, field, strict=True):
        cv2.scaleAdd(values, float(factor), plane, plane)


def _dot(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the scalar product of each channel."""
    return np.array([np.vdot(p, q) for p, q in zip(a, b, strict=True)], np.float64)


def _ratio(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the quotient for each channel, 0 where `b` is 0."""
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)
