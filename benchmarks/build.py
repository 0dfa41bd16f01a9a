"""What a build costs: seconds per image and stage, gain of a second worker, memory, time for VOC.

The machine sets a limit to what a second worker gains, since even two independent processes share
its memory and its clock rate. Both gains are measured, in turn, and their ratio is the figure to
judge the builder by. The minutes for VOC are for its 2,913 images of 500 x 375 and two workers.

Example: python -m benchmarks.build --voc-root VOCdevkit --images 16
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import multiprocessing
import os
import platform
import shutil
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.command import recorded_command
from vocsmooth.arrays import to_float, to_uint
from vocsmooth.classes import VOID
from vocsmooth.dataset.build import build_dataset
from vocsmooth.files import write_atomically, write_json
from vocsmooth.images.reading import read_rgb
from vocsmooth.maps.labels import choose_label, find_structure
from vocsmooth.maps.photograph import make_maps
from vocsmooth.maps.recipe import Recipe, load_recipe, maps_of
from vocsmooth.maps.textures import TextureSource, draw_fields, open_textures
from vocsmooth.operators import kernels
from vocsmooth.operators.edges import find_edges
from vocsmooth.operators.table import smooth
from vocsmooth.shards.writer import ImageMaps, encode_shard
from vocsmooth.sources.listing import Photograph
from vocsmooth.sources.masks import read_mask
from vocsmooth.sources.voc import find_tree, list_photographs

VOC_IMAGES = 2913
VOC_PIXELS = 500 * 375


class Stages:
    """Seconds by stage, one figure per image.

    Processor time, so that other work on the machine does not count; wall-clock for the disk.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def stage(self, name: str, clock: Callable[[], float] = time.process_time) -> Iterator[None]:
        """Time a block."""
        started = clock()
        yield
        self.seconds[name].append(clock() - started)


def time_stages(
    photographs: list[Photograph], recipe: Recipe, textures: TextureSource, folder: Path
) -> dict[str, list[float]]:
    """Run the steps of `make_maps` and of writing one by one."""
    stages = Stages()
    for photograph in photographs:
        with stages.stage("decode"):
            pixels = read_rgb(photograph.image)
            mask = np.full(pixels.shape[:2], VOID, np.uint8)
            if photograph.mask:
                mask = read_mask(photograph.mask)
        image = to_float(pixels)
        with stages.stage("labels"):
            choice = choose_label(image, find_structure(image, mask), recipe.labels)
        label = to_uint(choice.image, np.uint8)
        with stages.stage("textures"):
            settings, shape = recipe.textures, (label.shape[0], label.shape[1])
            drawn = draw_fields(textures, settings, shape, seed=recipe.seed, image_id=photograph.id)
            inputs = [
                (label + np.atleast_3d(field)).clip(0, 255).astype(np.uint8) for field, _ in drawn
            ]
        with stages.stage("negatives"):
            for negative in recipe.negatives:
                sources = {"photo": [pixels], "label": [label], "input": inputs}[negative.of]
                for source in sources:
                    to_uint(
                        smooth(to_float(source), negative.operator, **negative.params), np.uint8
                    )
        with stages.stage("edges"):
            find_edges(label, recipe.edges.threshold)
        with stages.stage("all of make_maps"):
            made = make_maps(photograph, recipe, textures)
        if isinstance(made, ImageMaps):
            with stages.stage("write", time.perf_counter):
                data = encode_shard([made], maps_of(recipe), "{}", "")
                hashlib.sha256(data).hexdigest()
                write_atomically(folder / "shard.h5", data)
    return dict(stages.seconds)


class MemoryWatch(threading.Thread):
    """Records the peak resident memory of any child of this process, as the system reports it."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self.stopped = threading.Event()

    def run(self) -> None:
        """Look ten times a second."""
        while not self.stopped.wait(0.1):
            for status in Path("/proc").glob("[0-9]*/status"):
                self.peak = max(self.peak, peak_of_child(status))


def peak_of_child(status: Path) -> int:
    """Return the peak resident bytes (VmHWM) of a process if it is our child, else 0."""
    try:
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    except (FileNotFoundError, ProcessLookupError):
        return 0
    if int(lines["PPid"]) != os.getpid() or "VmHWM" not in lines:
        return 0
    return int(lines["VmHWM"].split()[0]) * 1024


@dataclasses.dataclass(frozen=True)
class Workplace:
    """What all builds of the comparison have in common."""

    voc_root: Path
    photographs: list[Photograph]
    recipe: Recipe
    folder: Path

    def build(self, name: str, count: int, jobs: int) -> float:
        """Build the first `count` images and return the seconds."""
        ids = self.folder / "ids.txt"
        ids.write_text("\n".join(photograph.id for photograph in self.photographs[:count]))
        out = self.folder / name
        shutil.rmtree(out, ignore_errors=True)
        return build_dataset(
            self.voc_root, out, self.recipe, ids_file=ids, splits=["train"], jobs=jobs
        ).seconds


def time_builds(place: Workplace, rounds: int) -> dict[str, list[float]]:
    """Build the same images with one and with two workers, in turn; return seconds by round.

    "alone" and "beside another" are the limit that the machine sets: the same maps made by one
    process, and by two independent ones at the same time (the seconds of the slower one).
    """
    shards = dataclasses.replace(
        place.recipe.shards, images=1
    )  # one shard is a small share of 3,000 images
    place = dataclasses.replace(place, recipe=dataclasses.replace(place.recipe, shards=shards))
    count = len(place.photographs)
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        seconds["one image"].append(place.build("builds", 1, 1))
        seconds["one worker"].append(place.build("builds", count, 1))
        seconds["two workers"].append(place.build("builds", count, 2))
        seconds["alone"].append(time_processes(place, 1))
        seconds["beside another"].append(time_processes(place, 2))
    return dict(seconds)


def measure_memory(place: Workplace) -> int:
    """Return the peak memory of a worker in bytes, with the shards that the recipe asks for."""
    watch = MemoryWatch()
    watch.start()
    place.build("memory", len(place.photographs) // 2, 1)
    watch.stopped.set()
    return watch.peak


def time_processes(place: Workplace, count: int) -> float:
    """Make half of the images' maps in each of `count` processes; return the slowest's seconds."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(count), context.Queue()
    work = (place.photographs[::2], place.recipe, barrier, results)
    processes = [context.Process(target=make_all, args=work) for _ in range(count)]
    for process in processes:
        process.start()
    slowest: float = max(results.get() for _ in processes)
    for process in processes:
        process.join()
    return slowest


def make_all(photographs: list[Photograph], recipe: Recipe, barrier: Any, results: Any) -> None:
    """Make all maps, starting as soon as every process is ready."""
    textures = open_textures()
    cv2.setNumThreads(1)
    make_maps(photographs[0], recipe, textures)
    barrier.wait()
    started = time.perf_counter()
    for photograph in photographs:
        make_maps(photograph, recipe, textures)
    results.put(time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--voc-root", type=Path, required=True)
    parser.add_argument("--manifest", default="voc-smooth")
    parser.add_argument("--images", type=int, default=16, help="of the train split")
    parser.add_argument("--rounds", type=int, default=3, help="of builds; medians count")
    parser.add_argument("--machine", default=platform.machine(), help="in words, for the figures")
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    arguments = parser.parse_args()
    recipe, textures = load_recipe(arguments.manifest), open_textures()
    photographs = list(list_photographs(find_tree(arguments.voc_root), ["train"]))
    photographs = photographs[:: max(1, len(photographs) // arguments.images)][: arguments.images]
    with tempfile.TemporaryDirectory() as folder:
        stages = time_stages(photographs, recipe, textures, Path(folder))
        place = Workplace(arguments.voc_root, photographs, recipe, Path(folder))
        builds = time_builds(place, arguments.rounds)
        peak = measure_memory(place)
    pixels = statistics.mean(read_rgb(photograph.image).size / 3 for photograph in photographs)
    mean = {name: statistics.mean(values) for name, values in stages.items()}
    per_image = mean["all of make_maps"] + mean.get("write", 0)
    middle = {name: statistics.median(values) for name, values in builds.items()}
    start = middle["one image"] - per_image
    efficiency = (middle["one worker"] - start) / (middle["two workers"] - start) / 2
    ceiling = middle["alone"] / middle["beside another"]
    two = (middle["two workers"] - start) / len(photographs)
    report = {
        "machine": arguments.machine,
        "date": time.strftime("%Y-%m-%d"),
        "command": recorded_command(),
        "kernels": kernels.describe().split(" ")[0],
        "images": len(photographs),
        "mean_pixels": round(pixels),
        "seconds_per_image": mean,
        "seconds": builds,
        "efficiency_of_two_workers": efficiency,
        "efficiency_of_two_processes": ceiling,
        "ratio": efficiency / ceiling,
        "peak_worker_bytes": peak,
        "voc_minutes_on_two_cores": VOC_IMAGES * two * (VOC_PIXELS / pixels) / 60,
    }
    print(json.dumps(report, indent=1))
    if arguments.out:
        write_json(arguments.out, report)


if __name__ == "__main__":
    main()
