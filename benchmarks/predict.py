"""Speed of prediction on a folder, compared with a plain forward pass of the same network.

    python benchmarks/predict.py PHOTOS --out benchmarks/results/predict.json

Plain: float32, NCHW, batch normalisation as layers of its own, one image after another, with imread
and imwrite in between. Ours: what `csgisnet predict` does, for the same network and for the compact
one. Weights are random unless checkpoints are given: speed does not depend on them. On a machine
with a GPU the same command measures that, with bfloat16 as well.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from csgisnet.checkpoints.networks import load_network
from csgisnet.device import Precision, keep_freed_memory, pick_device
from csgisnet.networks.smoothing import COMPACT, FULL, NetworkConfig, SmoothingNetwork
from csgisnet.prediction.smoother import Smoother
from vocsmooth.images.destinations import plan
from vocsmooth.images.folders import run

STAGES = ("read", "network", "write")


def main() -> None:
    """Measure all sides, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="images")
    parser.add_argument("--checkpoint", type=Path, help="weights of the full network")
    parser.add_argument("--compact", type=Path, help="weights of the compact network")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--limit", type=int, default=0, help="number of images to use; 0 for all")
    parser.add_argument("--hardware", default="", help="a line about the machine")
    parser.add_argument("--out", type=Path, help="JSON file")
    arguments = parser.parse_args()
    device = pick_device(arguments.device)
    files = sorted(p for p in arguments.folder.iterdir() if p.suffix in (".jpg", ".png"))
    files = files[: arguments.limit or None]
    full = network_of(arguments.checkpoint, FULL)
    compact = network_of(arguments.compact, COMPACT)
    torch.backends.cudnn.benchmark = False  # it would search again for every size
    with torch.inference_mode():
        plain = full.to(device)
        plain_forward(plain, read(files[0]), device)
        stages = time_plain(plain, files, device)
    seconds = sum(stages.values())
    precisions: tuple[Precision, ...] = ("float32", "bfloat16")
    keep_freed_memory()  # as the command does
    rows: dict[str, dict[str, float]] = {"plain full float32": {"seconds": seconds, "times": 1.0}}
    for name, network in (("full", full), ("compact", compact)):
        for precision in precisions if device.type == "cuda" else precisions[:1]:
            smoother = Smoother(network, device=str(device), precision=precision)
            rows[f"ours {name} {precision}"] = {
                **(taken := time_ours(smoother, files)),
                "times": seconds / taken["seconds"],
                **differences(smoother, network.to(device), files[:4], device),
            }
    report = {
        "hardware": arguments.hardware or describe(device),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "command": shlex.join(["python", *sys.argv]),
        "weights": "random" if arguments.checkpoint is None else "trained",
        "images": [path.name for path in files],
        "plain_stages": stages,
        "rows": rows,
    }
    show(report)
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


def network_of(path: Path | None, config: NetworkConfig) -> SmoothingNetwork:
    """Load a checkpoint, or make a network whose batch statistics differ from a fresh one's."""
    if path is not None:
        return load_network(path)
    torch.manual_seed(0)
    network = SmoothingNetwork(config)
    with torch.no_grad():
        for _ in range(10):
            network(torch.rand(2, 3, 128, 128))
    return network.eval()


def time_plain(
    network: SmoothingNetwork, files: Sequence[Path], device: torch.device
) -> dict[str, float]:
    """Return the seconds of each stage over all files."""
    seconds = dict.fromkeys(STAGES, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        for path in files:
            marks = [time.perf_counter()]
            image = read(path)
            marks.append(time.perf_counter())
            result = plain_forward(network, image, device)
            marks.append(time.perf_counter())
            pixels = np.rint(result.clip(0, 1) * 255).astype(np.uint8)  # as a plain script would
            cv2.imwrite(f"{folder}/{path.stem}.png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
            marks.append(time.perf_counter())
            for stage, duration in zip(STAGES, np.diff(marks), strict=True):
                seconds[stage] += float(duration)
    return seconds


def read(path: Path) -> NDArray[np.float32]:
    """Read an image as RGB in [0, 1]."""
    pixels = cv2.imread(str(path))
    if pixels is None:
        raise SystemExit(f"{path} is not an image.")
    image: NDArray[np.float32] = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).astype(np.float32)
    return image / np.float32(255)


def plain_forward(
    network: SmoothingNetwork, image: NDArray[np.float32], device: torch.device
) -> NDArray[np.float32]:
    """Smooth one image (H, W, 3) as a contiguous NCHW batch of one."""
    x = torch.from_numpy(image).permute(2, 0, 1).contiguous()[None].to(device)
    result: NDArray[np.float32] = network(x).result[0].permute(1, 2, 0).cpu().numpy()
    return result


def time_ours(smoother: Smoother, files: Sequence[Path]) -> dict[str, float]:
    """Return the seconds that the folder pipeline takes for all files."""
    smoother.smooth(np.zeros((64, 64, 3), np.float32))
    with tempfile.TemporaryDirectory() as folder:
        tasks = plan(files, Path(folder), ending=".png")
        began = time.perf_counter()
        run(tasks, smoother.smooth_pixels, jobs=2 * smoother.batch, workers="threads")
        return {"seconds": time.perf_counter() - began}


def differences(
    smoother: Smoother, network: SmoothingNetwork, files: Sequence[Path], device: torch.device
) -> dict[str, float]:
    """Return the largest and the mean difference from a plain forward pass with these weights."""
    apart = []
    for path in files:
        image = read(path)
        with torch.inference_mode():
            plain = plain_forward(network, image, device).clip(0, 1)
        apart.append(np.abs(smoother.smooth(image) - plain).ravel())
    found = np.concatenate(apart)
    return {"max_difference": float(found.max()), "mean_difference": float(found.mean())}


def describe(device: torch.device) -> str:
    """Name the hardware."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def show(report: dict[str, object]) -> None:
    """Print the table."""
    rows: dict[str, dict[str, float]] = report["rows"]  # type: ignore[assignment]
    print(f"{report['hardware']}; plain: {report['plain_stages']}")
    print(f"{'':24} {'s':>8} {'times':>7} {'largest':>9} {'mean diff.':>10}")
    for name, row in rows.items():
        largest, mean = row.get("max_difference", 0.0), row.get("mean_difference", 0.0)
        print(f"{name:24} {row['seconds']:8.2f} {row['times']:7.2f} {largest:9.1e} {mean:10.1e}")


if __name__ == "__main__":
    main()
