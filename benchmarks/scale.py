"""How the cost of a dataset grows with its photographs and its shards, from plan to report.

steps     Photographs and a texture of 32 x 32 pixels are built into shards of 16, for each number
          of photographs, with two workers:
          plan      list the photographs and deal them out to shards
          build     make all shards
          resume    the same command again, when the dataset is finished
          continue  the same command again, when the index is lost: each shard is read and kept
          open      open the dataset and take its split
          crop      read one window of each input, in random order: the first touch of each shard
          again     read the same windows again: every shard is mapped, and every page was touched
          verify    check every file
          repair    make one lost shard again; this verifies before and after
          report    write the page for people
          card      write the files that describe the dataset to others
          labels    report on the labels, for people and for programs
planned   Listing and planning alone, with many more photographs: links to a few files.
end       What a build does when the last shard is made, and its memory: it reads all records, and
          writes the index. One shard is built; the records of the others are made of its record.
read      The same photographs of 32 x 32 pixels in few or many shards. Windows are read in random
          order: the first pass maps and checks every shard, the later ones find them mapped.
records   A million photographs in 60,000 shards, which are holes: the dataset is opened, pickled,
          and handed to a DataLoader with 8 workers, until each has found a sample. Workers are
          forked or spawned; what spawned ones take without a dataset is measured beside it.

The exponent p says that a cost grows as the number ** p. Starting Python makes it small, so that of
the steps is also given without the cost of the smallest number ("growing"): the exponent of what
the second and the last number cost more than the first. The margin is what one more photograph
costs between the two largest numbers. An exponent over 1.1 is a fault ("growing" where there is
one): its row is marked if the step takes more than 0.3 s with the largest number, and the command
then exits with 1. Seconds of reading are wall-clock of one process, but for later crops, which are
in processor time as the steps are (see `benchmarks.scale_steps`).

Example: python -m benchmarks.scale --photographs 1000 10000 --shards 64 1000 --out scale.json
"""

from __future__ import annotations

import argparse
import math
import os
import pickle
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import recorded_command
from benchmarks.scale_end import measure_end
from benchmarks.scale_growth import Row, grow, print_table, too_steep
from benchmarks.scale_made import SPLIT, make_records, make_shards
from benchmarks.scale_steps import RECIPE, apart, measure_planning, measure_steps
from vocsmooth.files import write_json
from vocsmooth.shards import windows
from vocsmooth.shards.reader import open_dataset
from vocsmooth.shards.split import Split

CROP = 16
BATCH = 16
MAPS = ("input", "label", "edge", "mask")
WORKERS = 8
SPARSE_SHARD = 20_000_000
MOST_SHARDS = 62_000  # Linux grants a process 65,530 mappings
ROUNDS = 5
GROWING = ("steps", "planned", "end")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photographs", type=int, nargs="*", default=[1000, 10_000, 100_000])
    parser.add_argument("--planned", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--end", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--shards", type=int, nargs="*", default=[64, 1000, 60_000])
    parser.add_argument("--images", type=int, default=60_000, help="read: in all shards")
    parser.add_argument("--crops", type=int, default=16_000, help="read: windows of a later pass")
    parser.add_argument(
        "--records",
        type=int,
        nargs="*",
        default=[60_000, 1_000_000],
        metavar="N",
        help="how many shards, and how many photographs in them",
    )
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    arguments = parser.parse_args()
    if len(arguments.records) not in (0, 2):
        parser.error("--records takes two numbers, of shards and of photographs, or none")
    if any(count < 1 or count % RECIPE.shards.images for count in arguments.end):
        parser.error(f"--end takes multiples of the {RECIPE.shards.images} photographs of a shard")
    if sum(arguments.shards) > MOST_SHARDS:
        parser.error(f"--shards takes {MOST_SHARDS} together, which are mapped at the same time")
    figures: dict[str, dict[str, Any]] = {
        "steps": measure_growth(arguments.photographs, measure_steps),
        "planned": measure_growth(arguments.planned, lambda n: {"plan": measure_planning(n)}),
        "end": measure_growth(arguments.end, lambda n: {"end": measure_end(n)}),
        "read": read(arguments.shards, arguments.images, arguments.crops),
        "records": open_records(*arguments.records) if arguments.records else {},
    }
    if arguments.out:
        import torch

        from benchmarks.machine import describe

        head = {
            "machine": describe(torch.device("cpu")),
            "load": os.getloadavg()[0],
            "date": time.strftime("%Y-%m-%d"),
            "command": recorded_command(),
        }
        write_json(arguments.out, head | figures)
    faults = [f"{part}: {step}" for part in GROWING for step in figures[part]["faults"]]
    if faults:
        sys.exit(f"These grow faster than the number of photographs: {', '.join(faults)}.")


def measure_growth(counts: list[int], measure: Callable[[int], dict[str, Row]]) -> dict[str, Any]:
    """Measure steps with these numbers of photographs, and how their costs grow."""
    counts = sorted(set(counts))
    rows: dict[str, list[Row]] = {}
    for count in counts:
        for step, row in measure(count).items():
            rows.setdefault(step, []).append(row)
            numbers = "".join(f" {name} {value:.4g}" for name, value in row.items())
            print(f"{count:8d} {step:9s}{numbers}", flush=True)
    growth = {step: grow(counts, of_step) for step, of_step in rows.items()}
    print_table(counts, rows, growth)
    faults = [step for step, of_step in rows.items() if too_steep(of_step, growth[step])]
    return {"photographs": counts, "rows": rows, "growth": growth, "faults": faults}


def read(counts: list[int], photographs: int, crops: int) -> dict[str, object]:
    """Measure the same photographs in these numbers of shards."""
    if not counts:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        roots = {shards: Path(folder) / str(shards) for shards in counts}
        for shards, root in roots.items():
            root.mkdir()
            make_shards(root, shards, photographs)
        opening = [{"shards": n, **apart(measure_opening, r)} for n, r in roots.items()]
        reading = apart(measure_reading, list(roots.values()), crops)
    rows = [one | other for one, other in zip(opening, reading, strict=True)]
    _print(rows)
    return {"rows": rows, "exponents": exponents(rows)}


def open_records(shards: int, photographs: int) -> dict[str, float]:
    """Measure a dataset of many shards that are holes."""
    with tempfile.TemporaryDirectory() as folder:
        make_records(Path(folder), shards, photographs, SPARSE_SHARD)
        row = {
            "shards": shards,
            "photographs": photographs,
            **apart(measure_opening, Path(folder)),
            **measure_loaders(Path(folder)),
        }
    _print([row])
    return row


def exponents(rows: list[dict[str, float]]) -> dict[str, float]:
    """Return how the costs grow from the first row to the last."""
    if len(rows) < 2:
        return {}
    first, last = rows[0], rows[-1]
    growth = math.log(last["shards"] / first["shards"])
    return {name: math.log(last[name] / first[name]) / growth for name in first if name != "shards"}


def measure_opening(root: Path) -> dict[str, float]:
    """Open a dataset; return seconds, memory and bytes."""
    before = _megabytes()
    started, worked = time.perf_counter(), time.process_time()
    split = open_dataset(root).split(SPLIT)
    opened, worked = time.perf_counter() - started, time.process_time() - worked
    return {
        "open_s": opened,
        "open_processor_s": worked,
        "open_MB": max(_megabytes() - before, 0.1),
        "pickle_kB": len(pickle.dumps(split)) / 1e3,
    }


def measure_reading(roots: list[Path], crops: int) -> list[dict[str, float]]:
    """Read windows of several datasets, interleaved; return milliseconds a window."""
    # A process keeps fewer mapped than it might, and here there are several datasets.
    windows._MOST_MAPPED = 2**16
    splits = [open_dataset(root).split(SPLIT) for root in roots]
    count = len(splits[0])
    order = np.random.default_rng(0).permutation(count)
    first = [_seconds_a_crop(split, order, time.perf_counter) for split in splits]
    later: list[list[float]] = [[] for _ in splits]
    for number in range(1, ROUNDS + 1):
        order = np.random.default_rng(number).integers(0, count, crops)
        for split, seconds in zip(splits, later, strict=True):
            seconds.append(_seconds_a_crop(split, order, time.process_time))
    return [
        {"ms_a_crop_first": one * 1e3, "ms_a_crop_later": statistics.median(many) * 1e3}
        for one, many in zip(first, later, strict=True)
    ]


def measure_loaders(root: Path) -> dict[str, float]:
    """Return the seconds until each of a DataLoader's workers has opened the dataset."""
    split = open_dataset(root).split(SPLIT)
    return {
        "loader_fork_s": _seconds_to_start(Places(split), "fork"),
        "loader_spawn_s": _seconds_to_start(Places(split), "spawn"),
        "loader_spawn_without_dataset_s": _seconds_to_start(range(WORKERS), "spawn"),
    }


def _seconds_to_start(samples: Any, method: str) -> float:
    """Return the seconds until each worker has given a sample: they take turns."""
    from torch.utils.data import DataLoader

    loader: DataLoader[int] = DataLoader(
        samples, num_workers=WORKERS, multiprocessing_context=method
    )
    started = time.perf_counter()
    batches = iter(loader)
    for _ in range(WORKERS):
        next(batches)
    return time.perf_counter() - started


class Places:
    """The shard of each sample of a split, found without reading it: the shards are holes."""

    def __init__(self, split: Split) -> None:
        self.split = split

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> int:
        return int(self.split._photographs.locate(np.array([index])).shards[0])


def _seconds_a_crop(split: Split, order: NDArray[np.int64], clock: Callable[[], float]) -> float:
    """Read a window of each sample in batches; return the seconds that one takes."""
    started = clock()
    for start in range(0, len(order), BATCH):
        indices = order[start : start + BATCH]
        corner = np.zeros(len(indices), np.int64)
        split.crop(indices, corner, corner, CROP, MAPS)
    return (clock() - started) / len(order)


def _megabytes() -> float:
    """Return the memory that this process holds."""
    resident = int(Path("/proc/self/statm").read_text().split()[1])
    return resident * resource.getpagesize() / 1e6


def _print(rows: list[dict[str, float]]) -> None:
    """Print a table, and how its columns grow."""
    print(" ".join(f"{name:>16s}" for name in rows[0]))
    for row in rows:
        print(" ".join(f"{value:16.4g}" for value in row.values()))
    if growth := exponents(rows):
        print(f"{'exponent':>16s} " + " ".join(f"{value:16.2f}" for value in growth.values()))


if __name__ == "__main__":
    main()
