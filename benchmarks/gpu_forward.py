"""Milliseconds a megapixel and memory of the networks alone, in every precision of a device.

python -m benchmarks.gpu_forward
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch

from benchmarks.machine import describe
from benchmarks.train_step import precisions, synchronise
from csgisnet.device import Precision, pick_device, place, use_precision
from csgisnet.networks.folding import fold_batch_norm
from csgisnet.networks.smoothing import COMPACT, FULL, NetworkConfig, SmoothingNetwork


def main() -> None:
    """Measure, print and write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--small", action="store_true", help="one small image")
    parser.add_argument("--out", type=Path, help="JSON file")
    arguments = parser.parse_args()
    device = pick_device(arguments.device)
    shape = (1, 3, 128, 128) if arguments.small else (4, 3, 1024, 1024)
    found = {
        f"{name} {precision}": measure(config, precision, device, shape)
        for name, config in (("compact", COMPACT), ("full", FULL))
        for precision in precisions(device)
    }
    for name, row in found.items():
        print(f"{name:18} {row['ms_per_megapixel']:9.2f} ms a megapixel")
    report = {"device": describe(device), "torch": torch.__version__, "shape": shape, "rows": found}
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


def measure(
    config: NetworkConfig, precision: Precision, device: torch.device, shape: tuple[int, ...]
) -> dict[str, float]:
    """Return the median time of a forward pass over images that are on the device, and its peak."""
    network = place(fold_batch_norm(SmoothingNetwork(config)), device)
    images = torch.rand(shape, device=device).contiguous(memory_format=torch.channels_last)
    seconds = []
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with torch.inference_mode(), use_precision(precision, device):
        for _ in range(8):
            synchronise(device)
            began = time.perf_counter()
            network(images)
            synchronise(device)
            seconds.append(time.perf_counter() - began)
    megapixels = images.numel() / 3e6
    found = {"ms_per_megapixel": statistics.median(seconds[3:]) * 1e3 / megapixels}
    if device.type == "cuda":
        found["peak_bytes"] = torch.cuda.max_memory_allocated(device)
    return found


if __name__ == "__main__":
    main()
