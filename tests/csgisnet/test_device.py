"""Devices are checked before anything runs."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import torch

from csgisnet.device import autocast, is_out_of_memory, pick_device
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


def test_precision_decides_the_type_of_products() -> None:
    cpu, weight = torch.device("cpu"), torch.eye(2)
    for precision, expected in (("auto", torch.float32), ("bfloat16", torch.bfloat16)):
        with autocast(cpu, precision):  # type: ignore[arg-type]
            assert (weight @ weight).dtype == expected


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
