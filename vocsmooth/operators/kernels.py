"""The compiled kernels: found, typed and called; `library` is None where they were not built.

Why C: numba's packages take 150 MB and its first call 45 to 120 s of compiling; LAPACK and
scipy.fft alone are several times slower. C takes seconds to compile, once, at installation; the
first call costs nothing, workers compile nothing, and a call releases the interpreter's lock.
Without a compiler the package installs all the same and NumPy runs the same algorithms.
"""

from __future__ import annotations

import ctypes
import importlib.util
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Planes = NDArray[np.float64]
"""An image as the kernels take it: (C, H, W), C-contiguous."""

Couplings = NDArray[np.float32]
"""(H, W), C-contiguous."""

Flat = NDArray[np.floating[Any]]
"""The pixels of a padded plane, row after row; float32 for the kernels."""

VECTOR_BYTES = 64

L0_STRIP = 16  # STRIP of l0.c

L0_TURN = 1.2  # how many times as costly the DFTs of columns must be to exchange them with rows

PAIRS_RUN = 4096  # pixels whose rows of a window fit in a core's second-level cache

_int, _float, _double, _pointer = ctypes.c_int, ctypes.c_float, ctypes.c_double, ctypes.c_void_p


class _Problem(ctypes.Structure):
    """``Problem`` of multigrid.c."""

    _fields_ = (
        ("height", _int),
        ("width", _int),
        ("channels", _int),
        ("max_cycles", _int),
        ("tolerance", _double),
        ("east", _pointer),
        ("south", _pointer),
        ("image", _pointer),
        ("solution", _pointer),
        ("residual", _double),
    )


class _Weights(ctypes.Structure):
    """``Weights`` of rtv.c."""

    _fields_ = (
        ("height", _int),
        ("width", _int),
        ("channels", _int),
        ("radius", _int),
        ("lam", _float),
        ("sharpness", _float),
        ("windowed_floor", _float),
        ("kernel", _pointer),
        ("image", _pointer),
        ("blurred", _pointer),
        ("rows", _pointer),
        ("east", _pointer),
        ("south", _pointer),
    )


class _Round(ctypes.Structure):
    """``Round`` of l0.c."""

    _fields_ = (
        ("height", _int),
        ("width", _int),
        ("channels", _int),
        ("pitch", _int),
        ("beta", _double),
        ("threshold", _double),
        ("image", _pointer),
        ("smooth", _pointer),
        ("work", _pointer),
        ("tables", _pointer),
    )


class _Guided(ctypes.Structure):
    """``Guided`` of guided.c."""

    _fields_ = (
        ("height", _int),
        ("width", _int),
        ("row_radius", _int),
        ("column_radius", _int),
        ("eps", _double),
        ("guide", _pointer),
        ("image", _pointer),
        ("result", _pointer),
        ("work", _pointer),
    )


class _Pairs(ctypes.Structure):
    """``Pairs`` of rolling.c."""

    _fields_ = (
        ("count", ctypes.c_ssize_t),
        ("run", ctypes.c_ssize_t),
        ("offsets", _int),
        ("shift", _pointer),
        ("log_spatial", _pointer),
        ("value", _pointer),
        ("level", _pointer),
        ("total", _pointer),
        ("weight", _pointer),
    )


_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "workspace_floats": (ctypes.c_size_t, (_int, _int, _int)),
    "solve_screened": (_int, (ctypes.POINTER(_Problem), _pointer)),
    "rtv_scratch_floats": (ctypes.c_size_t, (_int, _int, _int)),
    "rtv_weights": (None, (ctypes.POINTER(_Weights),)),
    "fft_cost": (_double, (_int,)),
    "l0_table_doubles": (ctypes.c_size_t, (_int, _int, _int)),
    "l0_plan": (None, (ctypes.POINTER(_Round),)),
    "l0_round": (None, (ctypes.POINTER(_Round),)),
    "guided_doubles": (ctypes.c_size_t, (ctypes.POINTER(_Guided), _int, _int)),
    "guided_filter": (None, (ctypes.POINTER(_Guided), _int, _int)),
    "share_pairs": (None, (ctypes.POINTER(_Pairs), _pointer)),
}
"""Result and arguments of every function."""


def _load() -> ctypes.CDLL | None:
    """Load the library beside this file, if it was built and fits this machine."""
    spec = importlib.util.find_spec("vocsmooth.operators._kernels")
    if spec is None or spec.origin is None:
        return None
    try:
        library = ctypes.CDLL(spec.origin)
    except OSError:
        return None
    for name, (result, arguments) in _SIGNATURES.items():
        if not hasattr(library, name):  # built from an earlier version, and not again since
            return None
        getattr(library, name).restype = result
        getattr(library, name).argtypes = arguments
    return library


library = _load()


def describe() -> str:
    """Say in a line which kernels run here, for ``vocsmooth info``."""
    if library is None:
        return "NumPy, several times slower (no compiled kernels: install with a C compiler)"
    return f"C ({Path(library._name).name})"


class Solved(NamedTuple):
    """What solve_screened returns: x, the cycles used, and the largest pixel of b - A x."""

    solution: Planes
    cycles: int
    residual: float


def screened_workspace(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Memory for solve_screened on images (C, H, W); zeroed, and it may be used again."""
    channels, height, width = shape
    return _zeros((_required().workspace_floats(height, width, channels),), np.float32)


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
    """Solve (1 + L) x = image; see vocsmooth/multigrid.py. `residual` tells whether it did."""
    channels, height, width = image.shape
    east, south = _contiguous(east, np.float32), _contiguous(south, np.float32)
    image, solution = _contiguous(image, np.float64), guess.astype(np.float64, order="C")
    problem = _Problem(
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
    cycles = _required().solve_screened(ctypes.byref(problem), workspace.ctypes.data)
    return Solved(solution, cycles, problem.residual)


def rtv_weights(
    image: Planes,
    kernel: NDArray[np.float32],
    *,
    lam: float,
    sharpness: float,
    windowed_floor: float,
) -> tuple[Couplings, Couplings]:
    """Couplings to the right and lower neighbours; see rtv_weights of vocsmooth/rtv.py.

    `kernel` is the centre and right half of the Gaussian.
    """
    channels, height, width = image.shape
    radius = len(kernel) - 1
    image = _contiguous(image, np.float64)
    blurred = np.zeros((channels, height + 2 * radius, width), np.float32)
    rows = np.empty(_required().rtv_scratch_floats(width, channels, radius), np.float32)
    east, south = np.empty((2, height, width), np.float32)
    weights = _Weights(
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
    _required().rtv_weights(ctypes.byref(weights))
    return east, south


def l0_rounds(image: Planes, penalties: Iterable[tuple[float, float]]) -> Planes:
    """Do a round of L0 minimisation for each (beta, threshold); see vocsmooth/l0.py."""
    compiled = _required()
    turned = compiled.fft_cost(image.shape[1]) > L0_TURN * compiled.fft_cost(image.shape[2])
    image = image.swapaxes(1, 2) if turned else image
    channels, height, width = image.shape
    pitch = -(-width // L0_STRIP) * L0_STRIP
    padded, smooth, work = (_zeros((channels, height, pitch), np.float64) for _ in range(3))
    padded[:, :, :width] = smooth[:, :, :width] = image
    tables = _zeros((compiled.l0_table_doubles(height, pitch, channels),), np.float64)
    step = _Round(
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
    """Filter 1 plane by 1 or 3 guide planes, or 3 by 3, into `out`; see vocsmooth/guided.py."""
    compiled = _required()
    images, height, width = image.shape
    task = _Guided(
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
    """Add each pixel's share to the sums of its pair; see _share_pairs of vocsmooth/rolling.py."""
    shift = np.array([shift for shift, _ in half], np.int32)
    log_spatial = np.array([log_spatial for _, log_spatial in half], np.float32)
    weights = np.empty(PAIRS_RUN, np.float32)
    pairs = _Pairs(
        count=len(values),
        run=PAIRS_RUN,
        offsets=len(half),
        shift=shift.ctypes.data,
        log_spatial=log_spatial.ctypes.data,
        value=values.ctypes.data,
        level=levels.ctypes.data,
        total=total.ctypes.data,
        weight=weight.ctypes.data,
    )
    _required().share_pairs(ctypes.byref(pairs), weights.ctypes.data)


def _required() -> ctypes.CDLL:
    """Return the library, for what only it can do."""
    if library is None:
        raise RuntimeError("The compiled kernels were not built.")
    return library


def _contiguous(array: NDArray[Any], dtype: type[np.floating[Any]]) -> NDArray[Any]:
    """Return the array as C code can walk it; a copy only where it must be."""
    return np.ascontiguousarray(array, dtype)


def _zeros(shape: tuple[int, ...], dtype: type[np.floating[Any]]) -> NDArray[Any]:
    """Zeros that begin on a vector's boundary."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.zeros(size + VECTOR_BYTES, np.uint8)
    start = -memory.ctypes.data % VECTOR_BYTES
    return memory[start : start + size].view(dtype).reshape(shape)
