"""Load the C libraries that come with the package, if they were built and fit this version.

Structs are written twice, in C and in Python. A field that moved in one of them only would not
crash: numbers would be read from the wrong bytes. So a library carries a table of every struct
(LAYOUT in csrc/library.h), which is compared with the struct in Python before anything is called.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

_COMPILER = (
    "clang-cl (part of Visual Studio's Build Tools; their own compiler cannot do it) on the PATH"
    if sys.platform == "win32"
    else "a C compiler, such as gcc"
)

CURE = (
    f"install {_COMPILER}, and then this package again: pip install --force-reinstall "
    "--no-deps --no-cache-dir csgisnet, or . in a checkout"
)
"""What to do about a library that was not built, or is of another version."""

_KINDS = {
    ctypes.c_int: b"i",
    ctypes.c_float: b"f",
    ctypes.c_double: b"d",
    ctypes.c_ssize_t: b"n",
    ctypes.c_void_p: b"P",
}
"""What KIND of csrc/library.h calls the types of fields."""


class Interface(NamedTuple):
    """What a library has to hold."""

    counter: str
    """Name of its ABI's number, which counts changes that no table of fields shows."""
    abi: int
    """The number that is expected."""
    structs: tuple[type[ctypes.Structure], ...]
    """All that its functions take."""
    functions: Mapping[str, tuple[Any, tuple[Any, ...]]]
    """Result and arguments of every function by name."""


class Loaded(NamedTuple):
    """A library, or why it was refused."""

    library: ctypes.CDLL | None
    refusal: str


def find_library(module: str, interface: Interface) -> Loaded:
    """Load the library that is built as an extension of this name, if it was built."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return Loaded(None, f"{module} was not built")
    return load_library(Path(spec.origin), interface)


def load_library(path: Path, interface: Interface) -> Loaded:
    """Load a library from a file, unless it was built from other sources."""
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        return Loaded(None, f"{path.name} cannot be loaded: {error}")
    mismatch = _find_mismatch(library, interface)
    if mismatch:
        return Loaded(None, f"{path.name} was built from other sources: {mismatch}")
    for name, (result, arguments) in interface.functions.items():
        getattr(library, name).restype = result
        getattr(library, name).argtypes = arguments
    return Loaded(library, "")


class _Field(ctypes.Structure):
    """``Field`` of library.h: one field of a struct; the last one of a table has no name."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("offset", ctypes.c_size_t),
        ("size", ctypes.c_size_t),
        ("kind", ctypes.c_char),
    )


Layout = dict[str, tuple[int, int, bytes]]
"""Offset, size and kind of each field in order; under "" the size of the struct."""


def describe_library(library: ctypes.CDLL) -> str:
    """Say in a few words which library it is."""
    return f"C ({Path(library._name).name})"


def _find_mismatch(library: ctypes.CDLL, interface: Interface) -> str | None:
    """Say in a few words where a library differs from its interface; None if it does not."""
    tables = [f"{struct.__name__}_layout" for struct in interface.structs]
    for name in (interface.counter, *interface.functions, *tables):
        if not hasattr(library, name):
            return f"it lacks {name}"
    abi = ctypes.c_int.in_dll(library, interface.counter).value
    if abi != interface.abi:
        return f"its ABI is {abi}, expected {interface.abi}"
    for struct in interface.structs:
        found, expected = _layout_in(library, struct), _layout_of(struct)
        for field in (*expected, *found):
            there, here = found.get(field), expected.get(field)
            if there != here:
                name = ".".join(filter(None, (struct.__name__, field)))
                return f"{name} is {_spell(there)}, expected {_spell(here)}"
    return None


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
