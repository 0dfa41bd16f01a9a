"""Choose the device and the precision in which networks run."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from csgisnet.errors import ConfigError
from vocsmooth.errors import UnknownNameError

DeviceName: TypeAlias = Literal["auto", "cpu", "cuda", "mps"]

Net = TypeVar("Net", bound=nn.Module)

Precision: TypeAlias = Literal["auto", "float32", "tf32", "bfloat16"]
"""How a network multiplies; sums are float32 in all of them.

- "float32": exactly, on every device. (By default torch rounds the factors of a convolution on CUDA
  devices to TF32.)
- "tf32": factors rounded to 11 significant bits, which only CUDA devices do.
- "bfloat16": factors and features rounded to 8 significant bits.
- "auto": what `choose_precision` says.
"""

PredictionPrecision: TypeAlias = Precision | Literal["int8"]
"""How a trained network multiplies: also in whole numbers of 8 bits, on processors, where its file
has the ranges for it (see `csgisnet.networks.quantising`)."""

_BFLOAT16_INSTRUCTIONS = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512 BF16"}
"""Names in ``torch.cpu.get_capabilities()`` of the instructions that were measured to pay. With
AVX-512 BF16 (Zen 5) prediction takes half as long as in float32 and training three quarters
(benchmarks/results/engines-zen5.json), with AMX a fifth (engines.json) and 0.35 to 0.45
of it (train_step-*.json). Arm's were never measured: float32 is taken there."""

_INT8_INSTRUCTIONS = {
    "amx_int8": "AMX",
    "avx512_vnni": "AVX-512 VNNI",
    "avx_vnni": "AVX-VNNI",
}
"""Likewise, of the instructions whose sums of int8 products cannot overflow."""

_NO_MEMORY = ("can't allocate memory", "out of memory", "could not create a primitive")
"""Phrases in torch's messages about memory; the last is oneDNN's, for convolutions on the CPU."""

_CPU_MEMORY = 1 << 30
"""Bytes for activations on a CPU, whose memory serves everything else, too."""

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


class Choice(NamedTuple):
    """A precision, and why it was chosen."""

    precision: Literal["float32", "tf32", "bfloat16"]
    reason: str
    """A clause such as "this processor multiplies bfloat16 in hardware (AMX)"."""


def choose_precision(precision: Precision, device: torch.device) -> Choice:
    """Return the precision that a name means on a device.

    "auto" is bfloat16 where the hardware multiplies it, which is faster, else float32.

    Raises
    ------
    ConfigError
        The name is unknown, or the device does not multiply like that.
    """
    if precision == "auto":
        return _fastest(device)
    if precision == "tf32" and device.type != "cuda":
        raise ConfigError(f"Only CUDA devices compute in tf32, not {device}. Take auto or float32.")
    if precision not in ("float32", "tf32", "bfloat16"):
        raise ConfigError(f"Unknown precision {precision!r}. Take auto, float32, tf32 or bfloat16.")
    return Choice(precision, "as asked for")


def _fastest(device: torch.device) -> Choice:
    """Return the precision in which networks run fastest on a device."""
    if device.type == "cpu":
        if found := bfloat16_instructions():
            how = ", ".join(found)
            return Choice("bfloat16", f"this processor multiplies bfloat16 in hardware ({how})")
        wanted = " nor ".join(_BFLOAT16_INSTRUCTIONS.values())
        return Choice("float32", f"torch finds neither {wanted} in this processor")
    if device.type != "cuda":
        return Choice("float32", f"bfloat16 was never measured on {device.type}")
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return Choice("bfloat16", "this GPU multiplies bfloat16 in hardware")
    return Choice("float32", "this GPU does not multiply bfloat16 in hardware")


def bfloat16_instructions() -> list[str]:
    """Name the processor's instructions that multiply bfloat16; torch before 2.12 finds none."""
    return _instructions(_BFLOAT16_INSTRUCTIONS)


def int8_instructions() -> list[str]:
    """Name the processor's instructions that multiply int8 exactly."""
    return _instructions(_INT8_INSTRUCTIONS)


def _instructions(names: Mapping[str, str]) -> list[str]:
    """Return the names of those that torch finds in the processor."""
    find: Callable[[], Mapping[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    capabilities = find()
    return [name for key, name in names.items() if capabilities.get(key)]


@contextlib.contextmanager
def use_precision(precision: Precision, device: torch.device) -> Iterator[None]:
    """Multiply on `device` in this precision, inside the block.

    Convolutions that leave autocast multiply float32 exactly unless `precision` is "tf32"; matrix
    products outside autocast always do. Torch keeps how it multiplies float32 for the whole
    process: two threads must not be in blocks of different precisions at the same time.
    """
    chosen = choose_precision(precision, device).precision
    backends: Any = torch.backends  # its modules make their attributes when they are asked for
    how = {
        backends.cudnn.conv: "tf32" if chosen == "tf32" else "ieee",
        backends.mkldnn.conv: "ieee",
        backends.cuda.matmul: "ieee",
        backends.mkldnn.matmul: "ieee",
    }
    before = {operator: operator.fp32_precision for operator in how}
    try:
        for operator, value in how.items():
            operator.fp32_precision = value
        with torch.autocast(device.type, torch.bfloat16, enabled=chosen == "bfloat16"):
            yield
    finally:
        for operator, value in before.items():
            operator.fp32_precision = value


def constant(rows: tuple[Any, ...], like: Tensor) -> Tensor:
    """Return numbers, in rows if they are nested, of the type and on the device of `like`.

    They are copied to the device the first time only, as each copy from a list waits for all that
    the device has to do. The tensor is shared: it must not be changed.
    """
    if torch.compiler.is_compiling():  # it has constants of its own, and does not see this cache
        return like.new_tensor(rows)
    return _kept_constant(rows, like.dtype, like.device)


@functools.lru_cache(maxsize=64)
def _kept_constant(rows: tuple[Any, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the tensor of `constant`."""
    with torch.inference_mode(False):  # so that training may use what a prediction asked for first
        return torch.tensor(rows, dtype=dtype, device=device)


def default_memory(device: torch.device) -> int:
    """Return the bytes that activations may take on a device where the user sets no limit."""
    free = _free_memory(device)
    return _CPU_MEMORY if free is None else free // 2


def _free_memory(device: torch.device) -> int | None:
    """Return the bytes that a device has left for this process; None if it has none of its own."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    # MPS shares the memory of the system: the first number is how much of it Metal recommends one
    # process to use at most, the second how much this one has in tensors. Never run on such a
    # device; torch before 2.11 may lack the first.
    recommended: Callable[[], int] | None = getattr(torch.mps, "recommended_max_memory", None)
    if device.type == "mps" and recommended is not None:
        return max(0, recommended() - torch.mps.current_allocated_memory())
    return None


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
    """Return memory that glibc's malloc holds to the system; with other libraries, do nothing."""
    _call_malloc("malloc_trim", 0)


def _call_malloc(name: str, *arguments: int) -> None:
    """Call a function of glibc if this process has it."""
    function = None if sys.platform == "win32" else getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*arguments)
