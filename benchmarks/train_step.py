"""Compare training speed with the plain way, on the same network, teachers and losses.

    python -m benchmarks.train_step --data demo/dataset --segmenter demo/segmenter.safetensors

Plain is what `plain_training` says, in torch's default precision (TF32 on CUDA devices), and ours
what `csgisnet train` does, in each precision that the device has; where a processor convolves with
our kernels in float32, also with the convolutions of torch. All take turns in one process, a few
steps each, so that other work on the machine slows all of them. A table of stages shows where
the time goes, waiting for the device after every stage.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from benchmarks.command import recorded_command
from benchmarks.machine import describe
from benchmarks.plain_training import Side, load_plain_teachers, plain_side
from csgisnet.device import (
    Precision,
    bfloat16_instructions,
    choose_precision,
    keep_freed_memory,
    pick_device,
    place,
    use_precision,
)
from csgisnet.objective.losses import Teachers, total_loss
from csgisnet.objective.teachers import load_teachers
from csgisnet.prediction.winograd import pays
from csgisnet.training import convolve
from csgisnet.training.config import Config, load_config
from csgisnet.training.data import BatchSource
from csgisnet.training.distributed import Processes
from csgisnet.training.optimise import make_optimizers, take_step
from csgisnet.training.step import Training, new_network
from vocsmooth.shards.reader import Dataset, open_dataset

STAGES = ("data", "forward", "losses", "backward", "step")


def main() -> None:
    """Measure all ways, print the tables and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="dataset of `vocsmooth build`")
    parser.add_argument("--segmenter", type=Path, required=True, help="segmenter weights")
    parser.add_argument("--config", default="full", help="full, compact, demo or a TOML file")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--patch", type=int, default=128, help="side of a patch, 88 or more")
    parser.add_argument("--batch", type=int, default=8, help="patches a batch")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each way")
    parser.add_argument("--steps", type=int, default=1, help="steps a turn; 10 on a GPU")
    parser.add_argument("--loss-steps", type=int, default=0, help="steps for equal loss, e.g. 500")
    parser.add_argument("--compile", action="store_true", help="compile our network and losses")
    parser.add_argument("--out", type=Path, help="JSON file")
    arguments = parser.parse_args()
    device = pick_device(arguments.device)
    config, dataset = load_config(arguments.config), open_dataset(arguments.data)
    size = {"patch": arguments.patch, "batch_size": arguments.batch}
    config = dataclasses.replace(
        config,
        run=dataclasses.replace(config.run, compile=arguments.compile),
        data=dataclasses.replace(config.data, **size),
    )
    teachers = load_teachers(config.losses, arguments.segmenter, None).to(device)
    plain_teachers = load_plain_teachers(arguments.segmenter, device)
    torch.backends.cudnn.benchmark = True
    keep_freed_memory()  # as the command does
    plain = plain_side(config, dataset, plain_teachers, device)
    ways = {"plain": plain_steps(plain, device)}
    for precision in precisions(device):
        ways[f"ours {precision}"] = our_steps(config, precision, dataset, teachers, device)
    if device.type == "cpu" and pays():
        with mock.patch.object(convolve, "pays", return_value=False):
            steps = our_steps(config, "float32", dataset, teachers, device)
        ways["ours float32, convolutions of torch"] = steps
    best = choose_precision("auto", device).precision
    ours = our_side(config, dataset, teachers, device)
    report: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "command": recorded_command(),
        "device": describe(device),
        "torch": torch.__version__,
        "config": arguments.config,
        "compiled": arguments.compile,
        **size,
        "ways": take_turns(ways, device, arguments.batch, arguments.rounds, arguments.steps),
        "stages": {
            "plain": measure(plain, plain_precision(device), device, arguments.rounds),
            f"ours {best}": measure(ours, best, device, arguments.rounds),
        },
    }
    if arguments.loss_steps:
        report["loss"] = equal_loss(config, dataset, teachers, device, arguments.loss_steps)
    show(report)
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


def plain_precision(device: torch.device) -> Precision:
    """What torch takes if nobody says anything."""
    return "tf32" if device.type == "cuda" else "float32"


def precisions(device: torch.device) -> tuple[Precision, ...]:
    """All precisions that a device has in hardware."""
    if device.type == "cuda":
        return "float32", "tf32", "bfloat16"
    has_bfloat16 = device.type == "cpu" and bfloat16_instructions()
    return ("float32", "bfloat16") if has_bfloat16 else ("float32",)


def plain_steps(side: Side, device: torch.device) -> Callable[[], None]:
    """Return what takes a step the plain way."""

    def step() -> None:
        batch = next(side.batches)
        with use_precision(plain_precision(device), device):
            loss = side.losses(side.forward(batch.input), batch)
            loss.backward()  # type: ignore[no-untyped-call]
        clip_and_step(side.optimizers)

    return step


def our_steps(
    config: Config,
    precision: Precision,
    dataset: Dataset,
    teachers: Teachers,
    device: torch.device,
) -> Callable[[], None]:
    """Return what takes a step of `Training`."""
    config = dataclasses.replace(config, run=dataclasses.replace(config.run, precision=precision))
    training = Training(config, teachers, Processes(device=device))
    source = BatchSource(dataset, config.data, config.augment, seed=config.seed, device=device)
    batches = source.batches(0, 1 << 30)
    return lambda: void(training.advance(batches))


def void(_: object) -> None:
    """Drop a result."""


def take_turns(
    ways: dict[str, Callable[[], None]],
    device: torch.device,
    batch: int,
    rounds: int,
    steps: int,
) -> dict[str, dict[str, float]]:
    """Time `steps` steps of every way, `rounds` times; times are those of the plain way's turn."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    peaks = dict.fromkeys(ways, 0)
    for step in ways.values():
        for _ in range(3):  # warms up, compiles, and searches for algorithms
            step()
    for _ in range(rounds):
        for name, step in ways.items():
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            with clock(device, seconds[name]):
                for _ in range(steps):
                    step()
            if device.type == "cuda":
                peaks[name] = max(peaks[name], torch.cuda.max_memory_allocated(device))
    plain = seconds["plain"]
    found = {}
    for name, taken in seconds.items():
        pairs = [one / other for one, other in zip(plain, taken, strict=True)]
        found[name] = {
            "images_per_second": batch * steps / statistics.median(taken),
            "times_plain": statistics.median(pairs),
            **({"peak_bytes": peaks[name]} if device.type == "cuda" else {}),
        }
    return found


def our_side(config: Config, dataset: Dataset, teachers: Teachers, device: torch.device) -> Side:
    """What `csgisnet.training.step.Training` does, in stages."""
    network = place(new_network(config), device).train()
    convolve.use_kernels(network, config, device)
    source = BatchSource(dataset, config.data, config.augment, seed=config.seed, device=device)
    return Side(
        batches=source.batches(0, 1 << 30),
        forward=network,
        losses=lambda smoothing, batch: total_loss(smoothing, batch, teachers, config.losses)[0],
        optimizers=make_optimizers(network, config.optimizer),
    )


def measure(side: Side, precision: Precision, device: torch.device, steps: int) -> dict[str, float]:
    """Return the median seconds of each stage, after three steps of warming up."""
    seconds: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for _ in range(steps + 3):
        with clock(device, seconds["data"]):
            batch = next(side.batches)
        with clock(device, seconds["forward"]), use_precision(precision, device):
            smoothing = side.forward(batch.input)
        with clock(device, seconds["losses"]), use_precision("float32", device):
            loss = side.losses(smoothing, batch)
        with clock(device, seconds["backward"]), use_precision("float32", device):
            loss.backward()  # type: ignore[no-untyped-call]
        with clock(device, seconds["step"]):
            clip_and_step(side.optimizers)
    return {stage: statistics.median(times[3:]) for stage, times in seconds.items()}


def clip_and_step(optimizers: list[torch.optim.Optimizer]) -> None:
    """Bound the gradient and move the weights."""
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], 1.0)
    take_step(optimizers)


def equal_loss(
    config: Config, dataset: Dataset, teachers: Teachers, device: torch.device, steps: int
) -> dict[str, float]:
    """Train both sides on the same batches; return their mean losses over the last tenth."""
    adamw = dataclasses.replace(config.optimizer, kind="adamw")  # as the plain side has it
    config = dataclasses.replace(config, optimizer=adamw)
    source = BatchSource(dataset, config.data, config.augment, seed=config.seed, device=device)
    plain = plain_side(config, dataset, teachers, device)
    ours = our_side(config, dataset, teachers, device)
    losses: dict[str, list[Tensor]] = {"plain": [], "ours": []}
    for name, side in (("plain", plain), ("ours", ours)):
        with contextlib.closing(source.batches(0, steps)) as batches:
            for batch in batches:
                loss = side.losses(side.forward(batch.input), batch)
                loss.backward()  # type: ignore[no-untyped-call]
                clip_and_step(side.optimizers)
                losses[name].append(loss.detach())
    tail = max(1, steps // 10)
    return {name: torch.stack(found[-tail:]).mean().item() for name, found in losses.items()}


@contextlib.contextmanager
def clock(device: torch.device, times: list[float]) -> Iterator[None]:
    """Append the seconds of the block, the device's work included."""
    synchronise(device)
    began = time.perf_counter()
    yield
    synchronise(device)
    times.append(time.perf_counter() - began)


def synchronise(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def show(report: dict[str, Any]) -> None:
    """Print the tables."""
    print(f"{report['device']}, {report['config']} at patch {report['patch']}")
    names = list(report["stages"])
    print(f"{'stage, ms':10} {names[0]:>16} {names[1]:>16}")
    for stage in STAGES:
        one, other = (report["stages"][name][stage] * 1e3 for name in names)
        print(f"{stage:10} {one:16.1f} {other:16.1f}")
    for name, found in report["ways"].items():
        peak = f", {found['peak_bytes'] / 1e9:.2f} GB" if "peak_bytes" in found else ""
        speed, times = found["images_per_second"], found["times_plain"]
        print(f"{name:16} {speed:8.1f} images/s, {times:.2f} x{peak}")
    if "loss" in report:
        print(f"loss: {report['loss']}")


if __name__ == "__main__":
    main()
