"""Where and in which precision networks run."""

from __future__ import annotations

import ctypes
from contextlib import AbstractContextManager
from typing import Literal, TypeAlias, TypeVar

import torch
from torch import nn

from csgisnet.errors import ConfigError
from vocsmooth.errors import UnknownNameError

DeviceName: TypeAlias = Literal["auto", "cpu", "cuda", "mps"]

Net = TypeVar("Net", bound=nn.Module)

Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]

_NO_MEMORY = ("can't allocate memory", "out of memory", "could not create a primitive")
"""Phrases in torch's messages; the last is oneDNN's, for convolutions on the CPU."""

_MALLOC_OPTIONS = {-8: 1, -3: 1 << 28, -1: (1 << 31) - 1}
"""M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD: one heap for all threads, which serves blocks of
up to 256 MB and is not returned to the system."""


def pick_device(name: str = "auto") -> torch.device:
    """Return the device of this name; "auto" picks CUDA, else MPS, else the CPU.

    Raises
    ------
    UnknownNameError
        The name is unknown.
    ConfigError
        This machine or build of torch lacks the device.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(kind for kind, usable in available.items() if usable)
    kind = name.partition(":")[0]
    if kind not in available:
        raise UnknownNameError(f"Unknown device {name!r}. Take auto, cpu, cuda or mps.")
    if not available[kind]:
        raise ConfigError(
            f"Device {name!r} is not available here with torch {torch.__version__}. "
            "Take auto or cpu, or install the build of torch for that device."
        )
    return torch.device(name)


def place(network: Net, device: torch.device) -> Net:
    """Move a network to `device`, with its weights in the layout fastest for convolutions."""
    placed: Net = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return placed


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Return the context in which a network's forward pass runs.

    "auto" takes bfloat16 where the hardware multiplies it faster than float32, that is on CUDA
    devices that have it, and float32 elsewhere.
    """
    if precision == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        precision = "bfloat16" if fast else "float32"
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Tell whether an error of torch means that a device, or this machine, is out of memory."""
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError) or any(words in text for words in _NO_MEMORY)


def keep_freed_memory() -> None:
    """Let this process reuse the memory of freed activations; meant for commands, not libraries.

    Otherwise the system hands out fresh pages, zeroed one by one, for every block over 32 MB,
    which takes longer than a normalisation layer. Does nothing where malloc is not glibc's.
    """
    for option, value in _MALLOC_OPTIONS.items():
        _call_malloc("mallopt", option, value)


def return_freed_memory() -> None:
    """Return the memory that glibc's malloc has kept to the system; elsewhere do nothing."""
    _call_malloc("malloc_trim", 0)


def _call_malloc(name: str, *arguments: int) -> None:
    """Call a function of glibc if this process has it."""
    function = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*arguments)
