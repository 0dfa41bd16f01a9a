"""Speed and error of prediction, beside a plain forward pass and other runtimes.

    python -m benchmarks.predict PHOTOS --compact csgisnet/models/compact.safetensors --threads 1 \\
        --out benchmarks/results/predict.json

and with --others for benchmarks/results/engines.json.

Plain: the network as torch runs it, NCHW, with batch normalisation in layers of its own; autocast
is the same under torch's autocast to bfloat16. Ours: `Smoother.smooth`, which is what
`csgisnet predict` calls. ONNX Runtime and OpenVINO run the network that `csgisnet export` writes,
as their manuals say, where they are installed. With --others inductor and int8 are measured too,
of networks whose weights are given, as int8 is calibrated for weights. All take turns, picture by
picture, in one process, so that what else the machine does slows all alike; "times" is the median
of the ratios within a turn. On one thread of a CPU the seconds are those of the processor, else
those of the clock. "First" is what a way takes, by the clock, from weights in memory, or from the
file that it has prepared, to its first picture. The error is that against the plain pass in exact
float32. "Peak" is the share of what the processor multiplies at most in that format.

Weights are random unless checkpoints are given: speed does not depend on them, errors do.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import functools
import importlib.metadata
import importlib.util
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import engines
from benchmarks.command import recorded_command
from benchmarks.engines import Image, Way
from benchmarks.machine import describe
from benchmarks.peak import peaks
from csgisnet.checkpoints.export import export_network
from csgisnet.checkpoints.networks import load_network
from csgisnet.device import (
    Precision,
    PredictionPrecision,
    choose_precision,
    keep_freed_memory,
    pick_device,
    use_precision,
)
from csgisnet.networks.quantising import Calibration, calibrate
from csgisnet.networks.smoothing import COMPACT, FULL, NetworkConfig, SmoothingNetwork
from csgisnet.prediction.precision import difference, missing_for_int8
from csgisnet.prediction.smoother import Smoother
from vocsmooth.arrays import to_float
from vocsmooth.images.reading import read_rgb


def main() -> None:
    """Measure all ways, print the tables and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="images")
    parser.add_argument("--checkpoint", type=Path, help="weights of the full network")
    parser.add_argument("--compact", type=Path, help="weights of the compact network")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, help="of each way; by default torch's")
    parser.add_argument("--limit", type=int, default=2, help="number of images to use; 0 for all")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each way on each image")
    parser.add_argument("--others", action="store_true", help="inductor and int8 as well")
    parser.add_argument("--hardware", default="", help="a line about the machine")
    parser.add_argument("--out", type=Path, help="JSON file")
    arguments = parser.parse_args()
    device = pick_device(arguments.device)
    torch.set_num_threads(arguments.threads or torch.get_num_threads())
    keep_freed_memory()  # as the command does
    files = sorted(p for p in arguments.folder.iterdir() if p.suffix in (".jpg", ".png"))
    images = [to_float(read_rgb(path)) for path in files[: arguments.limit or None]]
    networks: dict[str, dict[str, Any]] = {}
    report = {
        "hardware": arguments.hardware or describe(device),
        "device": str(device),
        "auto": "{}: {}".format(*choose_precision("auto", device)),
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "command": recorded_command(),
        "images": [path.name for path in files[: len(images)]],
        "rounds": arguments.rounds,
        "peak_gops_of_a_core": peaks() if device.type == "cpu" else {},
        "networks": networks,
    }
    for name, path, config in (
        ("compact", arguments.compact, COMPACT),
        ("full", arguments.checkpoint, FULL),
    ):
        if arguments.others and path is None:
            continue
        network = network_of(path, config)
        networks[name] = {
            "weights": "random" if path is None else "trained",
            "gflop_per_megapixel": round(gflop_per_megapixel(network), 1),
            "ways": measure(network, images, device, arguments.rounds, arguments.others),
        }
        add_shares(networks[name], report["peak_gops_of_a_core"])
        show(name, networks[name])
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


def gflop_per_megapixel(network: SmoothingNetwork) -> float:
    """Return what its convolutions multiply and add."""
    finish = (network.finish.details, network.finish.layers) if network.finish else ()
    whole = sum(_weights(layers) for layers in finish)  # at full resolution
    cells = network.config.shuffle**2
    return 2e-3 * (whole + (_weights(network) - whole) / cells)


def _weights(module: nn.Module) -> int:
    """Return how many weights the convolutions of a module have."""
    return sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Conv2d))


def measure(
    network: SmoothingNetwork,
    images: Sequence[Image],
    device: torch.device,
    rounds: int,
    others: bool,
) -> dict[str, dict[str, float]]:
    """Return seconds and errors of each way."""
    ways: dict[str, Way] = {}
    first = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, make in makers(network, device, Path(folder), others).items():
            began = time.perf_counter()
            ways[name] = make()
            ways[name](images[0])
            first[name] = time.perf_counter() - began
    with use_precision("float32", device):
        exact = joined(ways["plain"], images)
    errors = {name: difference(joined(way, images), exact) for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    for image in images:
        for _ in range(rounds):
            for name, way in ways.items():
                began = clock()
                way(image)
                megapixels = image.shape[0] * image.shape[1] / 1e6
                seconds[name].append((clock() - began) / megapixels)
    rows = {}
    for name, taken in seconds.items():
        ratios = [plain / own for plain, own in zip(seconds["plain"], taken, strict=True)]
        rows[name] = {
            "first_seconds": round(first[name], 3),
            "seconds_per_megapixel": round(statistics.median(taken), 4),
            "times": round(statistics.median(ratios), 2),
            **{key: round(value, 6) for key, value in errors[name]._asdict().items()},
        }
    return rows


def add_shares(measured: Mapping[str, Any], peak: Mapping[str, float]) -> None:
    """Add to each way in one format what share of the peak of all threads it reaches."""
    words = {"int8": "int8", "bf": "bfloat16", "autocast": "bfloat16", "inductor": "bfloat16"}
    for name, row in measured["ways"].items():
        form = next((form for word, form in words.items() if word in name), "float32")
        if peak:
            reached = measured["gflop_per_megapixel"] / row["seconds_per_megapixel"]
            row["share_of_peak"] = round(reached / torch.get_num_threads() / peak[form], 3)


def joined(way: Way, images: Sequence[Image]) -> Image:
    """Return all values of the results."""
    return np.concatenate([way(image).ravel() for image in images])


def makers(
    network: SmoothingNetwork, device: torch.device, folder: Path, others: bool
) -> dict[str, Callable[[], Way]]:
    """Return what makes each way ready."""
    best = choose_precision("auto", device).precision
    fast = best == "bfloat16"
    precisions: list[Precision] = ["float32"]
    precisions += ["tf32"] if device.type == "cuda" else []
    precisions += ["bfloat16"] if fast else []
    found: dict[str, Callable[[], Way]] = {"plain": lambda: plain(network, device)}
    for precision in precisions:
        found[f"ours {precision}"] = functools.partial(ours, network, device, precision)
    if fast:
        found["plain, autocast"] = lambda: plain(network, device, autocast=True)
    if others:
        found["inductor, frozen"] = lambda: engines.inductor(network, device, autocast=fast)
    if device.type != "cpu":
        return found
    if others and not missing_for_int8(device):
        pictures = [engines.batch_of(image) for image in engines.calibration()]
        ranges = calibrate(network, pictures)
        found["ours int8"] = functools.partial(ours, network, device, "int8", ranges)
    if others:
        found["inductor, ahead of time"] = engines.ahead_of_time(
            network, folder / "network.pt2", autocast=fast
        )
    if importlib.util.find_spec("onnx") and importlib.util.find_spec("onnxruntime"):
        found.update(exported(network, folder, fast=fast, int8=others))
    return found


def exported(
    network: SmoothingNetwork, folder: Path, *, fast: bool, int8: bool
) -> dict[str, Callable[[], Way]]:
    """Return what opens the exported network in those other runtimes that are installed."""
    path, images = folder / "network.onnx", 3 * network.config.shuffle**2
    export_network(network, path, "onnx")
    found: dict[str, Callable[[], Way]] = {
        "ONNX Runtime float32": functools.partial(engines.onnx_runtime, path)
    }
    if int8:
        engines.onnx_int8(path, folder / "int8.onnx", images)
        found["ONNX Runtime int8"] = functools.partial(engines.onnx_runtime, folder / "int8.onnx")
    if not importlib.util.find_spec("openvino"):
        return found
    rest = "bf16" if fast else "f32"
    for hint in ("f32", "bf16") if fast else ("f32",):
        found[f"OpenVINO {hint}"] = functools.partial(engines.openvino, path, hint)
    if int8 and importlib.util.find_spec("nncf"):
        engines.openvino_int8(path, folder / "int8.xml", images)
        found["OpenVINO int8"] = functools.partial(engines.openvino, folder / "int8.xml", rest)
    return found


def plain(network: SmoothingNetwork, device: torch.device, *, autocast: bool = False) -> Way:
    """Return the network as torch runs it."""
    placed = copy.deepcopy(network).to(device)

    def way(image: Image) -> Image:
        x = engines.batch_of(image).to(device)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            return engines.image_of(placed(x).result)

    return way


def ours(
    network: SmoothingNetwork,
    device: torch.device,
    precision: PredictionPrecision,
    calibration: Calibration | None = None,
) -> Way:
    """Return what `csgisnet predict` runs."""
    return Smoother(
        network, device=str(device), precision=precision, calibration=calibration
    ).smooth


def versions() -> dict[str, str]:
    """Return those of torch and of the runtimes that are installed."""
    return {
        name: importlib.metadata.version(name)
        for name in ("torch", "onnxruntime", "openvino", "nncf")
        if importlib.util.find_spec(name)
    }


def show(name: str, measured: Mapping[str, Any]) -> None:
    """Print the table of a network."""
    print(f"{name}, {measured['weights']} weights, {measured['gflop_per_megapixel']} Gflop/MP")
    print(
        f"{'':24} {'s/MP':>8} {'times':>6} {'first, s':>9} {'largest':>8} {'mean':>8} {'peak':>5}"
    )
    for way, row in measured["ways"].items():
        print(
            f"{way:24} {row['seconds_per_megapixel']:8.3f} {row['times']:6.2f} "
            f"{row['first_seconds']:9.2f} {row['largest']:8.3f} {row['mean']:8.4f} "
            f"{row.get('share_of_peak', float('nan')):5.2f}"
        )


if __name__ == "__main__":
    main()
