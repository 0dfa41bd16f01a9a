"""Speed and error of prediction, beside a plain forward pass and other runtimes.

    python -m benchmarks.predict PHOTOS --compact csgisnet/models/compact.safetensors --threads 1 \\
        --out benchmarks/results/predict.json

Plain: the network as torch runs it, NCHW, with batch normalisation in layers of its own; autocast
is the same under torch's autocast to bfloat16. Ours: `Smoother.smooth`, which is what
`csgisnet predict` calls. ONNX Runtime and OpenVINO run the network that `csgisnet export` writes,
as their manuals say, where they are installed; inductor (--compile) is torch.compile with frozen
weights. All take turns, picture by picture, in one process, so that what else the machine does
slows all alike; "times" is the median of the ratios within a turn. "First" is what a way takes from
weights in memory to its first picture. The error is that against the plain pass in exact float32.
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
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.command import recorded_command
from csgisnet.checkpoints.export import export_network
from csgisnet.checkpoints.networks import load_network
from csgisnet.device import (
    Precision,
    choose_precision,
    keep_freed_memory,
    pick_device,
    place,
    use_precision,
)
from csgisnet.networks.folding import fold_batch_norm
from csgisnet.networks.smoothing import COMPACT, FULL, NetworkConfig, SmoothingNetwork
from csgisnet.prediction.precision import difference
from csgisnet.prediction.smoother import Smoother
from vocsmooth.arrays import to_float
from vocsmooth.images.reading import read_rgb

Image: TypeAlias = NDArray[np.float32]
Way: TypeAlias = Callable[[Image], Image]


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
    parser.add_argument("--compile", action="store_true", help="measure inductor as well")
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
        "networks": networks,
    }
    for name, path, config in (
        ("compact", arguments.compact, COMPACT),
        ("full", arguments.checkpoint, FULL),
    ):
        network = network_of(path, config)
        networks[name] = {
            "weights": "random" if path is None else "trained",
            "gflop_per_megapixel": round(gflop_per_megapixel(network), 1),
            "ways": measure(network, images, device, arguments.rounds, arguments.compile),
        }
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
    convs = (module for module in network.modules() if isinstance(module, nn.Conv2d))
    return sum(2e-3 * conv.weight.numel() for conv in convs) / network.config.shuffle**2


def measure(
    network: SmoothingNetwork,
    images: Sequence[Image],
    device: torch.device,
    rounds: int,
    compiled: bool,
) -> dict[str, dict[str, float]]:
    """Return seconds and errors of each way."""
    ways: dict[str, Way] = {}
    first = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, make in makers(network, device, Path(folder), compiled).items():
            began = time.perf_counter()
            ways[name] = make()
            ways[name](images[0])
            first[name] = time.perf_counter() - began
    with use_precision("float32", device):
        exact = joined(ways["plain"], images)
    errors = {name: difference(joined(way, images), exact) for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for image in images:
        for _ in range(rounds):
            for name, way in ways.items():
                began = time.perf_counter()
                way(image)
                megapixels = image.shape[0] * image.shape[1] / 1e6
                seconds[name].append((time.perf_counter() - began) / megapixels)
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


def joined(way: Way, images: Sequence[Image]) -> Image:
    """Return all values of the results."""
    return np.concatenate([way(image).ravel() for image in images])


def makers(
    network: SmoothingNetwork, device: torch.device, folder: Path, compiled: bool
) -> dict[str, Callable[[], Way]]:
    """Return what makes each way ready."""
    best = choose_precision("auto", device).precision
    precisions: list[Precision] = ["float32"]
    precisions += ["tf32"] if device.type == "cuda" else []
    precisions += ["bfloat16"] if best == "bfloat16" else []
    found: dict[str, Callable[[], Way]] = {"plain": lambda: plain(network, device)}
    for precision in precisions:
        found[f"ours {precision}"] = functools.partial(ours, network, device, precision)
    if best == "bfloat16":
        found["plain, autocast"] = lambda: plain(network, device, autocast=True)
    if compiled:
        found["inductor, frozen"] = lambda: inductor(network, device, autocast=best == "bfloat16")
    if device.type != "cpu":
        return found
    if importlib.util.find_spec("onnx") and importlib.util.find_spec("onnxruntime"):
        export_network(network, folder / "network.onnx", "onnx")
        found["ONNX Runtime float32"] = lambda: onnx_runtime(folder / "network.onnx")
        if importlib.util.find_spec("openvino"):
            for hint in ("f32", "bf16") if best == "bfloat16" else ("f32",):
                found[f"OpenVINO {hint}"] = functools.partial(
                    openvino, folder / "network.onnx", hint
                )
    return found


def plain(network: SmoothingNetwork, device: torch.device, *, autocast: bool = False) -> Way:
    """Return the network as torch runs it."""
    placed = copy.deepcopy(network).to(device)

    def way(image: Image) -> Image:
        x = batch_of(image).to(device)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            return image_of(placed(x).result)

    return way


def ours(network: SmoothingNetwork, device: torch.device, precision: Precision) -> Way:
    """Return what `csgisnet predict` runs."""
    return Smoother(network, device=str(device), precision=precision).smooth


def inductor(network: SmoothingNetwork, device: torch.device, *, autocast: bool) -> Way:
    """Return the folded network compiled with frozen weights, which needs a C++ compiler."""
    config: Any = importlib.import_module("torch._inductor.config")
    config.freezing = True
    function = torch.compile(place(fold_batch_norm(network), device), dynamic=False)

    def way(image: Image) -> Image:
        x = batch_of(image).to(device).contiguous(memory_format=torch.channels_last)
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            return image_of(function(x).result)

    return way


def onnx_runtime(path: Path) -> Way:
    """Return the exported network in ONNX Runtime."""
    runtime: Any = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda image: image_of(
        torch.from_numpy(session.run(None, {"image": batch_of(image).numpy()})[0])
    )


def openvino(path: Path, hint: str) -> Way:
    """Return the exported network in OpenVINO."""
    settings = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": hint,
        "NUM_STREAMS": 1,
    }
    runtime: Any = importlib.import_module("openvino")
    model = runtime.Core().compile_model(str(path), "CPU", settings)
    return lambda image: image_of(torch.from_numpy(model([batch_of(image).numpy()])[0]))


def batch_of(image: Image) -> torch.Tensor:
    """Return an image (H, W, 3) as a contiguous NCHW batch of one."""
    return torch.from_numpy(image).permute(2, 0, 1).contiguous()[None]


def image_of(batch: torch.Tensor) -> Image:
    """Return the image (H, W, 3) of a batch of one, clipped to [0, 1]."""
    image: Image = batch[0].float().clamp(0, 1).permute(1, 2, 0).cpu().numpy()
    return image


def versions() -> dict[str, str]:
    """Return those of torch and of the runtimes that are installed."""
    return {
        name: importlib.metadata.version(name)
        for name in ("torch", "onnxruntime", "openvino")
        if importlib.util.find_spec(name)
    }


def describe(device: torch.device) -> str:
    """Name the hardware."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def show(name: str, measured: Mapping[str, Any]) -> None:
    """Print the table of a network."""
    print(f"{name}, {measured['weights']} weights, {measured['gflop_per_megapixel']} Gflop/MP")
    print(f"{'':22} {'s/MP':>8} {'times':>6} {'first, s':>9} {'largest':>8} {'mean':>8}")
    for way, row in measured["ways"].items():
        print(
            f"{way:22} {row['seconds_per_megapixel']:8.3f} {row['times']:6.2f} "
            f"{row['first_seconds']:9.2f} {row['largest']:8.3f} {row['mean']:8.4f}"
        )


if __name__ == "__main__":
    main()
