"""What a build costs: seconds per image by stage, gain of a second worker, memory, VOC's 2,913.

The minutes for VOC are processor time shared by two cores, for images of 500 x 375; divide by the
efficiency, which only a machine without other work shows.

Example: python benchmarks/build.py --voc-root VOCdevkit --images 16
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import platform
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from vocsmooth import kernels
from vocsmooth.build import build_dataset
from vocsmooth.edges import find_edges
from vocsmooth.files import write_atomically, write_json
from vocsmooth.images import read_mask, read_rgb, to_float, to_uint
from vocsmooth.labels import choose_label, find_structure
from vocsmooth.operators import smooth
from vocsmooth.recipe import Recipe, load_recipe
from vocsmooth.samples import ImageMaps, make_maps
from vocsmooth.shard_writer import encode_shard, maps_of
from vocsmooth.textures import TextureSource, draw_fields, open_textures
from vocsmooth.voc import VOID, Photograph, find_tree, list_photographs

VOC_IMAGES = 2913
VOC_PIXELS = 500 * 375


class Stages:
    """Seconds by stage, one figure per image.

    Of processor time, so that other work on the machine does not count; the disk's is wall-clock.
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
    """Notes the largest resident memory among this process' children, by the system's own mark."""

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


def time_builds(
    voc_root: Path, photographs: list[Photograph], recipe: Recipe, folder: Path
) -> tuple[dict[str, float], int]:
    """Build the same images with 1 and with 2 workers; return seconds and the peak memory."""
    ids = folder / "ids.txt"
    ids.write_text("\n".join(photograph.id for photograph in photographs))
    size = max(1, len(photographs) // 8)  # four shards a worker, so that the last ones matter less
    small = dataclasses.replace(recipe, shards=dataclasses.replace(recipe.shards, images=size))
    seconds = {}
    watch = MemoryWatch()
    watch.start()
    for name, jobs in (("one worker", 1), ("two workers", 2)):
        out = folder / f"{jobs}"
        summary = build_dataset(voc_root, out, small, ids_file=ids, splits=["train"], jobs=jobs)
        seconds[name] = summary.seconds
    seconds["one image"] = time_one(folder, voc_root, small, photographs[0])
    build_dataset(voc_root, folder / "memory", recipe, ids_file=ids, splits=["train"], jobs=1)
    watch.stopped.set()
    return seconds, watch.peak


def time_one(folder: Path, voc_root: Path, recipe: Recipe, photograph: Photograph) -> float:
    """Return the seconds of a build of one image: what starting a worker costs, mostly."""
    ids = folder / "one.txt"
    ids.write_text(photograph.id)
    out = folder / "one"
    return build_dataset(voc_root, out, recipe, ids_file=ids, splits=["train"], jobs=1).seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--voc-root", type=Path, required=True)
    parser.add_argument("--manifest", default="voc-smooth")
    parser.add_argument("--images", type=int, default=16, help="of the train split")
    parser.add_argument("--machine", default=platform.machine(), help="in words, for the figures")
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    arguments = parser.parse_args()
    recipe, textures = load_recipe(arguments.manifest), open_textures()
    photographs = list(list_photographs(find_tree(arguments.voc_root), ["train"]))
    photographs = photographs[:: max(1, len(photographs) // arguments.images)][: arguments.images]
    with tempfile.TemporaryDirectory() as folder:
        stages = time_stages(photographs, recipe, textures, Path(folder))
        builds, peak = time_builds(arguments.voc_root, photographs, recipe, Path(folder))
    pixels = statistics.mean(read_rgb(photograph.image).size / 3 for photograph in photographs)
    mean = {name: statistics.mean(values) for name, values in stages.items()}
    per_image = mean["all of make_maps"] + mean.get("write", 0)
    start = builds["one image"]
    efficiency = (builds["one worker"] - start) / (builds["two workers"] - start) / 2
    report = {
        "machine": arguments.machine,
        "date": time.strftime("%Y-%m-%d"),
        "command": " ".join(["python", *sys.argv]),
        "kernels": kernels.describe().split(" ")[0],
        "images": len(photographs),
        "mean_pixels": round(pixels),
        "seconds_per_image": mean,
        "build_seconds": builds,
        "efficiency_of_two_workers": efficiency,
        "peak_worker_bytes": peak,
        "voc_minutes_on_two_cores": VOC_IMAGES * per_image * (VOC_PIXELS / pixels) / 2 / 60,
    }
    print(json.dumps(report, indent=1))
    if arguments.out:
        write_json(arguments.out, report)


if __name__ == "__main__":
    main()
