"""Random crops of all maps: from PNG files as the authors read them, our shards, raw memmaps.

All ways are measured in turn, in one process and on the same images: crops per second (medians over
the rounds) and their ratios. With everything in memory it is processor time that counts, so that
other work on the machine does not; with a cold cache it is wall-clock time.

Example: python -m benchmarks.loader --data voc-smooth --cold
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.command import recorded_command
from vocsmooth.files import write_json
from vocsmooth.shards import Split, open_dataset
from vocsmooth.shards.mapped import MappedShard

SIZE = 128
BATCH = 8
Draw = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def draw_windows(split: Split, count: int, rng: np.random.Generator) -> Draw:
    """Draw samples and corners, uniformly."""
    indices = rng.integers(len(split), size=count)
    room = split.shapes[indices] - SIZE
    return indices, rng.integers(0, room[:, 0] + 1), rng.integers(0, room[:, 1] + 1)


def write_png(split: Split, maps: tuple[str, ...], folder: Path) -> None:
    """Write every map of every sample as a PNG file."""
    for i in range(len(split)):
        for name, pixels in split.read(i, maps).items():
            Image.fromarray(pixels).save(folder / f"{i}_{name}.png")


def write_raw(split: Split, maps: tuple[str, ...], folder: Path) -> dict[str, NDArray[np.int64]]:
    """Write every map of all samples into one file; return where each sample starts."""
    starts = {}
    for name in maps:
        with (folder / f"{name}.bin").open("wb") as file:
            lengths = [file.write(split.read(i, [name])[name].tobytes()) for i in range(len(split))]
        starts[name] = np.cumsum([0, *lengths])
    return starts


def png_crops(folder: Path, maps: tuple[str, ...], draw: Draw) -> None:
    """Decode entire files and cut windows out, as the authors' loader does before augmenting."""
    for i, y, x in zip(*(a.tolist() for a in draw), strict=True):
        for name in maps:
            with Image.open(folder / f"{i}_{name}.png") as image:
                np.asarray(image.crop((x, y, x + SIZE, y + SIZE)))


def raw_views(
    split: Split, maps: tuple[str, ...], folder: Path, starts: dict[str, NDArray[np.int64]]
) -> list[dict[str, NDArray[Any]]]:
    """Return each sample's maps as views of one memmap per map."""
    files = {name: np.memmap(folder / f"{name}.bin", mode="r") for name in maps}
    views = []
    for i, (height, width) in enumerate(split.shapes.tolist()):
        flat = {name: files[name][starts[name][i] : starts[name][i + 1]] for name in maps}
        views.append(
            {
                name: array.reshape(height, width, *((3,) if len(array) > height * width else ()))
                for name, array in flat.items()
            }
        )
    return views


def raw_crops(views: list[dict[str, NDArray[Any]]], maps: tuple[str, ...], draw: Draw) -> None:
    """Copy windows out of memmaps one by one without any check: the upper limit."""
    for i, y, x in zip(*(a.tolist() for a in draw), strict=True):
        for name in maps:
            views[i][name][y : y + SIZE, x : x + SIZE].copy()


def raw_batches(views: list[dict[str, NDArray[Any]]], maps: tuple[str, ...], draw: Draw) -> None:
    """Copy windows out of memmaps into new batches."""
    rows = list(zip(*(a.tolist() for a in draw), strict=True))
    for start in range(0, len(rows), BATCH):
        chosen = rows[start : start + BATCH]
        batch = {
            name: np.empty((len(chosen), SIZE, SIZE, *views[0][name].shape[2:]), np.uint8)
            for name in maps
        }
        for row, (i, y, x) in enumerate(chosen):
            for name, out in batch.items():
                out[row] = views[i][name][y : y + SIZE, x : x + SIZE]


def our_batches(split: Split, maps: tuple[str, ...], draw: Draw, batch: int) -> None:
    """Read batches as a trainer does."""
    for start in range(0, len(draw[0]), batch):
        indices, tops, lefts = (array[start : start + batch] for array in draw)
        split.crop(indices, tops, lefts, SIZE, maps)


def our_tensors(split: Split, maps: tuple[str, ...], draw: Draw) -> None:
    """Read batches and turn them into tensors without copying."""
    import torch

    for start in range(0, len(draw[0]), BATCH):
        indices, tops, lefts = (array[start : start + BATCH] for array in draw)
        for array in split.crop(indices, tops, lefts, SIZE, maps).values():
            torch.from_numpy(array)


def preads(split: Split, maps: tuple[str, ...], draw: Draw) -> None:
    """Read the band of rows that each window lies in, by one pread per map and window."""
    files: dict[str, int] = {}
    place = split._photographs.locate(draw[0])
    starts = {group: first.tolist() for group, first in place.starts.items()}
    widths = place.shapes[:, 1].tolist()
    for i, (number, y) in enumerate(zip(place.shards.tolist(), draw[1].tolist(), strict=True)):
        shard, width = split._open.current(number), widths[i]
        assert isinstance(shard, MappedShard)  # the dataset is in a folder
        path = str(shard.path)
        if path not in files:
            files[path] = os.open(path, os.O_RDONLY)
            os.posix_fadvise(files[path], 0, 0, os.POSIX_FADV_RANDOM)
        for name in maps:
            pixels = shard.arrays[name]
            pixel = pixels.itemsize * (pixels.shape[1] if pixels.ndim > 1 else 1)
            first = starts[split._group[name]][i] + y * width
            os.pread(files[path], SIZE * width * pixel, shard.offsets[name] + first * pixel)
    for descriptor in files.values():
        os.close(descriptor)


def drop_cache(root: Path) -> None:
    """Drop the shards from the page cache; needs no privileges, but no process may map them."""
    for path in root.glob("*.h5"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def rate(function: Callable[[], None], count: int, clock: Callable[[], float]) -> float:
    """Return crops per second of one run."""
    started = clock()
    function()
    return count / (clock() - started)


def measure_warm(
    split: Split, maps: tuple[str, ...], folder: Path, rounds: int, rng: np.random.Generator
) -> dict[str, list[float]]:
    """Measure all ways in turn, with everything in the page cache."""
    write_png(split, maps, folder)
    views = raw_views(split, maps, folder, write_raw(split, maps, folder))
    few, many = draw_windows(split, 32, rng), draw_windows(split, 1024, rng)
    ways: dict[str, tuple[Callable[[Draw], None], Draw]] = {
        "png": (lambda d: png_crops(folder, maps, d), few),
        "raw memmap": (lambda d: raw_crops(views, maps, d), many),
        "raw memmap, batches": (lambda d: raw_batches(views, maps, d), many),
        "shards, one by one": (lambda d: our_batches(split, maps, d, 1), many),
        "shards, batches": (lambda d: our_batches(split, maps, d, BATCH), many),
        "shards, batches of 32": (lambda d: our_batches(split, maps, d, 32), many),
        "shards, tensors": (lambda d: our_tensors(split, maps, d), many),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for warm_up in [True] + [False] * rounds:
        for name, (way, draw) in ways.items():
            found = rate(partial(way, draw), len(draw[0]), time.process_time)
            if not warm_up:
                rates[name].append(found)
    return rates


def measure_cold(
    data: Path, split_name: str, maps: tuple[str, ...], rounds: int, rng: np.random.Generator
) -> dict[str, list[float]]:
    """Measure our batches and preads, each after dropping the shards from the page cache."""
    rates: dict[str, list[float]] = {"cold: pread per row span": [], "cold: shards, batches": []}
    for _ in range(rounds):
        ways: tuple[tuple[str, Callable[..., None]], ...] = (
            ("cold: pread per row span", preads),
            ("cold: shards, batches", partial(our_batches, batch=BATCH)),
        )
        for name, way in ways:
            split = open_dataset(data).split(split_name)
            draw = draw_windows(split, 256, rng)
            drop_cache(data)
            rates[name].append(rate(partial(way, split, maps, draw), 256, time.perf_counter))
            del split
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a dataset; its train split")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cold", action="store_true", help="also with the page cache dropped")
    parser.add_argument("--machine", default=platform.machine(), help="in words, for the figures")
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    arguments = parser.parse_args()
    split = open_dataset(arguments.data).split("train")
    maps = ("input", "label", "edge", "mask", "over")
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        rates = measure_warm(split, maps, Path(folder), arguments.rounds, rng)
    if arguments.cold:
        os.sync()
        rates |= measure_cold(arguments.data, "train", maps, arguments.rounds, rng)
    median = {name: statistics.median(values) for name, values in rates.items()}
    for name, value in median.items():
        low, high = min(rates[name]), max(rates[name])
        print(
            f"{name:28s} {value:9.0f} crops/s [{low:.0f}-{high:.0f}]  "
            f"{value / median['png']:7.1f} x PNG  {value / median['raw memmap']:5.2f} x raw"
        )
    if arguments.out:
        figures = {
            "machine": arguments.machine,
            "date": time.strftime("%Y-%m-%d"),
            "command": recorded_command(),
            "maps": maps,
            "size": SIZE,
            "batch": BATCH,
            "crops_per_second": median,
            "times_png": {name: value / median["png"] for name, value in median.items()},
            "rounds": rates,
        }
        write_json(arguments.out, figures)


if __name__ == "__main__":
    main()
