"""What a window costs by the number of shards that are mapped: in C, and with NumPy as before.

Every shard holds one photograph. Its file is a link to one of 64, so that the files are in memory
whatever their number, and what grows is what a process and the system keep for each shard: records,
mappings, pages of addresses, names of files. Samples and corners are drawn at random; all numbers
of shards and both ways are measured in turn, in processor time, medians over the rounds. The first
touch of a shard is measured with the files themselves: by their headers, and by HDF5 as before.

Example: python -m benchmarks.crops --out crops.json
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.command import recorded_command
from benchmarks.machine import describe
from benchmarks.scale_made import DIGEST, MAPS, RECIPE, write_index
from vocsmooth.files import write_json
from vocsmooth.settings import to_dict
from vocsmooth.shards import Split, headers, mapped, native, open_dataset
from vocsmooth.shards.entries import shard_name
from vocsmooth.shards.listing import list_shard
from vocsmooth.shards.schema import read_layout
from vocsmooth.shards.writer import ImageMaps, encode_shard, recipe_text

FILES = 64
BATCH = 16
READ = ("input", "label", "edge", "mask")
CASES = {"16 of 32 x 32": (16, (32, 32)), "96 of 375 x 500": (96, (375, 500))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, nargs="+", default=[64, 1000, 60_000])
    parser.add_argument("--crops", type=int, default=4000, help="of each round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    arguments = parser.parse_args()
    figures: dict[str, object] = {}
    for name, (size, shape) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            roots = [Path(folder) / str(count) for count in arguments.shards]
            files = write_files(Path(folder), shape)
            for root, count in zip(roots, arguments.shards, strict=True):
                write_links(root, files, count, shape)
            touch = measure_first_touch(roots[0])
            with known_offsets(roots[0]):
                splits = [open_dataset(root).split("train") for root in roots]
                crops = measure(splits, size, arguments.crops, arguments.rounds)
        figures[name] = {"microseconds_a_crop": crops, "milliseconds_first_touch": touch}
        print(name, touch)
        for way, times in crops.items():
            row = "  ".join(f"{value:7.2f} ({value / times[0]:.2f})" for value in times)
            print(f"  {way:8s} {row}", flush=True)
    if arguments.out:
        import torch

        head = {
            "machine": describe(torch.device("cpu")),
            "load": os.getloadavg()[0],
            "date": time.strftime("%Y-%m-%d"),
            "command": recorded_command(),
            "shards": arguments.shards,
        }
        write_json(arguments.out, head | figures)


def write_files(folder: Path, shape: tuple[int, int]) -> list[Path]:
    """Write the files that shards are links to, each with one photograph of noise."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(FILES):
        image, plane = rng.integers(0, 256, (*shape, 3), np.uint8), np.zeros(shape, np.uint8)
        negatives = {group: MAPS[group].keys() - set(READ) - {"texture"} for group in MAPS}
        maps = ImageMaps(
            id=photograph(number),
            split="train",
            label=image,
            edge=plane,
            mask=plane,
            image_negatives=dict.fromkeys(negatives["images"], image),
            inputs=image[None],
            textures=np.zeros((1, *shape), np.int16),
            input_negatives=dict.fromkeys(negatives["samples"], image[None]),
            provenance={},
        )
        paths.append(folder / f"{number}.file")
        paths[-1].write_bytes(encode_shard([maps], MAPS, recipe_text(to_dict(RECIPE)), DIGEST))
    return paths


def photograph(number: int) -> str:
    """Return the id of a photograph."""
    return f"photograph_{number:08d}"


def write_links(root: Path, files: list[Path], count: int, shape: tuple[int, int]) -> None:
    """Make a dataset of `count` shards; the first of them are what the index says."""
    root.mkdir()
    for number in range(count):
        (root / shard_name("train", number)).hardlink_to(files[number % FILES])
    hashes = np.random.default_rng(1).integers(0, 256, (count, 32)).tolist()
    sizes = [files[0].stat().st_size] * count
    write_index(root, [1] * count, sizes, hashes, [*map(photograph, range(count))], shape)


@contextmanager
def known_offsets(root: Path) -> Iterator[None]:
    """Take the maps of every shard to be where they are in the first: the ids in links differ."""
    split = open_dataset(root).split("train")
    shard, real = split._open[0], mapped._find_offsets
    assert isinstance(shard, mapped.MappedShard)
    offsets = shard.checked.offsets
    mapped._find_offsets = lambda *_: offsets
    try:
        yield
    finally:
        mapped._find_offsets = real


def measure_first_touch(root: Path) -> dict[str, float]:
    """Return the milliseconds of finding a shard's maps, medians."""
    index = open_dataset(root).index
    times: dict[str, list[float]] = {"headers": [], "hdf5": []}
    for number in range(FILES):
        shard = list_shard(index, number)
        path = root / shard.entry.name
        with path.open("rb") as file:
            started = time.process_time()
            found = headers.find_maps(file, shard, index.digest, index.maps)
            times["headers"].append((time.process_time() - started) * 1e3)
        assert found is not None
        started = time.process_time()
        assert shard.matches(read_layout(path, index.maps))
        times["hdf5"].append((time.process_time() - started) * 1e3)
    return {way: statistics.median(values) for way, values in times.items()}


def measure(splits: list[Split], size: int, crops: int, rounds: int) -> dict[str, list[float]]:
    """Return the microseconds of a crop in each split, by way."""
    for split in splits:
        everything = np.arange(len(split))
        corner = np.zeros(len(split), np.int64)
        for start in range(0, len(split), BATCH):
            chosen = slice(start, start + BATCH)
            split.crop(everything[chosen], corner[chosen], corner[chosen], 1, READ)
    library = native.library
    ways = {"C": library, "NumPy": None}
    times: dict[str, list[list[float]]] = {way: [[] for _ in splits] for way in ways}
    for number in range(rounds + 1):
        for way, native.library in ways.items():
            for place, split in enumerate(splits):
                found = one_round(split, size, crops, np.random.default_rng(number))
                if number:  # the first one warms up
                    times[way][place].append(found * 1e6)
    native.library = library
    return {way: [statistics.median(found) for found in each] for way, each in times.items()}


def one_round(split: Split, size: int, crops: int, rng: np.random.Generator) -> float:
    """Return the seconds of processor time that a crop takes."""
    samples = rng.integers(0, len(split), crops)
    height, width = split._photographs.shapes[0].tolist()
    tops = rng.integers(0, height - size + 1, crops)
    lefts = rng.integers(0, width - size + 1, crops)
    started = time.process_time()
    for start in range(0, crops, BATCH):
        chosen = slice(start, start + BATCH)
        split.crop(samples[chosen], tops[chosen], lefts[chosen], size, READ)
    return (time.process_time() - started) / crops


if __name__ == "__main__":
    main()
