"""The compiled solvers of linear systems as functions of arrays; `compiled` has the other kernels.

Their twins in NumPy are in multigrid/solver.py and sd.py.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vocsmooth.operators import interface, kernels
from vocsmooth.operators.compiled import Couplings, Planes, contiguous, zeros


class Solved(NamedTuple):
    """What solvers return: x, the cycles used, and the largest pixel of b - A x."""

    solution: Planes
    cycles: int
    residual: float


def screened_workspace(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return zeroed memory for `solve_screened` on images (C, H, W); it may be reused."""
    channels, height, width = shape
    return zeros((kernels.required().workspace_floats(height, width, channels),), np.float32)


def solve_screened(
    east: Couplings,
    south: Couplings,
    image: Planes,
    solution: Planes,
    *,
    tolerance: float,
    max_cycles: int,
    workspace: NDArray[np.float32],
) -> Solved:
    """Solve (1 + L) x = image; see multigrid/solver.py. `residual` tells whether it did.

    `solution` (C-contiguous) comes with a first guess and holds the solution afterwards.
    """
    channels, height, width = image.shape
    east, south = contiguous(east, np.float32), contiguous(south, np.float32)
    image = contiguous(image, np.float64)
    problem = interface.Problem(
        height=height,
        width=width,
        channels=channels,
        max_cycles=max_cycles,
        tolerance=tolerance,
        east=east.ctypes.data,
        south=south.ctypes.data,
        image=image.ctypes.data,
        solution=solution.ctypes.data,
        residual=np.inf,
    )
    cycles = kernels.required().solve_screened(ctypes.byref(problem), workspace.ctypes.data)
    return Solved(solution, cycles, problem.residual)


def solve_graph(
    image: Planes,
    weights: NDArray[np.float32],
    guess: Planes,
    *,
    tolerance: float,
    gain: float,
    max_cycles: int,
) -> Solved:
    """Solve (1 + L) x = image, L of the 8-neighbour weights (4, H, W); see sd.py."""
    compiled = kernels.required()
    channels, height, width = image.shape
    image, solution = contiguous(image, np.float64), guess.astype(np.float64, order="C")
    work = zeros((compiled.chebyshev_floats(height, width),), np.float32)
    graph = interface.Graph(
        height=height,
        width=width,
        channels=channels,
        max_cycles=max_cycles,
        tolerance=tolerance,
        gain=gain,
        weights=weights.ctypes.data,
        image=image.ctypes.data,
        solution=solution.ctypes.data,
        work=work.ctypes.data,
    )
    cycles = compiled.solve_graph(ctypes.byref(graph))
    return Solved(solution, cycles, graph.residual)
