"""What a measurement says about the machine it was taken on."""

from __future__ import annotations

import platform
import re
from pathlib import Path

import torch

from csgisnet.device import bfloat16_instructions


def describe(device: torch.device) -> str:
    """Name the hardware."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    name = found[1] if found else f"{platform.machine()} CPU"
    return ", ".join([name, *bfloat16_instructions(), f"{torch.get_num_threads()} threads"])
