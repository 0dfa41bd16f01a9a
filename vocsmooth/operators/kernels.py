"""Load the compiled kernels if they were built and fit this version; `choose` takes them, or NumPy.

Why C: numba's packages take 150 MB and its first call 45 to 120 s of compiling; LAPACK and
scipy.fft alone are several times slower. C takes seconds to compile, once, at installation; the
first call costs nothing, workers compile nothing, and a call releases the interpreter's lock.
Without a compiler the package installs all the same and NumPy runs the same algorithms; the first
operator that this slows down says so.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import logging
import sys
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from vocsmooth.operators import interface

T = TypeVar("T")

_log = logging.getLogger(__name__)

_COMPILER = (
    "clang-cl (part of Visual Studio's Build Tools; their own compiler cannot do it) on the PATH"
    if sys.platform == "win32"
    else "a C compiler, such as gcc"
)

_CURE = (
    f"install {_COMPILER}, and then this package again: pip install --force-reinstall "
    "--no-deps --no-cache-dir csgisnet, or . in a checkout"
)


class Loaded(NamedTuple):
    """A library, or why it was refused."""

    library: ctypes.CDLL | None
    refusal: str


def load_library(path: Path) -> Loaded:
    """Load the compiled kernels from a file, unless they were built from other sources."""
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        return Loaded(None, f"{path.name} cannot be loaded: {error}")
    mismatch = interface.find_mismatch(library)
    if mismatch:
        return Loaded(None, f"{path.name} was built from other sources: {mismatch}")
    interface.declare_signatures(library)
    return Loaded(library, "")


def _find_library() -> Loaded:
    """Load the library beside this file, if it was built."""
    spec = importlib.util.find_spec("vocsmooth.operators._kernels")
    if spec is None or spec.origin is None:
        return Loaded(None, "no compiled kernels were built")
    return load_library(Path(spec.origin))


library, _refusal = _find_library()
"""The library, or None where NumPy does its work. This is the only switch; tests set it to None."""


def choose(compiled: T, plain: T, *, supported: bool = True) -> T:
    """Return a compiled function, or its twin in NumPy where the compiled one cannot run.

    The first time in a process that the library is what is missing, a warning is logged. Without
    any set-up of logging that is a line on stderr; unlike a Python warning it is never an error,
    for the result is right and the caller's code is not at fault.

    Parameters
    ----------
    compiled, plain : object
        Two ways to do the same, usually functions of one signature.
    supported : bool
        Whether the compiled one takes the arrays at hand.
    """
    if not supported:
        return plain
    warn_if_slow()
    return plain if library is None else compiled


def describe() -> str:
    """Say in one line which kernels run here and, if it is NumPy, why and what to do about it."""
    if library is None:
        reason = _refusal or "the compiled kernels are turned off"
        return f"NumPy, several times slower: {reason}. To speed it up, {_CURE}"
    return f"C ({Path(library._name).name})"


def name() -> Literal["C", "NumPy"]:
    """Name the kernels that run here in one word, for records of how data were made."""
    return "NumPy" if library is None else "C"


def required() -> ctypes.CDLL:
    """Return the library, for work that only it can do.

    Raises
    ------
    RuntimeError
        It was not built, or was refused.
    """
    if library is None:
        raise RuntimeError("The compiled kernels were not built.")
    return library


def warn_if_slow() -> None:
    """Log, once in a process, that the library is missing; called before workers need it."""
    if library is None:
        _warn()


@functools.cache
def _warn() -> None:
    """Log which kernels run here."""
    _log.warning("The operators of vocsmooth run in %s.", describe())
