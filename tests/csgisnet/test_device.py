"""Devices are checked before anything runs."""

from __future__ import annotations

import platform
import subprocess
import sys
from typing import Any

import pytest
import torch

from csgisnet.device import (
    Precision,
    choose_precision,
    constant,
    default_memory,
    is_out_of_memory,
    pick_device,
    use_precision,
)
from csgisnet.errors import ConfigError
from vocsmooth.errors import UnknownNameError


def test_auto_finds_a_device_and_a_name_is_kept() -> None:
    assert pick_device().type in ("cpu", "cuda", "mps")
    assert pick_device("cpu") == torch.device("cpu")


def test_an_unknown_device_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"'gpu'.*auto, cpu, cuda or mps"):
        pick_device("gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_missing_device_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"'cuda' is not available.*auto or cpu"):
        pick_device("cuda")


CPU = torch.device("cpu")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision_decides_the_type_of_products(precision: Precision) -> None:
    weight = torch.eye(2)
    with use_precision(precision, CPU):
        assert str(weight.dtype) == "torch.float32"
        assert str((weight @ weight).dtype) == f"torch.{precision}"
    assert (weight @ weight).dtype == torch.float32


def test_float32_is_exact_whatever_the_process_allows_and_tf32_rounds_on_cuda_only() -> None:
    backends: Any = torch.backends
    conv, matmul = backends.cudnn.conv, backends.cuda.matmul
    before = conv.fp32_precision, matmul.fp32_precision
    try:
        conv.fp32_precision = matmul.fp32_precision = "tf32"
        with use_precision("float32", CPU):
            assert (conv.fp32_precision, matmul.fp32_precision) == ("ieee", "ieee")
        with pytest.raises(ZeroDivisionError), use_precision("bfloat16", CPU):
            _ = 1 / 0
        assert (conv.fp32_precision, matmul.fp32_precision) == ("tf32", "tf32")
    finally:
        conv.fp32_precision, matmul.fp32_precision = before
    with pytest.raises(ConfigError, match="Only CUDA devices compute in tf32, not cpu"):
        choose_precision("tf32", CPU)


@pytest.mark.parametrize(
    ("capabilities", "expected", "reason"),
    [
        ({"avx512_bf16": True}, "bfloat16", "in hardware (AVX-512 BF16)"),
        ({"avx512_bf16": True, "amx_bf16": True}, "bfloat16", "in hardware (AMX, AVX-512 BF16)"),
        ({"bf16": True, "neon": True}, "float32", "neither AMX nor AVX-512 BF16"),  # unmeasured
        ({"avx512_bf16": False, "avx2": True}, "float32", "neither AMX nor AVX-512 BF16"),
        ({}, "float32", "neither AMX nor AVX-512 BF16"),
    ],
)
def test_auto_takes_bfloat16_where_instructions_were_measured_to_pay(
    capabilities: dict[str, bool], expected: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    choice = choose_precision("auto", CPU)
    assert choice.precision == expected
    assert reason in choice.reason
    asked = choose_precision("bfloat16", CPU)
    assert asked == ("bfloat16", "as asked for")


def test_an_unknown_precision_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'half'.*auto, float32, tf32 or bfloat16"):
        choose_precision("half", CPU)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory", True),
        ("MPS backend out of memory (MPS allocated: 1.00 GB)", True),
        ("could not create a primitive", True),
        ("Given groups=1, weight of size [8, 3, 3, 3], expected input to have 3 channels", False),
    ],
)
def test_out_of_memory_errors_are_recognised(message: str, expected: bool) -> None:
    assert is_out_of_memory(RuntimeError(message)) == expected


def test_memory_for_activations_follows_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an MPS device only torch's answers can be had here: half of what is left of them."""
    assert default_memory(CPU) == 1 << 30
    mps = torch.device("mps")
    monkeypatch.setattr(torch.mps, "current_allocated_memory", lambda: 2 << 30)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 12 << 30, raising=False)
    assert default_memory(mps) == 5 << 30
    monkeypatch.setattr(torch.mps, "current_allocated_memory", lambda: 13 << 30)
    assert default_memory(mps) == 0
    monkeypatch.delattr(torch.mps, "recommended_max_memory")
    assert default_memory(mps) == 1 << 30


def test_constants_are_made_once_also_if_a_prediction_asks_first() -> None:
    like = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    with torch.inference_mode():
        first = constant(((1.5, 2), (3, 4)), like)
    assert first.tolist() == [[1.5, 2.0], [3.0, 4.0]]
    assert first is constant(((1.5, 2), (3, 4)), like)
    assert constant(((1.5, 2), (3, 4)), like.float()).dtype == torch.float32
    torch.autograd.backward((first * like).sum())


KEPT = """
import sys, torch
from csgisnet.device import keep_freed_memory, return_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
before = resident()
torch.ones(30_000_000).sum()
kept = resident() - before
return_freed_memory()
print(kept > 100_000_000, resident() - before > 100_000_000)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_freed_memory_is_kept_until_it_is_returned() -> None:
    for mode, expected in (("keep", "True False\n"), ("leave", "False False\n")):
        line = [sys.executable, "-c", KEPT, mode]
        result = subprocess.run(line, capture_output=True, text=True, check=True)
        assert result.stdout == expected
