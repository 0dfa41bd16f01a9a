"""How the cost of reading a dataset grows with its number of shards.

Every dataset has one photograph of 32 x 32 pixels a shard, so that everything but the number of
shards stays small. Windows are read in random order; the first pass maps and checks every shard,
the second finds them in the page cache. Times are wall-clock, of one process. The exponent p says
that a cost grows as shards ** p between the first and the last row.

Example: python -m benchmarks.scale --shards 64 1000 2000 --out scale.json
"""

from __future__ import annotations

import argparse
import hashlib
import math
import multiprocessing
import pickle
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import recorded_command
from benchmarks.machine import describe
from vocsmooth.dataset.make import package_versions
from vocsmooth.files import write_json
from vocsmooth.maps.recipe import Labels, Recipe, maps_of
from vocsmooth.settings import to_dict
from vocsmooth.shards.assembling import assemble_index
from vocsmooth.shards.entries import ImageEntry, Plan, PlannedShard, ShardEntry, Sidecar
from vocsmooth.shards.index import index_files, record_of
from vocsmooth.shards.reader import open_dataset
from vocsmooth.shards.split import Split
from vocsmooth.shards.writer import ImageMaps, encode_shard, recipe_text

SIDE = 32
CROP = 16
BATCH = 16
MAPS = ("input", "label", "edge", "mask")
GROWING = ("open_s", "open_MB", "pickle_kB", "ms_a_crop_first", "ms_a_crop_later")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, nargs="+", default=[64, 1000, 4000, 16000])
    parser.add_argument("--crops", type=int, default=8000, help="windows of the second pass")
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    arguments = parser.parse_args()
    rows = []
    print(f"{'shards':>8s} " + " ".join(f"{name:>16s}" for name in GROWING))
    for count in arguments.shards:
        with tempfile.TemporaryDirectory() as folder:
            make_dataset(Path(folder), count)
            # Each in a process of its own, for its memory.
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                row = pool.apply(measure, (Path(folder), arguments.crops))
        rows.append({"shards": count, **row})
        print(f"{count:8d} " + " ".join(f"{row[name]:16.3f}" for name in GROWING), flush=True)
    growth = math.log(rows[-1]["shards"] / rows[0]["shards"])
    exponents = {
        name: math.log(rows[-1][name] / rows[0][name]) / growth if growth else math.nan
        for name in GROWING
    }
    print("exponent " + " ".join(f"{value:16.2f}" for value in exponents.values()))
    if arguments.out:
        import torch

        figures = {
            "machine": describe(torch.device("cpu")),
            "date": time.strftime("%Y-%m-%d"),
            "command": recorded_command(),
            "rows": rows,
            "exponents": exponents,
        }
        write_json(arguments.out, figures)


def make_dataset(out: Path, count: int) -> None:
    """Write a dataset of `count` shards, as a build does but for plan and sidecars."""
    recipe = Recipe(labels=Labels(exact=True))
    maps = maps_of(recipe)
    names = [f"train-{number:05d}.h5" for number in range(count)]
    plan = Plan(
        package="benchmark",
        digest="0" * 64,
        recipe=to_dict(recipe),
        textures={},
        maps=maps,
        splits=("train",),
        shards=tuple(PlannedShard(name=name, split="train", ids=(name[:-3],)) for name in names),
    )
    sidecars = []
    for name in names:
        image = photograph(name[:-3], maps)
        data = encode_shard([image], maps, recipe_text(plan.recipe), plan.digest)
        (out / name).write_bytes(data)
        shard = ShardEntry(
            name=name,
            split="train",
            bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            images=1,
            samples=1,
        )
        entry = ImageEntry(
            id=image.id,
            split="train",
            shard=name,
            height=SIDE,
            width=SIDE,
            samples=1,
            provenance={},
        )
        sidecars.append(
            Sidecar(
                digest=plan.digest,
                versions=package_versions(),
                shard=shard,
                images=(entry,),
                left_out=(),
            )
        )
    for file, content in index_files(assemble_index(plan, map(record_of, sidecars))).items():
        (out / file).write_bytes(content)


def photograph(name: str, maps: dict[str, dict[str, int]]) -> ImageMaps:
    """Return black maps of one photograph."""
    image, plane = np.zeros((SIDE, SIDE, 3), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    texture = (SIDE, SIDE, 3) if maps["samples"]["texture"] == 3 else (SIDE, SIDE)
    return ImageMaps(
        id=name,
        split="train",
        label=image,
        edge=plane,
        mask=plane,
        image_negatives=dict.fromkeys(maps["images"].keys() - {"label", "edge", "mask"}, image),
        inputs=image[None],
        textures=np.zeros((1, *texture), np.int16),
        input_negatives=dict.fromkeys(maps["samples"].keys() - {"input", "texture"}, image[None]),
        provenance={},
    )


def measure(root: Path, crops: int) -> dict[str, float]:
    """Open a dataset and read windows of it; return seconds, memory and bytes."""
    before = _megabytes()
    started = time.perf_counter()
    split = open_dataset(root).split("train")
    opened = time.perf_counter() - started
    memory = _megabytes() - before
    order = np.random.default_rng(0).permutation(len(split))
    first = _seconds_a_crop(split, order)
    later = np.random.default_rng(1).integers(0, len(split), crops)
    return {
        "open_s": opened,
        "open_MB": max(memory, 0.1),
        "pickle_kB": len(pickle.dumps(split)) / 1e3,
        "ms_a_crop_first": first * 1e3,
        "ms_a_crop_later": min(_seconds_a_crop(split, later) for _ in range(3)) * 1e3,
    }


def _seconds_a_crop(split: Split, order: NDArray[np.int64]) -> float:
    """Read a window of each sample in batches; return the seconds that one takes."""
    started = time.perf_counter()
    for start in range(0, len(order), BATCH):
        indices = order[start : start + BATCH]
        corner = np.zeros(len(indices), np.int64)
        split.crop(indices, corner, corner, CROP, MAPS)
    return (time.perf_counter() - started) / len(order)


def _megabytes() -> float:
    """Return the memory that this process holds."""
    resident = int(Path("/proc/self/statm").read_text().split()[1])
    return resident * resource.getpagesize() / 1e6


if __name__ == "__main__":
    main()
