"""The structs and functions of the compiled kernels as ctypes sees them.

The structs are written twice, in C and here; `vocsmooth.libraries` compares the two when the
kernels are loaded.
"""

from __future__ import annotations

import ctypes
from typing import Any

from vocsmooth.libraries import Interface

ABI = 2
"""KERNELS_ABI of csrc/kernels.h: counts changes in functions' arguments, which no layout shows."""

_int, _float, _double, _pointer = ctypes.c_int, ctypes.c_float, ctypes.c_double, ctypes.c_void_p


class Problem(ctypes.Structure):
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


class Weights(ctypes.Structure):
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


class Round(ctypes.Structure):
    """``Round`` of periodic.h."""

    _fields_ = (
        ("height", _int),
        ("width", _int),
        ("channels", _int),
        ("strips", _int),
        ("rows", _int),
        ("beta", _double),
        ("threshold", _double),
        ("image", _pointer),
        ("smooth", _pointer),
        ("work", _pointer),
        ("tables", _pointer),
    )


class Guided(ctypes.Structure):
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


class Pairs(ctypes.Structure):
    """``Pairs`` of bilateral.c."""

    _fields_ = (
        ("count", ctypes.c_ssize_t),
        ("run", ctypes.c_ssize_t),
        ("channels", _int),
        ("guides", _int),
        ("offsets", _int),
        ("shift", _pointer),
        ("log_spatial", _pointer),
        ("value", _pointer),
        ("level", _pointer),
        ("total", _pointer),
        ("weight", _pointer),
    )


class Differences(ctypes.Structure):
    """``Differences`` of sd_weights.c."""

    _fields_ = (
        ("height", _int),
        ("width", _int),
        ("channels", _int),
        ("sharpness", _double),
        ("floor", _double),
        ("features", _pointer),
        ("weights", _pointer),
        ("row", _pointer),
    )


class Graph(ctypes.Structure):
    """``Graph`` of chebyshev.c."""

    _fields_ = (
        ("height", _int),
        ("width", _int),
        ("channels", _int),
        ("max_cycles", _int),
        ("tolerance", _double),
        ("gain", _double),
        ("weights", _pointer),
        ("image", _pointer),
        ("solution", _pointer),
        ("work", _pointer),
        ("residual", _double),
    )


class Convolution(ctypes.Structure):
    """``Convolution`` of convolution.h."""

    _fields_ = (
        *((name, _int) for name in ("height", "width", "channels", "dilation")),
        *((name, _int) for name in ("blocks", "groups", "relu", "kept")),
        *(
            (f"{array}_{axis}", ctypes.c_ssize_t)
            for array in ("in", "out", "add", "image")
            for axis in ("row", "pixel")
        ),
        *((name, _pointer) for name in ("in", "weights", "bias", "offsets", "places")),
        *((name, _pointer) for name in ("image_places", "added", "base", "out", "image", "failed")),
    )


class Normalisation(ctypes.Structure):
    """``Normalisation`` of normalisation.c."""

    _fields_ = (
        ("pixels", ctypes.c_ssize_t),
        *((name, _int) for name in ("channels", "threads")),
        *((name, _float) for name in ("momentum", "eps")),
        *((name, _pointer) for name in ("in", "out", "out_gradient", "in_gradient")),
        *((name, _pointer) for name in ("weight", "bias", "running_mean", "running_variance")),
        *((name, _pointer) for name in ("mean", "inverse", "weight_gradient", "bias_gradient")),
        ("sums", _pointer),
    )


class Similarity(ctypes.Structure):
    """``Similarity`` of similarity.c."""

    _fields_ = (
        *((name, _int) for name in ("height", "width", "planes", "labels")),
        *((name, _int) for name in ("row_window", "column_window")),
        *((name, _float) for name in ("middle", "share")),
        *((name, _pointer) for name in ("row_taps", "column_taps", "image", "label")),
        *((name, _pointer) for name in ("gradient", "sums", "work")),
    )


STRUCTS = (
    *(Problem, Weights, Round, Guided, Pairs, Differences, Graph),
    *(Convolution, Normalisation, Similarity),
)

SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "workspace_floats": (ctypes.c_size_t, (_int, _int, _int)),
    "solve_screened": (_int, (ctypes.POINTER(Problem), _pointer)),
    "rtv_scratch_floats": (ctypes.c_size_t, (_int, _int, _int)),
    "rtv_weights": (None, (ctypes.POINTER(Weights),)),
    "fft_cost": (_double, (_int,)),
    "periodic_doubles": (ctypes.c_size_t, (_int, _int)),
    "periodic_plan": (None, (ctypes.POINTER(Round),)),
    "l0_round": (None, (ctypes.POINTER(Round),)),
    "ils_round": (None, (ctypes.POINTER(Round), _int, _double, _double, _double)),
    "guided_doubles": (ctypes.c_size_t, (ctypes.POINTER(Guided), _int, _int)),
    "guided_filter": (None, (ctypes.POINTER(Guided), _int, _int)),
    "share_pairs": (None, (ctypes.POINTER(Pairs), _pointer)),
    "rgb_to_lab": (None, (_pointer, _pointer, _pointer, ctypes.c_ssize_t)),
    "sd_weights": (None, (ctypes.POINTER(Differences),)),
    "chebyshev_floats": (ctypes.c_size_t, (_int, _int)),
    "solve_graph": (_int, (ctypes.POINTER(Graph),)),
    "convolution_allow": (_int, ()),
    "spread": (
        None,
        (_pointer, _int, _int, _int, _float, _pointer, ctypes.c_ssize_t, ctypes.c_ssize_t),
    ),
    "convolve": (None, (ctypes.POINTER(Convolution), _int)),
    "winograd_allowed": (_int, ()),
    "winograd_pays": (_int, ()),
    "convolve_winograd": (None, (ctypes.POINTER(Convolution), _int)),
    "winograd_gradient": (None, (ctypes.POINTER(Convolution),)),
    "similarity_floats": (ctypes.c_size_t, (_int, _int)),
    "compare_planes": (None, (ctypes.POINTER(Similarity),)),
    "normalisation_allowed": (_int, ()),
    "normalise": (None, (ctypes.POINTER(Normalisation),)),
    "normalise_backward": (None, (ctypes.POINTER(Normalisation),)),
}
"""Result and arguments of every function."""

INTERFACE = Interface("kernels_abi", ABI, STRUCTS, SIGNATURES)
