"""The C library's structs and functions as ctypes sees them, and the check that both sides agree.

The structs are written twice, in C and here. A field that moved in one of them only would not
crash: numbers would be read from the wrong bytes. So the library carries a table of every struct
(LAYOUT in csrc/kernels.h), and `find_mismatch` compares it with the structs below before anything
is called.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

ABI = 1
"""KERNELS_ABI of csrc/kernels.h: counts changes in functions' arguments, which no layout shows."""

_int, _float, _double, _pointer = ctypes.c_int, ctypes.c_float, ctypes.c_double, ctypes.c_void_p

_KINDS = {_int: b"i", _float: b"f", _double: b"d", ctypes.c_ssize_t: b"n", _pointer: b"P"}
"""What KIND of csrc/kernels.h calls the types of fields."""


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
        ("pitch", _int),
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
    """``Convolution`` of convolution.c."""

    _fields_ = (
        *((name, _int) for name in ("height", "width", "blocks")),
        *((name, _int) for name in ("groups", "relu", "kept")),
        *(
            (f"{array}_{axis}", ctypes.c_ssize_t)
            for array in ("in", "out", "add", "image")
            for axis in ("row", "pixel")
        ),
        *((name, _pointer) for name in ("in", "weights", "bias", "offsets", "places")),
        *((name, _pointer) for name in ("image_places", "added", "base", "out", "image")),
    )


STRUCTS = (Problem, Weights, Round, Guided, Pairs, Differences, Graph, Convolution)

SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "workspace_floats": (ctypes.c_size_t, (_int, _int, _int)),
    "solve_screened": (_int, (ctypes.POINTER(Problem), _pointer)),
    "rtv_scratch_floats": (ctypes.c_size_t, (_int, _int, _int)),
    "rtv_weights": (None, (ctypes.POINTER(Weights),)),
    "fft_cost": (_double, (_int,)),
    "periodic_doubles": (ctypes.c_size_t, (_int, _int, _int)),
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
}
"""Result and arguments of every function."""


class _Field(ctypes.Structure):
    """``Field`` of kernels.h: one field of a struct; the last one of a table has no name."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("offset", ctypes.c_size_t),
        ("size", ctypes.c_size_t),
        ("kind", ctypes.c_char),
    )


Layout = dict[str, tuple[int, int, bytes]]
"""Offset, size and kind of each field in order; under "" the size of the struct."""


def find_mismatch(library: ctypes.CDLL) -> str | None:
    """Say in a few words where a library differs from this file; None if it does not."""
    for name in ("kernels_abi", *SIGNATURES, *(f"{s.__name__}_layout" for s in STRUCTS)):
        if not hasattr(library, name):
            return f"it lacks {name}"
    abi = ctypes.c_int.in_dll(library, "kernels_abi").value
    if abi != ABI:
        return f"its ABI is {abi}, expected {ABI}"
    for struct in STRUCTS:
        found, expected = _layout_in(library, struct), _layout_of(struct)
        for field in (*expected, *found):
            there, here = found.get(field), expected.get(field)
            if there != here:
                name = ".".join(filter(None, (struct.__name__, field)))
                return f"{name} is {_spell(there)}, expected {_spell(here)}"
    return None


def declare_signatures(library: ctypes.CDLL) -> None:
    """Tell ctypes what every function takes and returns."""
    for name, (result, arguments) in SIGNATURES.items():
        getattr(library, name).restype = result
        getattr(library, name).argtypes = arguments


def _layout_of(struct: type[ctypes.Structure]) -> Layout:
    """Return the layout that ctypes gives a struct."""
    fields: Layout = {}
    for name, kind, *_ in struct._fields_:
        field = getattr(struct, name)
        fields[name] = (field.offset, field.size, _KINDS[kind])
    return fields | {"": (ctypes.sizeof(struct), 0, b"-")}


def _layout_in(library: ctypes.CDLL, struct: type[ctypes.Structure]) -> Layout:
    """Read a struct's layout from the library's table."""
    return {
        (field.name or b"").decode(): (field.offset, field.size, field.kind)
        for field in _table_of(library, f"{struct.__name__}_layout")
    }


def _table_of(library: ctypes.CDLL, name: str) -> Iterator[Any]:
    """Yield the entries of a table, including the one that ends it."""
    address = ctypes.addressof(ctypes.c_char.in_dll(library, name))
    while True:
        field = _Field.from_address(address)
        yield field
        if field.name is None:
            return
        address += ctypes.sizeof(_Field)


def _spell(entry: tuple[int, int, bytes] | None) -> str:
    """Write an entry of a layout for a message."""
    if entry is None:
        return "absent"
    offset, size, kind = entry
    if kind == b"-":
        return f"{offset} bytes"
    return f"{kind.decode()}{8 * size} at byte {offset}"
