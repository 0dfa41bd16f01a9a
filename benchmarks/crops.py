"""What a window costs by the number of shards that are mapped: in C, with NumPy, and of the memory.

Three series of datasets: with one photograph in each shard; with the same 60,000 photographs in
fewer or more shards, so that bytes are equal and only the number of shards differs; and with the 16
photographs in each shard that the bundled recipes put there. Their files are links to a few, so
that these are in memory whatever the number of shards, and what grows is what a process and the
system keep for each: records, mappings, pages of addresses, names of files. Every page is touched
once before. Samples and corners are drawn at random; all datasets and ways are measured in turn,
in processor time, medians over the rounds.

The third way is what no reader can beat: one call that touches every line of the cache that the
same windows lie in, at addresses that were written down before. It waits for the memory and for
the tables of addresses alone.

The first touch of a shard is measured by its headers, and by HDF5 as before. With --other the
compiled functions of an earlier version are measured beside those of this one.

Example: python -m benchmarks.crops --out crops.json
"""

from __future__ import annotations

import argparse
import mmap
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import recorded_command
from benchmarks.machine import describe
from benchmarks.scale_made import DIGEST, MAPS, RECIPE, write_index
from vocsmooth.files import write_json
from vocsmooth.libraries import load_library
from vocsmooth.settings import to_dict
from vocsmooth.shards import Split, headers, mapped, native, open_dataset, windows
from vocsmooth.shards.digests import digests_of
from vocsmooth.shards.entries import shard_name
from vocsmooth.shards.listing import list_shard
from vocsmooth.shards.schema import map_dtype, read_layout
from vocsmooth.shards.writer import ImageMaps, encode_shard, recipe_text

PHOTOGRAPHS = 60_000
BATCH = 16
LINE = 64
READ = ("input", "label", "edge", "mask")
CASES = {"16 of 32 x 32": (16, (32, 32)), "96 of 375 x 500": (96, (375, 500))}
SERIES: dict[str, tuple[int, Callable[[int], int]]] = {
    "one photograph a shard": (64, lambda _: 1),
    "60,000 photographs": (960, lambda shards: PHOTOGRAPHS // shards),
    "16 photographs a shard": (960, lambda _: 16),
}
"""How many photographs are on the disk, and how many a shard has, by the number of shards."""

Drawn = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""Samples, and tops and lefts of windows."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, nargs="+", default=[64, 1000, 60_000])
    parser.add_argument("--crops", type=int, default=4000, help="of each round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--other", type=Path, help="the compiled library of another version")
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    arguments = parser.parse_args()
    # A process keeps fewer mapped than it might, and here there are several datasets.
    windows._MOST_MAPPED = sum(arguments.shards) + 1
    figures: dict[str, dict[str, object]] = {}
    for name, (size, shape) in CASES.items():
        figures[name] = {}
        for series, (different, photographs_in) in SERIES.items():
            with tempfile.TemporaryDirectory() as folder:
                roots = []
                for count in arguments.shards:
                    roots.append(Path(folder) / str(count))
                    photographs = photographs_in(count)
                    files = min(count, max(1, different // photographs))
                    write_dataset(roots[-1], count, files, photographs, shape)
                touch = measure_first_touch(roots[-1], files)
                splits = [open_everywhere(root) for root in roots]
                crops = measure(splits, size, arguments.crops, arguments.rounds, arguments.other)
                del splits
            figures[name][series] = {
                "microseconds_a_crop": crops,
                "milliseconds_first_touch": touch,
            }
            print(f"{name}, {series}", touch)
            for way, times in crops.items():
                row = "  ".join(f"{value:7.2f} ({value / times[0]:.2f})" for value in times)
                print(f"  {way:9s} {row}", flush=True)
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


def write_dataset(
    root: Path, shards: int, count: int, photographs: int, shape: tuple[int, int]
) -> None:
    """Make a dataset of links to `count` files; these are what the index says."""
    root.mkdir()
    files = [write_file(root, number, photographs, shape) for number in range(count)]
    for number in range(count, shards):
        (root / shard_name("train", number)).hardlink_to(files[number % count])
    hashes = [digests_of(str(number).encode()) for number in range(shards)]
    ids = [*map(name_of, range(shards * photographs))]
    sizes = [files[0].stat().st_size] * shards
    write_index(root, [photographs] * shards, sizes, hashes, ids, shape)


def write_file(root: Path, number: int, photographs: int, shape: tuple[int, int]) -> Path:
    """Write a shard of photographs of noise."""
    rng = np.random.default_rng(number)
    plane = np.zeros(shape, np.uint8)
    negatives = {group: MAPS[group].keys() - set(READ) - {"texture"} for group in MAPS}
    images = []
    for place in range(photographs):
        image = rng.integers(0, 256, (*shape, 3), np.uint8)
        images.append(
            ImageMaps(
                id=name_of(number * photographs + place),
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
        )
    path = root / shard_name("train", number)
    path.write_bytes(encode_shard(images, MAPS, recipe_text(to_dict(RECIPE)), DIGEST))
    return path


def name_of(number: int) -> str:
    """Return the id of a photograph."""
    return f"photograph_{number:08d}"


def open_everywhere(root: Path) -> Split:
    """Open a dataset, map all its shards, and touch every page of them."""
    split = open_dataset(root).split("train")
    with known_offsets(split):
        for number in range(len(split.shard_sizes)):
            shard = split._open[number]
            assert isinstance(shard, mapped.MappedShard)
            np.asarray(shard._pages)[:: mmap.PAGESIZE].max()
    return split


@contextmanager
def known_offsets(split: Split) -> Iterator[None]:
    """Take the maps of every shard to be where they are in the first: the ids in links differ."""
    shard, real = split._open[0], mapped._find_offsets
    assert isinstance(shard, mapped.MappedShard)
    offsets = shard.checked.offsets
    mapped._find_offsets = lambda *_: offsets
    try:
        yield
    finally:
        mapped._find_offsets = real


def measure_first_touch(root: Path, shards: int) -> dict[str, float]:
    """Return the milliseconds of finding a shard's maps, medians."""
    index = open_dataset(root).index
    times: dict[str, list[float]] = {"headers": [], "hdf5": []}
    for number in range(shards):
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


def measure(
    splits: list[Split], size: int, crops: int, rounds: int, other: Path | None
) -> dict[str, list[float]]:
    """Return the microseconds of a crop in each split, by way."""
    library = native.library
    ways = {"C": (library, read), "NumPy": (None, read), "memory": (library, touch)}
    if other:
        before = load_library(other.resolve(), native.INTERFACE)
        assert before.library is not None, before.refusal
        ways["C, before"] = (before.library, read)
    times: dict[str, list[list[float]]] = {way: [[] for _ in splits] for way in ways}
    for number in range(rounds + 1):
        for seed, (way, (native.library, run)) in enumerate(ways.items(), number * len(ways)):
            for place, split in enumerate(splits):
                found = run(split, draw(split, size, crops, seed), size)
                if number:  # the first one warms up
                    times[way][place].append(found / crops * 1e6)
    native.library = library
    return {way: [statistics.median(found) for found in each] for way, each in times.items()}


def draw(split: Split, size: int, crops: int, seed: int) -> Drawn:
    """Draw samples and corners."""
    rng = np.random.default_rng(seed)
    height, width = split._photographs.shapes[0].tolist()
    samples = rng.integers(0, len(split), crops)
    tops, lefts = (rng.integers(0, side - size + 1, crops) for side in (height, width))
    return samples, tops, lefts


def read(split: Split, drawn: Drawn, size: int) -> float:
    """Read windows; return the seconds of processor time."""
    started = time.process_time()
    for start in range(0, len(drawn[0]), BATCH):
        samples, tops, lefts = (values[start : start + BATCH] for values in drawn)
        split.crop(samples, tops, lefts, size, READ)
    return time.process_time() - started


class Memory:
    """What lies between the first and the last byte that a split has mapped, for ``np.asarray``."""

    def __init__(self, records: NDArray[np.int64]) -> None:
        self.first = int(records[:, 0].min())
        length = int(records[:, :2].sum(axis=1).max()) - self.first
        self.__array_interface__: dict[str, Any] = {
            "version": 3,
            "typestr": "|u1",
            "shape": (length,),
            "data": (self.first, True),
        }


def touch(split: Split, drawn: Drawn, size: int) -> float:
    """Touch every line of the cache that windows lie in; return the seconds of processor time."""
    samples, tops, lefts = drawn
    assert isinstance(split._open, windows.MappedShards)
    records = split._open._records.astype(np.int64)
    memory = Memory(records)
    place = split._photographs.locate(samples)
    width = place.shapes[:, 1]
    lines = []
    for name in READ:
        pixel = map_dtype(name).itemsize * (3 if name in ("input", "label") else 1)
        start = place.starts[split._group[name]] + tops * width + lefts
        record = records[place.shards]
        field = split._open._field[name]
        first = record[:, 0] - memory.first + record[:, field] + start * pixel
        rows = np.arange(size)[:, None] * (width * pixel)[:, None, None]
        last = size * pixel - 1
        bytes_of_row = np.append(np.arange(0, last, LINE), last)
        lines.append((first[:, None, None] + rows + bytes_of_row).reshape(len(samples), -1))
    addresses = np.concatenate(lines, axis=1).ravel()
    found = np.empty(len(addresses), np.uint8)
    content = np.asarray(memory)
    started = time.process_time()
    content.take(addresses, out=found, mode="wrap")  # no buffer, as errors would need
    return time.process_time() - started


if __name__ == "__main__":
    main()
