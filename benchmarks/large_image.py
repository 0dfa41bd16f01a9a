"""Peak memory of a `csgisnet predict` process on one large image.

    python -m benchmarks.large_image --side 10000 --out benchmarks/results/large_image.json

The pixels are a smooth pattern with noise, which compresses like a photograph. Weights are random
unless a checkpoint is given: memory does not depend on them.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.command import recorded_command
from csgisnet.checkpoints.networks import save_network
from csgisnet.networks.smoothing import COMPACT, SmoothingNetwork
from vocsmooth.arrays import to_uint
from vocsmooth.images.reading import Picture
from vocsmooth.images.writing import write_picture

RUN = "from vocsmooth_cli.network import main; main()"
BAND = 500
DEEP = ("png", "tif", "tiff")


def main() -> None:
    """Measure each format in a process of its own; print the rows and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--side", type=int, default=10_000, help="of the image, in pixels")
    parser.add_argument("--checkpoint", type=Path, help="weights of the compact network")
    parser.add_argument("--formats", nargs="+", default=["png", "jpg", "tiff"])
    parser.add_argument("--deep", action="store_true", help="use 16 bits where the format has them")
    parser.add_argument("--hardware", default=f"{platform.machine()} CPU")
    parser.add_argument("--out", type=Path, help="JSON file")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = arguments.checkpoint or save_random(folder / "compact.safetensors")
        pixels = pattern(arguments.side, np.uint16 if arguments.deep else np.uint8)
        for ending in arguments.formats:
            write_picture(folder / f"image.{ending}", Picture(pixels=pixels))
        del pixels
        for ending in arguments.formats:
            row = measure(folder / f"image.{ending}", checkpoint, folder / ending)
            rows.append(row | {"bits": 16 if arguments.deep and ending in DEEP else 8})
            print(rows[-1], flush=True)
    report = {
        "hardware": arguments.hardware,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "command": recorded_command(),
        "megapixels": arguments.side**2 / 1e6,
        "rows": rows,
    }
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


def save_random(path: Path) -> Path:
    """Write an untrained compact network."""
    save_network(path, SmoothingNetwork(COMPACT))
    return path


def pattern(side: int, dtype: type[np.uint8 | np.uint16]) -> np.ndarray:
    """Return smooth waves with noise (side, side, 3)."""
    rng = np.random.default_rng(0)
    image = np.empty((side, side, 3), dtype)
    x = np.arange(side, dtype=np.float32)[None, :, None]
    phase = np.arange(3, dtype=np.float32)
    for top in range(0, side, BAND):
        y = np.arange(top, min(top + BAND, side), dtype=np.float32)[:, None, None]
        waves = 0.5 + 0.3 * np.sin(x / 210 + phase) * np.cos(y / 170 - phase)
        noisy = waves + rng.normal(0, 0.015, waves.shape).astype(np.float32)
        image[top : top + BAND] = to_uint(noisy, dtype)
    return image


def measure(image: Path, checkpoint: Path, out: Path) -> dict[str, object]:
    """Run the command and return its peak resident memory and its time."""
    began = time.perf_counter()
    words = ["predict", image, "--checkpoint", checkpoint, "--device", "cpu", "--out", out]
    words += ["--precision", "float32"]  # the same on all processors
    line = [sys.executable, "-c", RUN, *map(str, words)]
    process = os.spawnv(os.P_NOWAIT, sys.executable, line)
    _, status, usage = os.wait4(process, 0)
    if status:
        raise SystemExit(f"predict failed on {image.name} ({status}).")
    return {
        "file": image.name,
        "file_megabytes": round(image.stat().st_size / 1e6, 1),
        "result_megabytes": round((out / image.name).stat().st_size / 1e6, 1),
        "peak_gigabytes": round(usage.ru_maxrss * 1024 / 1e9, 3),
        "seconds": round(time.perf_counter() - began, 1),
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 1),
    }


if __name__ == "__main__":
    main()
