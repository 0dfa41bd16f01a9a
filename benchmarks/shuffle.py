"""What an epoch reads from a disk whose cache is smaller than the dataset, by the order of samples.

The dataset is one of noise, in the shapes of VOC's photographs. The machine's own page cache is
larger, so a smaller one is emulated: the benchmark keeps the list of the pages that a cache of the
given size would hold (the least recently used one leaves) and drops those that leave it from the
real one, so that the reader has to fetch them again. Bytes are those that the kernel says it has
fetched for this process; requests are runs of missing pages that lie side by side in a file. Before
each epoch that is counted another one fills the cache. Seconds are those of reading alone on this
disk; those of a turning disk are computed from requests and bytes. A buffer of 0 draws from all
shards; `whole_shards` has the maps of a shard fetched when its first sample comes up.

Randomness is that of the same orders: the share of the pairs in a batch that come from one shard or
from one photograph, the correlation of neighbours, and how far a sample moves from one epoch to the
next, as a share of the epoch (1/3 for independent permutations).

Example: python -m benchmarks.shuffle --folder /on/a/disk --out shuffle.json
"""

from __future__ import annotations

import argparse
import mmap
import os
import tempfile
import time
from collections import OrderedDict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.command import recorded_command
from vocsmooth.dataset.build import build_dataset
from vocsmooth.files import write_json
from vocsmooth.maps.recipe import Labels, Recipe, Shards
from vocsmooth.shards import SampleOrder, Split, open_dataset
from vocsmooth.shards.fetching import ShardFetcher
from vocsmooth.shards.mapped import MappedShard
from vocsmooth.shards.remote import RemoteShard
from vocsmooth.sources.tree import Entry, write_tree

SHAPE = (375, 500)
SIDE = 128
BATCH = 8
MAPS = ("input", "label", "edge", "mask")
TURNING_DISK = {"seconds_a_request": 8e-3, "bytes_a_second": 150e6}
"""For which the seconds of an epoch are computed; this machine has none."""
Page = tuple[int, int]
"""Number of a shard, and of a page in its file."""
Span = tuple[int, int, int]
"""Number of a shard, and first and last byte in its file."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; not one in memory")
    parser.add_argument("--shards", type=int, default=64)
    parser.add_argument("--images", type=int, default=8, help="photographs a shard")
    parser.add_argument("--buffers", type=int, nargs="+", default=[8, 4])
    parser.add_argument("--cache", type=float, default=0.1, help="as a share of the dataset")
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        root = write_dataset(Path(folder), arguments.shards, arguments.images)
        os.sync()
        total = sum(path.stat().st_size for path in root.glob("*.h5"))
        rows = []
        ways = [(0, False), *((b, whole) for b in arguments.buffers for whole in (False, True))]
        for buffer, whole in ways:
            row = {
                "buffer": buffer,
                "whole_shards": whole,
                **read_epoch(root, buffer, whole, int(arguments.cache * total)),
                **randomness(open_dataset(root).split("train"), buffer),
            }
            print("  ".join(f"{name} {value:.3g}" for name, value in row.items()), flush=True)
            rows.append(row)
    if arguments.out:
        figures = {
            "date": time.strftime("%Y-%m-%d"),
            "command": recorded_command(),
            "dataset_bytes": total,
            "cache_bytes": int(arguments.cache * total),
            "photographs": arguments.shards * arguments.images,
            "turning_disk": TURNING_DISK,
            "rows": rows,
        }
        write_json(arguments.out, figures)


def write_dataset(folder: Path, shards: int, images: int) -> Path:
    """Build a dataset whose photographs are their own labels; return its folder."""
    rng = np.random.default_rng(0)
    ids = [f"p{number:05d}" for number in range(shards * images)]

    def draw(name: str) -> Entry:
        small = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
        return Entry(name, np.asarray(small.resize(SHAPE[::-1])), np.zeros(SHAPE, np.uint8))

    write_tree(folder / "tree", {"train": ids}, map(draw, ids), sources="noise", suffix=".jpg")
    recipe = Recipe(labels=Labels(exact=True), shards=Shards(images=images))
    build_dataset(folder / "tree", folder / "dataset", recipe, splits=["train"], jobs=1)
    return folder / "dataset"


class SmallCache:
    """The pages that a cache of `capacity` bytes would hold, and no others, are in memory."""

    def __init__(self, split: Split, capacity: int) -> None:
        self.requests = 0
        self._split, self._capacity = split, capacity // mmap.PAGESIZE
        self._held: OrderedDict[Page, None] = OrderedDict()
        self._files: dict[int, int] = {}

    def touch(self, spans: list[Span]) -> None:
        """Note what has just been read, and drop the pages that leave."""
        for number, start, stop in spans:
            before = True
            for page in range(start // mmap.PAGESIZE, -(-stop // mmap.PAGESIZE)):
                held = (number, page) in self._held
                self.requests += before and not held
                before = held
                self._held[number, page] = None
                self._held.move_to_end((number, page))
        excess = max(len(self._held) - self._capacity, 0)
        for number, first, count in runs(
            sorted(self._held.popitem(last=False)[0] for _ in range(excess))
        ):
            self._drop(number, first * mmap.PAGESIZE, count * mmap.PAGESIZE)

    def _drop(self, number: int, start: int, length: int) -> None:
        """Take pages out of the mapping and then out of the system's cache."""
        shard = mapped(self._split._open[number])
        shard._pages.advise("MADV_DONTNEED", start, length)
        if number not in self._files:
            self._files[number] = os.open(shard.path, os.O_RDONLY)
        os.posix_fadvise(self._files[number], start, length, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            os.close(file)


def runs(pages: list[Page]) -> list[tuple[int, int, int]]:
    """Return runs of neighbouring pages: shard, first page, count."""
    found: list[tuple[int, int, int]] = []
    for number, page in pages:
        if found and found[-1][0] == number and sum(found[-1][1:]) == page:
            found[-1] = (number, found[-1][1], found[-1][2] + 1)
        else:
            found.append((number, page, 1))
    return found


def bands(split: Split, samples: NDArray[np.int64], tops: NDArray[np.int64]) -> list[Span]:
    """Return the bytes of the bands of rows that windows lie in."""
    place = split._photographs.locate(samples)
    found = split._bands(place, tops)
    return [
        span(number, mapped(shard), name, first, SIDE * width)
        for name in MAPS
        for number, (shard, first, width) in zip(
            place.shards.tolist(), found[split._group[name]], strict=True
        )
    ]


def mapped(shard: MappedShard | RemoteShard) -> MappedShard:
    """Return a shard of a dataset in a folder as what it is."""
    assert isinstance(shard, MappedShard)
    return shard


def span(number: int, shard: MappedShard, name: str, first: int, count: int) -> Span:
    """Return the bytes of `count` pixels of a map."""
    pixels = shard.arrays[name]
    pixel = pixels.itemsize * int(np.prod(pixels.shape[1:]))
    start = shard.offsets[name] + first * pixel
    return number, start, start + count * pixel


def read_epoch(root: Path, buffer: int, whole: bool, capacity: int) -> dict[str, float]:
    """Read windows as a training does for two epochs; return what the second one costs."""
    for path in root.glob("*.h5"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    split = open_dataset(root).split("train")
    order = SampleOrder(split.shard_sizes, seed=1, buffer=buffer)
    fetcher = ShardFetcher(split, MAPS, buffer)
    cache, rng = SmallCache(split, capacity), np.random.default_rng(2)
    seconds, fetched, requests = 0.0, 0, 0
    for start in range(0, 2 * len(order), BATCH):
        if start == len(order):
            seconds, fetched, requests = 0.0, bytes_fetched(), cache.requests
        samples = order.stream(start, start + BATCH)[1]
        tops, lefts = (rng.integers(0, side - SIDE + 1, len(samples)) for side in SHAPE)
        before = set(fetcher._fetched)
        began = time.perf_counter()
        if whole:
            fetcher.fetch(samples)
        split.crop(samples, tops, lefts, SIDE, MAPS)
        seconds += time.perf_counter() - began
        for number in fetcher._fetched.keys() - before:
            shard = mapped(split._open[number])
            cache.touch([span(number, shard, name, 0, len(shard.arrays[name])) for name in MAPS])
        cache.touch(bands(split, samples, tops))
    cache.close()
    fetched, requests = bytes_fetched() - fetched, cache.requests - requests
    return {
        "gigabytes": fetched / 1e9,
        "requests": requests,
        "seconds": seconds,
        "seconds_turning_disk": requests * TURNING_DISK["seconds_a_request"]
        + fetched / TURNING_DISK["bytes_a_second"],
    }


def bytes_fetched() -> int:
    """Return the bytes that the kernel has fetched from disks for this process."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["read_bytes"])


def randomness(split: Split, buffer: int, epochs: int = 8) -> dict[str, float]:
    """Say how mixed the first epochs of an order are."""
    order = SampleOrder(split.shard_sizes, seed=1, buffer=buffer)
    orders = [order.epoch(epoch) for epoch in range(epochs)]
    photographs = np.unique(split.ids, return_inverse=True)[1]
    shards = np.repeat(np.arange(len(split.shard_sizes)), split.shard_sizes)
    places = np.stack([np.argsort(found) for found in orders])
    return {
        "same_shard": float(np.mean([pairs_sharing(shards[found]) for found in orders])),
        "same_photograph": float(np.mean([pairs_sharing(photographs[found]) for found in orders])),
        "neighbours": float(np.mean([np.corrcoef(o[:-1], o[1:])[0, 1] for o in orders])),
        "moved": float(np.abs(np.diff(places, axis=0)).mean() / len(order)),
    }


def pairs_sharing(groups: NDArray[np.int64]) -> float:
    """Return the share of the pairs in a batch that belong to one group."""
    batches = groups[: len(groups) // BATCH * BATCH].reshape(-1, BATCH)
    equal = batches[:, :, None] == batches[:, None, :]
    return float((equal.sum() - batches.size) / (batches.size * (BATCH - 1)))


if __name__ == "__main__":
    main()
