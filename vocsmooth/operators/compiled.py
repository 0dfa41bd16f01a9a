"""The compiled kernels as functions of arrays; each has a twin in NumPy that does the same.

They check nothing: the operators check shapes and dtypes. All of them need the library
(`kernels.library`); the operators choose them by `kernels.choose`.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vocsmooth.operators import interface, kernels

Planes = NDArray[np.float64]
"""An image as the kernels take it: (C, H, W), C-contiguous."""

AnyPlanes = NDArray[np.floating[Any]]
"""An image (C, H, W) of any strides, float32 or float64."""

Couplings = NDArray[np.float32]
"""(H, W), C-contiguous."""

Flat = NDArray[np.floating[Any]]
"""The pixels of padded planes, row after row, (C, N) or (N,); float32 for the kernels."""

VECTOR_BYTES = 64

STRIP = 16  # that of periodic.h

TURN = 1.2  # how many times as costly the DFTs of columns must be to exchange them with rows

PAIRS_RUN = 4096  # pixels whose rows of a window fit in a core's second-level cache


WELSCH, CHARBONNIER = 0, 1  # those of ils.c


class Penalty(NamedTuple):
    """A penalty of iterative least squares, by its derivative; see ``slope_of`` of ils.c."""

    kind: int
    curvature: float
    factor: float
    exponent: float
    offset: float


def rtv_weights(
    image: Planes,
    kernel: NDArray[np.float32],
    *,
    lam: float,
    sharpness: float,
    windowed_floor: float,
) -> tuple[Couplings, Couplings]:
    """Return the couplings to the right and lower neighbours; see rtv_weights of rtv.py.

    `kernel` is the centre and right half of the Gaussian.
    """
    channels, height, width = image.shape
    radius = len(kernel) - 1
    image = contiguous(image, np.float64)
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


def l0_rounds(image: AnyPlanes, penalties: Iterable[tuple[float, float]]) -> AnyPlanes:
    """Do a round of L0 minimisation for each (beta, threshold); see l0.py."""

    def run(step: interface.Round) -> None:
        for step.beta, step.threshold in penalties:
            kernels.required().l0_round(ctypes.byref(step))

    return _in_rounds(image, run)


def ils_rounds(image: AnyPlanes, lam: float, penalty: Penalty, num_iter: int) -> AnyPlanes:
    """Take all steps of iterative least squares; see _iterate of ils.py."""

    def run(step: interface.Round) -> None:
        step.beta = lam / 2 * penalty.curvature
        factor = -lam / 2 * penalty.factor
        for _ in range(num_iter):
            kernels.required().ils_round(
                ctypes.byref(step), penalty.kind, factor, penalty.exponent, penalty.offset
            )

    return _in_rounds(image, run)


def _in_rounds(image: AnyPlanes, run: Callable[[interface.Round], None]) -> AnyPlanes:
    """Run rounds on an image with periodic borders, and return the result, laid out as the image.

    A height with large prime factors costs the DFTs more than a width: where it does, rows and
    columns change places.
    """
    compiled = kernels.required()
    turned = compiled.fft_cost(image.shape[1]) > TURN * compiled.fft_cost(image.shape[2])
    image = image.swapaxes(1, 2) if turned else image
    channels, height, width = image.shape
    rows = (height + 1) | 1  # odd: at a power of two, strips share the few lines of a cache
    shape = (channels, -(-width // STRIP), rows, STRIP)
    original, smooth, work = (zeros(shape, np.float64) for _ in range(3))
    for strips, columns in _by_strips(original, image):
        strips[...] = columns
    smooth[...] = original
    tables = zeros((compiled.periodic_doubles(height, channels),), np.float64)
    step = interface.Round(
        height=height,
        width=width,
        channels=channels,
        strips=shape[1],
        rows=rows,
        image=original.ctypes.data,
        smooth=smooth.ctypes.data,
        work=work.ctypes.data,
        tables=tables.ctypes.data,
    )
    compiled.periodic_plan(ctypes.byref(step))
    run(step)
    result = np.empty_like(image)
    for strips, columns in _by_strips(smooth, result):
        columns[...] = strips
    return result.swapaxes(1, 2) if turned else result


def _by_strips(strips: Planes, planes: AnyPlanes) -> Iterator[tuple[Planes, AnyPlanes]]:
    """Yield the same columns of strips (C, strips, rows, STRIP) and planes (C, H, W), as views."""
    channels, height, width = planes.shape
    whole, rest = divmod(width, STRIP)
    columns = planes[:, :, : whole * STRIP].reshape(channels, height, whole, STRIP)
    yield strips[:, :whole, :height].swapaxes(1, 2), columns
    if rest:
        yield strips[:, whole, :height, :rest], planes[:, :, whole * STRIP :]


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
    work = zeros((compiled.guided_doubles(ctypes.byref(task), len(guide), images),), np.float64)
    task.work = work.ctypes.data
    compiled.guided_filter(ctypes.byref(task), len(guide), images)


def share_pairs(
    values: Flat, levels: Flat, total: Flat, weight: Flat, half: Sequence[tuple[int, float]]
) -> None:
    """Add each pixel's share to the sums of its pair; see _share_pairs of bilateral.py."""
    values, levels = contiguous(values, np.float32), contiguous(levels, np.float32)
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


def rgb_to_lab(planes: Planes, matrix: Planes) -> Planes:
    """Convert RGB to CIE Lab; `matrix` (3, 3) leads from linear RGB to XYZ over the white point."""
    planes, lab = contiguous(planes, np.float64), np.empty_like(planes)
    kernels.required().rgb_to_lab(
        matrix.ctypes.data, planes.ctypes.data, lab.ctypes.data, lab[0].size
    )
    return lab


def pair_weights(features: Planes, sharpness: float, floor: float) -> Planes:
    """Return the weights (4, H, W) of the pairs in each direction; see _pair_weights of sd.py."""
    channels, height, width = features.shape
    features, row = contiguous(features, np.float64), np.empty(width)
    weights = np.zeros((4, height, width))
    task = interface.Differences(
        height=height,
        width=width,
        channels=channels,
        sharpness=sharpness,
        floor=floor,
        features=features.ctypes.data,
        weights=weights.ctypes.data,
        row=row.ctypes.data,
    )
    kernels.required().sd_weights(ctypes.byref(task))
    return weights


def contiguous(array: NDArray[Any], dtype: type[np.floating[Any]]) -> NDArray[Any]:
    """Return the array C-contiguous and of this dtype; copy it only if it is not."""
    return np.ascontiguousarray(array, dtype)


def zeros(shape: tuple[int, ...], dtype: type[np.floating[Any]]) -> NDArray[Any]:
    """Return zeros whose memory begins on a vector's boundary."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.zeros(size + VECTOR_BYTES, np.uint8)
    start = -memory.ctypes.data % VECTOR_BYTES
    return memory[start : start + size].view(dtype).reshape(shape)
