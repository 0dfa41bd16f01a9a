"""Compare training speed with the plain way, on the same network, teachers and losses.

    python -m benchmarks.train_step --data demo/dataset --segmenter demo/segmenter.safetensors

Plain is what `plain_training` says, and ours what `csgisnet train` does; one run measures both. A
table of stages shows where the time goes, waiting for the device after every stage.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import json
import platform
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.plain_training import Side, load_plain_teachers, plain_side
from csgisnet.device import keep_freed_memory, pick_device, place, use_precision
from csgisnet.networks.smoothing import Smoothing
from csgisnet.objective.losses import Batch, Teachers, total_loss
from csgisnet.objective.teachers import load_teachers
from csgisnet.training.config import Config, load_config
from csgisnet.training.data import BatchSource
from csgisnet.training.distributed import Processes
from csgisnet.training.optimise import make_optimizers, take_step
from csgisnet.training.step import Training, new_network
from vocsmooth.shards.reader import Dataset, open_dataset

STAGES = ("data", "forward", "losses", "backward", "step")


def main() -> None:
    """Measure both sides, print the tables and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="dataset of `vocsmooth build`")
    parser.add_argument("--segmenter", type=Path, required=True, help="segmenter weights")
    parser.add_argument("--config", default="full", help="full, compact, demo or a TOML file")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--patch", type=int, default=128, help="side of a patch, 88 or more")
    parser.add_argument("--steps", type=int, default=20, help="timed steps")
    parser.add_argument("--batches", type=int, nargs="*", default=[8], help="batch sizes of ours")
    parser.add_argument("--loss-steps", type=int, default=0, help="steps for equal loss, e.g. 500")
    parser.add_argument("--compile", action="store_true", help="compile our network")
    parser.add_argument("--out", type=Path, help="JSON file")
    arguments = parser.parse_args()
    device = pick_device(arguments.device)
    config, dataset = load_config(arguments.config), open_dataset(arguments.data)
    config = dataclasses.replace(
        config,
        run=dataclasses.replace(config.run, compile=arguments.compile),
        data=dataclasses.replace(config.data, patch=arguments.patch),
    )
    teachers = load_teachers(config.losses, arguments.segmenter, None).to(device)
    plain_teachers = load_plain_teachers(arguments.segmenter, device)
    torch.backends.cudnn.benchmark = device.type == "cuda"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    steps = arguments.steps
    plain = measure(plain_side(config, dataset, plain_teachers, device), device, steps)
    keep_freed_memory()  # as the command does
    staged = measure(our_side(config, dataset, teachers, device), device, steps)
    ours = {
        size: whole_steps(with_batch(config, size), dataset, teachers, device, steps)
        for size in arguments.batches
    }
    size = config.data.batch_size
    report = {
        "date": datetime.date.today().isoformat(),
        "command": "python -m benchmarks.train_step " + " ".join(sys.argv[1:]),
        "device": describe(device),
        "torch": torch.__version__,
        "config": arguments.config,
        "patch": config.data.patch,
        "plain": {"batch": size, "images_per_second": size / sum(plain.values()), "stages": plain},
        "ours": {"stages": staged, "by_batch": ours},
    }
    if arguments.loss_steps:
        report["loss"] = equal_loss(config, dataset, teachers, device, arguments.loss_steps)
    show(report, plain, staged, ours)
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


def our_side(config: Config, dataset: Dataset, teachers: Teachers, device: torch.device) -> Side:
    """What `csgisnet.training.step.Training` does, in stages."""
    network = place(new_network(config), device).train()
    source = BatchSource(dataset, config.data, config.augment, seed=config.seed, device=device)

    def forward(image: Tensor) -> Smoothing:
        with use_precision(config.run.precision, device):
            smoothing: Smoothing = network(image)
        return smoothing

    def losses(smoothing: Smoothing, batch: Batch) -> Tensor:
        with use_precision(config.run.precision, device):
            return total_loss(smoothing, batch, teachers, config.losses)[0]

    return Side(
        batches=source.batches(0, 1 << 30),
        forward=forward,
        losses=losses,
        optimizers=make_optimizers(network, config.optimizer),
    )


def measure(side: Side, device: torch.device, steps: int) -> dict[str, float]:
    """Return the median seconds of each stage, after three steps of warming up."""
    seconds: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for _ in range(steps + 3):
        with clock(device, seconds["data"]):
            batch = next(side.batches)
        with clock(device, seconds["forward"]):
            smoothing = side.forward(batch.input)
        with clock(device, seconds["losses"]):
            loss = side.losses(smoothing, batch)
        with clock(device, seconds["backward"]):
            loss.backward()  # type: ignore[no-untyped-call]
        with clock(device, seconds["step"]):
            clip_and_step(side.optimizers)
    return {stage: statistics.median(times[3:]) for stage, times in seconds.items()}


def clip_and_step(optimizers: list[torch.optim.Optimizer]) -> None:
    """Bound the gradient and move the weights."""
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], 1.0)
    take_step(optimizers)


def whole_steps(
    config: Config, dataset: Dataset, teachers: Teachers, device: torch.device, steps: int
) -> dict[str, float]:
    """Time steps of `Training` as they run, and the share of it spent on waiting for data."""
    training = Training(config, teachers, Processes(device=device))
    source = BatchSource(dataset, config.data, config.augment, seed=config.seed, device=device)
    waited: list[float] = []

    def timed() -> Iterator[Batch]:
        with contextlib.closing(source.batches(0, steps + 3)) as batches:
            while True:
                began = time.perf_counter()
                batch = next(batches, None)
                waited.append(time.perf_counter() - began)
                if batch is None:
                    return
                yield batch

    batches = timed()
    for _ in range(3):
        training.advance(batches)
    waited.clear()
    synchronise(device)
    began = time.perf_counter()
    for _ in range(steps):
        training.advance(batches)
    synchronise(device)
    seconds = time.perf_counter() - began
    return {
        "images_per_second": steps * config.data.batch_size / seconds,
        "data_share": sum(waited) / seconds,
    }


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


def with_batch(config: Config, size: int) -> Config:
    """Change the batch size."""
    return dataclasses.replace(config, data=dataclasses.replace(config.data, batch_size=size))


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


def describe(device: torch.device) -> str:
    """Name the hardware."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def show(
    report: dict[str, object],
    plain: dict[str, float],
    staged: dict[str, float],
    ours: dict[int, dict[str, float]],
) -> None:
    """Print the tables."""
    print(f"{report['device']}, {report['config']} at patch {report['patch']}")
    print(f"{'stage':10} {'plain ms':>10} {'ours ms':>10}")
    for stage in STAGES:
        print(f"{stage:10} {plain[stage] * 1e3:10.1f} {staged[stage] * 1e3:10.1f}")
    print(f"{'sum':10} {sum(plain.values()) * 1e3:10.1f} {sum(staged.values()) * 1e3:10.1f}")
    base = report["plain"]["images_per_second"]  # type: ignore[index]
    print(f"plain, batch {report['plain']['batch']}: {base:.1f} images/s")  # type: ignore[index]
    for batch, found in ours.items():
        speed = found["images_per_second"]
        wait = found["data_share"]
        print(
            f"ours, batch {batch}: {speed:.1f} images/s, {speed / base:.2f} x, {wait:.1%} for data"
        )
    if "loss" in report:
        print(f"loss: {report['loss']}")


if __name__ == "__main__":
    main()
