"""How fast `vocsmooth verify` reads a dataset, compared with SHA-256 alone.

All ways are measured in turn, with the files in the page cache; medians over the rounds. What runs
in one process is measured in processor time, so that other work on the machine does not count; the
command itself, which also starts processes, in wall-clock time.

Example: python -m benchmarks.verify --data voc-smooth --out verify.json
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.command import recorded_command
from vocsmooth.dataset.check import check_shard
from vocsmooth.dataset.verify import verify_dataset
from vocsmooth.files import sha256_file, write_json
from vocsmooth.shards.index import read_index
from vocsmooth.shards.scan import list_shards

SHA256 = "SHA-256 alone, one process"
CHECK = "verify's check of every shard, one process"

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
    ways: dict[str, tuple[Clock, Callable[[], object]]] = {
        SHA256: (time.process_time, lambda: [sha256_file(path) for path in paths]),
        CHECK: (time.process_time, lambda: [check_shard(shard) for shard in shards]),
        "vocsmooth verify --jobs 1": (
            time.perf_counter,
            lambda: verify_dataset(root, jobs=1, fresh=True),
        ),
        "vocsmooth verify --jobs 2": (
            time.perf_counter,
            lambda: verify_dataset(root, jobs=2, fresh=True),
        ),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _, way in ways.values():
        way()
    for _ in range(arguments.rounds):
        for name, (clock, way) in ways.items():
            started = clock()
            way()
            rates[name].append(size / (clock() - started) / 1e6)
    median = {name: statistics.median(values) for name, values in rates.items()}
    limit = median[SHA256]
    for name, value in median.items():
        print(f"{name:44s} {value:7.0f} MB/s  {value / limit:5.2f} x SHA-256")
    if arguments.out:
        figures = {
            "machine": arguments.machine,
            "date": time.strftime("%Y-%m-%d"),
            "command": recorded_command(),
            "bytes": size,
            "shards": len(paths),
            "megabytes_per_second": median,
            "share_of_sha256": {name: value / limit for name, value in median.items()},
            "rounds": rates,
        }
        write_json(arguments.out, figures)


if __name__ == "__main__":
    main()
