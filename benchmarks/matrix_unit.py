"""The networks on Intel's AMX: our convolutions, oneDNN's, and other runtimes, in turns.

    python -m benchmarks.matrix_unit PHOTO --out benchmarks/results/matrix_unit.json

As `benchmarks.predict`, but only the ways that matter there, with the ranges for int8 of the
network's file, so that it takes half a minute. --full measures the full network, too, with random
weights, on a corner of the photograph: another minute. All seconds, also those of the first
picture, are the processor's on one thread.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import importlib.util
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from benchmarks import engines
from benchmarks.command import recorded_command
from benchmarks.engines import Way
from benchmarks.peak import peaks
from benchmarks.predict import (
    add_shares,
    gflop_per_megapixel,
    network_of,
    ours,
    plain,
    show,
    versions,
)
from csgisnet.checkpoints.calibrations import load_calibration
from csgisnet.checkpoints.export import export_network
from csgisnet.checkpoints.networks import load_network
from csgisnet.checkpoints.pretrained import find_weights
from csgisnet.device import keep_freed_memory
from csgisnet.networks.smoothing import FULL, SmoothingNetwork
from csgisnet.prediction import compiled
from csgisnet.prediction.fused import Image
from csgisnet.prediction.precision import difference
from vocsmooth.arrays import to_float
from vocsmooth.images.reading import read_rgb

CPU = torch.device("cpu")

CORNER = 256
"""Side of the picture that the full network is measured on."""


def main() -> None:
    """Measure, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photograph", type=Path)
    parser.add_argument("--rounds", type=int, default=7, help="turns of each way")
    parser.add_argument("--full", action="store_true", help="measure the full network, too")
    parser.add_argument("--full-rounds", type=int, default=3, help="turns of each way for it")
    parser.add_argument("--hardware", default="", help="a line about the machine")
    parser.add_argument("--out", type=Path, help="JSON file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as the command does
    image = to_float(read_rgb(arguments.photograph))
    path = find_weights(None)
    peak = peaks()
    networks = {"compact": measure(load_network(path), path, image, arguments.rounds)}
    if arguments.full:
        corner = np.ascontiguousarray(image[:CORNER, :CORNER])
        networks["full"] = measure(network_of(None, FULL), None, corner, arguments.full_rounds)
    for name, measured in networks.items():
        add_shares(measured, peak)
        show(name, measured)
    if arguments.out:
        report = {
            "hardware": arguments.hardware,
            "threads": 1,
            "versions": versions(),
            "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
            "command": recorded_command(),
            "rounds": arguments.rounds,
            "peak_gops_of_a_core": peak,
            "networks": networks,
        }
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


def measure(
    network: SmoothingNetwork, path: Path | None, image: Image, rounds: int
) -> dict[str, Any]:
    """Return what each way takes for an image, in turns, and its difference from plain torch.

    `path` is the network's file; without one its weights are random.
    """
    megapixels = image.shape[0] * image.shape[1] / 1e6
    ways, first = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name, make in makers(network, path, Path(folder)).items():
            began = time.process_time()
            ways[name] = make()
            ways[name](image)
            first[name] = time.process_time() - began
    exact = ways["plain"](image)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.process_time()
            way(image)
            seconds[name].append((time.process_time() - began) / megapixels)
    rows = {
        name: {
            "first_seconds": round(first[name], 3),
            "seconds_per_megapixel": round(statistics.median(taken), 4),
            "times": ratio(seconds["plain"], taken),
            "times_ours_float32": ratio(seconds["ours float32"], taken),
            **{
                key: round(value, 6)
                for key, value in difference(ways[name](image), exact)._asdict().items()
            },
        }
        for name, taken in seconds.items()
    }
    return {
        "weights": "random" if path is None else "trained",
        "gflop_per_megapixel": round(gflop_per_megapixel(network), 1),
        "ways": rows,
    }


def ratio(one: list[float], other: list[float]) -> float:
    """Return the median of the ratios within a turn."""
    return round(statistics.median(a / b for a, b in zip(one, other, strict=True)), 2)


def makers(
    network: SmoothingNetwork, path: Path | None, folder: Path
) -> dict[str, Callable[[], Way]]:
    """Return what makes each way ready; other runtimes where they are installed."""
    found: dict[str, Callable[[], Way]] = {
        "plain": lambda: plain(network, CPU),
        "ours float32": lambda: ours(network, CPU, "float32"),
        "plain, autocast": lambda: plain(network, CPU, autocast=True),
        "ours bfloat16, oneDNN": functools.partial(with_onednn, network),
        "ours bfloat16": lambda: ours(network, CPU, "bfloat16"),
    }
    if path is not None:
        calibration = load_calibration(path, network)
        found["ours int8"] = lambda: ours(network, CPU, "int8", calibration)
    if importlib.util.find_spec("onnx"):
        exported = folder / "network.onnx"
        export_network(network, exported, "onnx")
        if importlib.util.find_spec("onnxruntime"):
            found["ONNX Runtime float32"] = lambda: engines.onnx_runtime(exported)
        if importlib.util.find_spec("openvino"):
            for hint in ("f32", "bf16"):
                name = f"OpenVINO {hint}"
                found[name] = functools.partial(engines.openvino, exported, hint)
    return found


def with_onednn(network: SmoothingNetwork) -> Way:
    """Return the network in bfloat16 as on processors without the matrix unit."""
    with mock.patch.object(compiled, "unit_for", return_value=None):
        return ours(network, CPU, "bfloat16")


if __name__ == "__main__":
    main()
