"""Where and in which precision networks run."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal, TypeAlias, TypeVar

import torch
from torch import nn

from csgisnet.errors import ConfigError

DeviceName: TypeAlias = Literal["auto", "cpu", "cuda", "mps"]
Net = TypeVar("Net", bound=nn.Module)
Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]


def pick_device(name: str = "auto") -> torch.device:
    """Return the device of this name; "auto" takes CUDA, else MPS, else the CPU.

    Raises
    ------
    ConfigError
        The device is not one of ours, or this machine or build of torch lacks it.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(kind for kind, available in there.items() if available)
    kind = name.partition(":")[0]
    if kind not in there:
        raise ConfigError(f"Unknown device {name!r}. Take auto, cpu, cuda or mps.")
    if not there[kind]:
        raise ConfigError(
            f"Device {name!r} is not available here with torch {torch.__version__}. "
            "Take auto or cpu, or install the build of torch for that device."
        )
    return torch.device(name)


def place(network: Net, device: torch.device) -> Net:
    """Move a network to `device`, its weights laid out as convolutions are fastest."""
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
