"""Intel's matrix unit (AMX) emulated, so that its kernels are tested on other processors, too."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

import vocsmooth
from csgisnet.prediction import compiled, matrix
from csgisnet.prediction.matrix import has_matrix_unit
from vocsmooth.operators import interface, kernels

_SOURCES = ("convolution.c", "share_rows.c")

_FUNCTIONS = ("convolution_allow", "convolve", "spread")


class _Library:
    """The kernels, those of the matrix unit from another library."""

    def __init__(self, emulated: ctypes.CDLL, others: ctypes.CDLL) -> None:
        self._emulated, self._others = emulated, others

    def __getattr__(self, name: str) -> Any:
        return getattr(self._emulated if name in _FUNCTIONS else self._others, name)


def can_use_matrix_unit() -> bool:
    """Tell whether the unit is here, or can be emulated.

    Only its tiles are: the rest of the kernels needs AVX-512 with bfloat16.
    """
    return has_matrix_unit() or _emulated() is not None


def use_matrix_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let networks run on the unit, or on the emulated one where there is none."""
    emulated = None if has_matrix_unit() else _emulated()
    if emulated is not None:
        monkeypatch.setattr(kernels, "library", _Library(emulated, kernels.required()))
        for module in (compiled, matrix):
            monkeypatch.setattr(module, "has_matrix_unit", lambda: True)


@functools.cache
def _emulated() -> ctypes.CDLL | None:
    """Compile the unit's kernels with its instructions in plain C; None where that cannot be."""
    capable: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    compiler = shutil.which("gcc")
    if kernels.library is None or not capable.get("avx512_bf16") or compiler is None:
        return None
    if sys.platform != "linux":  # elsewhere the kernels are left out
        return None
    folder = Path(vocsmooth.__file__).parent
    sources = [str(folder / "operators/csrc" / name) for name in _SOURCES]
    with tempfile.TemporaryDirectory() as made:
        path = Path(made, "emulated.so")
        command = [compiler, "-O2", "-w", "-shared", "-fPIC", "-pthread", f"-I{folder / 'csrc'}"]
        tiles = Path(__file__).with_name("tiles.h")
        command += ["-include", str(tiles), *sources, "-o", str(path)]
        if subprocess.run(command, check=False, timeout=300).returncode:
            return None
        library = ctypes.CDLL(str(path))
    for name in _FUNCTIONS:
        result, arguments = interface.INTERFACE.functions[name]
        getattr(library, name).restype = result
        getattr(library, name).argtypes = arguments
    # Compilers that do not know the unit leave the kernels out.
    return library if library.convolution_allow() == 0 else None
