"""Where a build saturates as workers are added: a simulation of as many as you like.

Its inputs are measured on this machine in the same run:

- a photograph: seconds of `make_maps` with the recipe, and bytes in a shard, by photograph;
- the scheduler and the client: processor seconds that a task costs each of them, from the
  project's own runner giving empty tasks to two Dask workers, five times;
- the disk: seconds of `write_atomically` for a file of a few bytes, and for each byte of a large
  one.

What a worker does is then simulated as a chain of queues. It makes the photographs of a shard, each
with the time of one drawn from those measured; its shard and sidecar pass through the disk that all
share, one file after the other; the answer passes through the scheduler and the client, which gives
the next task. Disks are what laboratories differ in most, so besides the one measured here others
are simulated, by files a second and bytes a second. A worker is one core, and has no other work.

Efficiency is the time that the photographs alone would take on these cores, over the simulated
time. Hours are medians over the seeds, with the extremes.

Example: python -m benchmarks.cluster --voc-root VOCdevkit --out benchmarks/results/cluster.json
"""

from __future__ import annotations

import argparse
import heapq
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.command import recorded_command
from vocsmooth.dataset.make import package_versions
from vocsmooth.files import write_atomically, write_json
from vocsmooth.maps.photograph import make_maps
from vocsmooth.maps.recipe import Recipe, load_recipe, maps_of
from vocsmooth.maps.textures import open_textures
from vocsmooth.shards.writer import ImageMaps, encode_shard
from vocsmooth.sources.voc import find_tree, list_photographs
from vocsmooth.workers.cluster import cluster_runner, connected

TASKS = 400
"""Empty tasks in a measurement of the scheduler."""
SHARED_DISKS = {
    "one file server": (500.0, 0.5e9),
    "ten gigabit": (1000.0, 1.2e9),
    "parallel file system": (5000.0, 10e9),
}
"""Files and bytes a second of shared disks: assumed, not measured."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a build costs, in seconds and bytes."""

    photographs: tuple[float, ...]
    """Seconds of each measured photograph."""
    bytes: float
    """Bytes of a photograph in its shard, on average."""
    scheduler: float
    """Seconds of the scheduler for a task."""
    client: float
    """Seconds of the client for a task."""
    file: float
    """Seconds of the disk for a file."""
    byte: float
    """Seconds of the disk for a byte."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--voc-root", type=Path, required=True, help="photographs to measure")
    parser.add_argument("--manifest", default="voc-smooth")
    parser.add_argument("--images", type=int, default=12, help="photographs measured")
    parser.add_argument("--folder", type=Path, help="on the disk to measure")
    parser.add_argument("--total", type=int, default=1_000_000, help="photographs simulated")
    parser.add_argument("--workers", type=int, nargs="+", default=[64, 250, 1000, 4000])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    recipe = load_recipe(arguments.manifest)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        measured = measure(arguments.voc_root, recipe, arguments.images, Path(folder))
    costs = median_costs(measured)
    print("  ".join(f"{n} {v:.3g}" for n, v in asdict(costs).items() if n != "photographs"))
    rows = []
    disks = {"this machine's": (1 / costs.file, 1 / costs.byte), **SHARED_DISKS}
    for disk, (files, speed) in disks.items():
        there = replace(costs, file=1 / files, byte=1 / speed)
        for workers in arguments.workers:
            hours = [
                simulate(there, workers, arguments.total, recipe.shards.images, seed) / 3600
                for seed in range(arguments.seeds)
            ]
            alone = arguments.total * statistics.mean(costs.photographs) / workers / 3600
            row = {
                "disk": disk,
                "workers": workers,
                "hours": statistics.median(hours),
                "hours_extremes": [min(hours), max(hours)],
                "efficiency": alone / statistics.median(hours),
            }
            rows.append(row)
            print(
                f"{disk:22s} {workers:5d} workers  {row['hours']:7.2f} h  {row['efficiency']:.2f}"
            )
        print(f"{'':22s} full at " + describe_limits(there, recipe.shards.images), flush=True)
    if arguments.out:
        figures = {
            "machine": f"{os.cpu_count()} cores, {platform.machine()}",
            "date": time.strftime("%Y-%m-%d"),
            "command": recorded_command(),
            "photographs": arguments.total,
            "photographs_a_shard": recipe.shards.images,
            "terabytes": arguments.total * costs.bytes / 1e12,
            "measured": measured,
            "disks": {name: {"files_s": f, "bytes_s": b} for name, (f, b) in disks.items()},
            "workers_at_saturation": {
                name: limits(replace(costs, file=1 / f, byte=1 / b), recipe.shards.images)
                for name, (f, b) in disks.items()
            },
            "rows": rows,
        }
        write_json(arguments.out, figures)


def simulate(costs: Costs, workers: int, total: int, images: int, seed: int) -> float:
    """Return the seconds until a build of `total` photographs is finished.

    Each queue serves those who come in the order in which they come. An event is a worker's arrival
    at a queue, so they are taken from a heap in the order of time.
    """
    rng = np.random.default_rng(seed)
    shards = -(-total // images)
    making = iter(rng.choice(costs.photographs, (shards, images)).sum(axis=1).tolist())
    service = (2 * costs.file + images * costs.bytes * costs.byte, costs.scheduler, costs.client)
    free = [
        0.0,
        0.0,
        0.0,
    ]  # when the disk, the scheduler and the client have done all they were given
    # The client gives the first tasks one after the other, two to each worker.
    events = [
        (2 * worker * costs.client + seconds, 0)
        for worker, seconds in zip(range(min(workers, shards)), making, strict=False)
    ]
    heapq.heapify(events)
    while events:
        now, queue = heapq.heappop(events)
        free[queue] = done = max(now, free[queue]) + service[queue]
        if queue == 0:  # the answer goes on its way, and the worker to the task that it has at hand
            heapq.heappush(events, (done, 1))
            seconds = next(making, None)
            if seconds is not None:
                heapq.heappush(events, (done + seconds, 0))
        elif queue == 1:
            heapq.heappush(events, (done, 2))
    return max(free)


def limits(costs: Costs, images: int) -> dict[str, float]:
    """Return the number of workers that each queue can serve without a pause."""
    shard = images * statistics.mean(costs.photographs)
    return {
        "bytes": shard / (images * costs.bytes * costs.byte),
        "files": shard / (2 * costs.file),
        "scheduler": shard / costs.scheduler,
        "client": shard / costs.client,
    }


def describe_limits(costs: Costs, images: int) -> str:
    """Say how many workers fill each queue."""
    return ", ".join(f"{name} {workers:,.0f}" for name, workers in limits(costs, images).items())


def measure(voc_root: Path, recipe: Recipe, images: int, folder: Path) -> dict[str, Any]:
    """Return all that is measured."""
    textures, seconds, lengths = open_textures(), list[float](), list[int]()
    photographs = list_photographs(find_tree(voc_root))
    for photograph in photographs[:: -(-len(photographs) // images)]:
        began = time.process_time()
        made = make_maps(photograph, recipe, textures)
        seconds.append(time.process_time() - began)
        if isinstance(made, ImageMaps):
            lengths.append(len(encode_shard([made], maps_of(recipe), "{}", "")))
    trials = [measure_scheduler() for _ in range(5)]
    large = bytes(100_000_000)
    return {
        "photographs": seconds,
        "bytes": lengths,
        "scheduler": [trial[0] for trial in trials],
        "client": [trial[1] for trial in trials],
        "file": [seconds_to_write(folder, b"sidecar") for _ in range(50)],
        "byte": [seconds_to_write(folder, large) / len(large) for _ in range(5)],
    }


def median_costs(measured: dict[str, Any]) -> Costs:
    """Return medians, but of photographs all, since they are drawn from, and their mean size."""
    medians = {n: statistics.median(measured[n]) for n in ("scheduler", "client", "file", "byte")}
    size = statistics.mean(measured["bytes"])
    return Costs(photographs=tuple(measured["photographs"]), bytes=size, **medians)


def seconds_to_write(folder: Path, data: bytes) -> float:
    """Return the seconds in which a file is safely on the disk."""
    began = time.perf_counter()
    write_atomically(folder / "file", data)
    return time.perf_counter() - began


def measure_scheduler() -> tuple[float, float]:
    """Return the processor seconds of scheduler and client for an empty task."""
    with (
        tempfile.TemporaryDirectory() as folder,
        dask_cluster(Path(folder)) as (file, scheduler),
        connected(str(file), package_versions) as client,
    ):
        client.wait_for_workers(2)
        run = cluster_runner(client, (), package_versions)
        list(run(abs, range(20)))  # children start, modules are imported
        before, here = processor_seconds(scheduler), time.process_time()
        list(run(abs, range(TASKS)))
        here = time.process_time() - here
        return (processor_seconds(scheduler) - before) / TASKS, here / TASKS


@contextmanager
def dask_cluster(folder: Path) -> Iterator[tuple[Path, int]]:
    """Run a scheduler and two workers; yield the scheduler's file and process."""
    file = folder / "scheduler.json"
    processes = [start("scheduler", file, "--host", "127.0.0.1", "--port", "0")]
    try:
        while not file.exists():
            time.sleep(0.05)
        options = ("--nthreads", "1", "--no-nanny", "--local-directory", str(folder))
        processes += [start("worker", file, *options) for _ in range(2)]
        yield file, processes[0].pid
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()


def start(what: str, file: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start a scheduler or worker of Dask."""
    command = [sys.executable, "-m", "dask", what, "--scheduler-file", str(file), "--no-dashboard"]
    return subprocess.Popen(
        [*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def processor_seconds(process: int) -> float:
    """Return the processor time that a process has taken."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
