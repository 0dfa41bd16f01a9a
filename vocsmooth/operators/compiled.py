"""The compiled kernels as functions of arrays, each beside a twin in NumPy that does the same.

They check nothing: shapes and dtypes are the business of the operators. All need the library
(`kernels.library`); the operators pick them by `kernels.choose`.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vocsmooth.operators import interface, kernels

Planes = NDArray[np.float64]
"""An image as the kernels take it: (C, H, W), C-contiguous."""

Couplings = NDArray[np.float32]
"""(H, W), C-contiguous."""

Flat = NDArray[np.floating[Any]]
"""The pixels of padded planes, row after row, (C, N) or (N,); float32 for the kernels."""

VECTOR_BYTES = 64

L0_STRIP = 16  # STRIP of l0.c

L0_TURN = 1.2  # how many times as costly the DFTs of columns must be to exchange them with rows

PAIRS_RUN = 4096  # pixels whose rows of a window fit in a core's second-level cache


class Solved(NamedTuple):
    """What solve_screened returns: x, the cycles used, and the largest pixel of b - A x."""

    solution: Planes
    cycles: int
    residual: float


def screened_workspace(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Memory for solve_screened on images (C, H, W); zeroed; it may be reused."""
    channels, height, width = shape
    return _zeros((kernels.required().workspace_floats(height, width, channels),), np.float32)


def solve_screened(
    east: Couplings,
    south: Couplings,
    image: Planes,
    guess: Planes,
    *,
    tolerance: float,
    max_cycles: int,
    workspace: NDArray[np.float32],
) -> Solved:
    """Solve (1 + L) x = image; see multigrid/solver.py. `residual` tells whether it did."""
    channels, height, width = image.shape
    east, south = _contiguous(east, np.float32), _contiguous(south, np.float32)
    image, solution = _contiguous(image, np.float64), guess.astype(np.float64, order="C")
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


def rtv_weights(
    image: Planes,
    kernel: NDArray[np.float32],
    *,
    lam: float,
    sharpness: float,
    windowed_floor: float,
) -> tuple[Couplings, Couplings]:
    """Couplings to the right and lower neighbours; see rtv_weights of rtv.py.

    `kernel` is the centre and right half of the Gaussian.
    """
    channels, height, width = image.shape
    radius = len(kernel) - 1
    image = _contiguous(image, np.float64)
    blurred = np.zeros((channels, height + 2 * radius, width), np.float32)
    rows = np.empty(kernels.required().rtv_scratch_floats(width, channels, radius), np.float32)
    east, south = np.empty((2, height, width), np.float32)
    weights = interface.Weights(
        height=height,
        width=width,
        channels=channels,
        radius=radius,
        lam=lam,
        sharpness=sharpness,
        windowed_floor=windowed_floor,
        kernel=kernel.ctypes.data,
        image=image.ctypes.data,
        blurred=blurred.ctypes.data,
        rows=rows.ctypes.data,
        east=east.ctypes.data,
        south=south.ctypes.data,
    )
    kernels.required().rtv_weights(ctypes.byref(weights))
    return east, south


def l0_rounds(image: Planes, penalties: Iterable[tuple[float, float]]) -> Planes:
    """Do a round of L0 minimisation for each (beta, threshold); see l0.py."""
    compiled = kernels.required()
    turned = compiled.fft_cost(image.shape[1]) > L0_TURN * compiled.fft_cost(image.shape[2])
    image = image.swapaxes(1, 2) if turned else image
    channels, height, width = image.shape
    pitch = -(-width // L0_STRIP) * L0_STRIP
    padded, smooth, work = (_zeros((channels, height, pitch), np.float64) for _ in range(3))
    padded[:, :, :width] = smooth[:, :, :width] = image
    tables = _zeros((compiled.l0_table_doubles(height, pitch, channels),), np.float64)
    step = interface.Round(
        height=height,
        width=width,
        channels=channels,
        pitch=pitch,
        image=padded.ctypes.data,
        smooth=smooth.ctypes.data,
        work=work.ctypes.data,
        tables=tables.ctypes.data,
    )
    compiled.l0_plan(ctypes.byref(step))
    for step.beta, step.threshold in penalties:
        compiled.l0_round(ctypes.byref(step))
    result = smooth[:, :, :width]
    return result.swapaxes(1, 2) if turned else result


def guided_filter(image: Planes, guide: Planes, out: Planes, *, radius: int, eps: float) -> None:
    """Filter 1 plane by 1 or 3 guide planes, or 3 by 3, into `out`; see guided.py."""
    compiled = kernels.required()
    images, height, width = image.shape
    task = interface.Guided(
        height=height,
        width=width,
        row_radius=min(radius, height - 1),
        column_radius=min(radius, width - 1),
        eps=eps,
        guide=guide.ctypes.data,
        image=image.ctypes.data,
        result=out.ctypes.data,
    )
    work = _zeros((compiled.guided_doubles(ctypes.byref(task), len(guide), images),), np.float64)
    task.work = work.ctypes.data
    compiled.guided_filter(ctypes.byref(task), len(guide), images)


def share_pairs(
    values: Flat, levels: Flat, total: Flat, weight: Flat, half: Sequence[tuple[int, float]]
) -> None:
    """Add each pixel's share to the sums of its pair; see _share_pairs of bilateral.py."""
    values, levels = _contiguous(values, np.float32), _contiguous(levels, np.float32)
    shift = np.array([shift for shift, _ in half], np.int32)
    log_spatial = np.array([log_spatial for _, log_spatial in half], np.float32)
    weights = np.empty(PAIRS_RUN, np.float32)
    pairs = interface.Pairs(
        count=len(weight),
        run=PAIRS_RUN,
        channels=len(values),
        guides=len(levels),
        offsets=len(half),
        shift=shift.ctypes.data,
        log_spatial=log_spatial.ctypes.data,
        value=values.ctypes.data,
        level=levels.ctypes.data,
        total=total.ctypes.data,
        weight=weight.ctypes.data,
    )
    kernels.required().share_pairs(ctypes.byref(pairs), weights.ctypes.data)


def _contiguous(array: NDArray[Any], dtype: type[np.floating[Any]]) -> NDArray[Any]:
    """Return the array as C code can walk it; a copy only where it must be."""
    return np.ascontiguousarray(array, dtype)


def _zeros(shape: tuple[int, ...], dtype: type[np.floating[Any]]) -> NDArray[Any]:
    """Zeros that begin on a vector's boundary."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.zeros(size + VECTOR_BYTES, np.uint8)
    start = -memory.ctypes.data % VECTOR_BYTES
    return memory[start : start + size].view(dtype).reshape(shape)
