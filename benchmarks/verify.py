"""How fast `vocsmooth verify` reads a dataset, compared with SHA-256 alone.

All ways are measured in turn, with the files in the page cache; medians over the rounds. What one
process does is measured in processor time, with that of processes which it started, so that other
work on the machine counts little. The command is measured in wall-clock time as well, as SHA-256 in
one and in two processes is: two hyperthreads of one core are less than two cores, and the second
says how much less. Each way is compared with one process that hashes, by the same clock. How long
two processes take to start is measured alone: of a large dataset it is nothing.

Example: python -m benchmarks.verify --data voc-smooth --out verify.json
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import statistics
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from benchmarks.command import recorded_command
from vocsmooth.dataset import check
from vocsmooth.dataset.verify import verify_dataset
from vocsmooth.files import sha256_file, write_json
from vocsmooth.shards.index import read_index
from vocsmooth.shards.scan import ShardScan, list_shards
from vocsmooth.workers.processes import run_tasks

SHA256 = "SHA-256 alone, one process"
SHA256_WALL = "SHA-256 alone, one process, wall-clock"

Clock = Callable[[], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a dataset")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--machine", default=platform.machine(), help="in words, for the figures")
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    arguments = parser.parse_args()
    root = arguments.data
    shards = list_shards(root, read_index(root))
    paths = [shard.path for shard in shards]
    size = sum(path.stat().st_size for path in paths)
    processor, wall = _processor_seconds, time.perf_counter
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        ways: dict[str, tuple[Clock, Callable[[], object]]] = {
            SHA256: (processor, lambda: [*map(sha256_file, paths)]),
            "check of every shard, one process": (
                processor,
                lambda: [*map(check.check_shard, shards)],
            ),
            "the same, copied to memory first": (processor, lambda: [*map(_check_copy, shards)]),
            "vocsmooth verify --jobs 1": (processor, lambda: _verify(root, 1)),
            SHA256_WALL: (wall, lambda: [*map(sha256_file, paths)]),
            "SHA-256 alone, two processes, wall-clock": (
                wall,
                lambda: pool.map(sha256_file, paths, 1),
            ),
            "vocsmooth verify --jobs 1, wall-clock": (wall, lambda: _verify(root, 1)),
            "vocsmooth verify --jobs 2, wall-clock": (wall, lambda: _verify(root, 2)),
        }
        for _, way in ways.values():
            way()
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(arguments.rounds):
            for name, (clock, way) in ways.items():
                started = clock()
                way()
                rates[name].append(size / (clock() - started) / 1e6)
    starts = [_seconds_to_start() for _ in range(arguments.rounds)]
    median = {name: statistics.median(values) for name, values in rates.items()}
    share = {
        name: median[name] / median[SHA256 if clock is processor else SHA256_WALL]
        for name, (clock, _) in ways.items()
    }
    for name, value in median.items():
        print(f"{name:40s} {value:7.0f} MB/s  {share[name]:5.2f} x SHA-256")
    print(f"{'start of two processes':40s} {statistics.median(starts):7.2f} s")
    if arguments.out:
        figures = {
            "machine": arguments.machine,
            "load": os.getloadavg()[0],
            "date": time.strftime("%Y-%m-%d"),
            "command": recorded_command(),
            "bytes": size,
            "shards": len(paths),
            "megabytes_per_second": median,
            "share_of_sha256": share,
            "seconds_to_start_two_processes": statistics.median(starts),
            "rounds": rates,
        }
        write_json(arguments.out, figures)


def _processor_seconds() -> float:
    """Return the processor time of this process and of those it started that have ended."""
    return sum(os.times()[:4])


def _check_copy(shard: ShardScan) -> list[check.Problem]:
    """Check a shard as it is done where files cannot be mapped."""
    mapped, check._map = check._map, lambda *_: None
    try:
        return check.check_shard(shard)
    finally:
        check._map = mapped


def _seconds_to_start() -> float:
    """Return the seconds until two processes that can check shards have started and ended."""
    started = time.perf_counter()
    deque(run_tasks(_nothing, range(2), 2), 0)
    return time.perf_counter() - started


def _nothing(_: int) -> None:
    """Do nothing, in a process that has imported what this module does."""


def _verify(root: Path, jobs: int) -> None:
    """Run the command on all shards."""
    if problems := verify_dataset(root, jobs=jobs, fresh=True).problems:
        raise SystemExit(str(problems[0]))


if __name__ == "__main__":
    main()
