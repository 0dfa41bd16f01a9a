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
import logging
from typing import Literal, TypeVar

from vocsmooth.libraries import CURE, describe_library, find_library
from vocsmooth.operators import interface

T = TypeVar("T")

_log = logging.getLogger(__name__)

library, _refusal = find_library("vocsmooth.operators._kernels", interface.INTERFACE)
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
        return f"NumPy, several times slower: {reason}. To speed it up, {CURE}"
    return describe_library(library)


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
