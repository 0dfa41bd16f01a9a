"""How fast `vocsmooth verify` reads a dataset, compared with its digests alone.

The command compares BLAKE3 where the dataset has it, and SHA-256 where it has not. All is measured
against SHA-256 alone, which a user would compute without the command. SHA-256 alone is Python's
hashlib over every file, read into memory that is used again (which is what hashlib.file_digest
does), and over the mapped pages that `verify` reads. All ways are measured in turn, with the files
in the page cache; medians over the rounds.

What one process does is measured in processor time, with that of processes which it started, so
that other work on the machine counts little. What two processes do is measured by the clock, and in
processor time too. Two that hash are started as those of the command are, and before the clock
runs; they say how much more than one can be had: two hyperthreads of one core are less than two
cores. "twice one hash" is what of twice the speed of one process that hashes is reached, "two
hashers" what of the speed of two that hash, both by the same clock.

How long two processes take to start is measured alone: of a large dataset it is nothing. The speed
of the command beyond this start is given as well.

Example: python -m benchmarks.verify --data voc-smooth --out verify.json
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from unittest import mock

from blake3 import blake3

from benchmarks.command import recorded_command
from vocsmooth.dataset import check
from vocsmooth.dataset.reading import CannotMapError, Piece, read_mapped
from vocsmooth.dataset.verify import verify_dataset
from vocsmooth.files import hash_file, sha256_file, write_json
from vocsmooth.shards.index import read_index
from vocsmooth.shards.scan import ShardScan, list_shards
from vocsmooth.workers.processes import run_tasks

Seconds = tuple[float, float]
"""Of the processor, and by the clock."""

Way = Callable[[], object]

READ, MAPPED = "SHA-256 alone, read", "SHA-256 alone, mapped"
BLAKE3 = "BLAKE3 alone, read"
VERIFY = "vocsmooth verify"
WARM = ", started before"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a dataset")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--machine", default=platform.machine(), help="in words, for the figures")
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    arguments = parser.parse_args()
    root = arguments.data
    shards = list_shards(root, read_index(root))
    size = sum(shard.path.stat().st_size for shard in shards)
    one, two = measure(root, shards, arguments.rounds)
    start = statistics.median(measured(_start)[1] for _ in range(arguments.rounds))
    rounds = {
        "one process, processor time": {name: [s for s, _ in of] for name, of in one.items()},
        "two processes, clock": {name: [s for _, s in of] for name, of in two.items()},
        "two processes, processor time": {name: [s for s, _ in of] for name, of in two.items()},
        "one process, clock": {name: [s for _, s in of] for name, of in one.items()},
    }
    figures = {
        "machine": arguments.machine,
        "load": os.getloadavg()[0],
        "date": time.strftime("%Y-%m-%d"),
        "command": recorded_command(),
        "bytes": size,
        "shards": len(shards),
        **summarise(rounds, start, size),
        "seconds": rounds,
    }
    if arguments.out:
        write_json(arguments.out, figures)


def summarise(
    rounds: dict[str, dict[str, list[float]]], start: float, size: int
) -> dict[str, object]:
    """Print and return speeds, and what they are of those of SHA-256 alone, each within a round."""
    speeds: dict[str, dict[str, float]] = {}
    shares: dict[str, dict[str, float]] = {}
    for kind, ways in rounds.items():
        base = READ + WARM * kind.startswith("two")
        speeds[kind] = {name: size / statistics.median(of) / 1e6 for name, of in ways.items()}
        shares[kind] = {name: _ratio(ways[base], of) for name, of in ways.items()}
        print(kind)
        for name, value in speeds[kind].items():
            print(f"  {name:36s} {value:7.0f} MB/s  {shares[kind][name]:5.2f} x {base}")
    clock = rounds["two processes, clock"]
    reached = {
        "start of two processes, seconds": start,
        "twice one hash": _ratio(rounds["one process, clock"][READ], clock[VERIFY]) / 2,
        "two that hash, of twice one hash": _ratio(
            rounds["one process, clock"][READ], clock[READ + WARM]
        )
        / 2,
        "two that compute BLAKE3, started before": _ratio(clock[BLAKE3 + WARM], clock[VERIFY]),
        "two hashers": _ratio(clock[READ], clock[VERIFY]),
        "two hashers that were started before": _ratio(clock[READ + WARM], clock[VERIFY]),
        "two hashers, beyond the start": _ratio(
            clock[READ + WARM], [seconds - start for seconds in clock[VERIFY]]
        ),
        "two hashers, processor time": shares["two processes, processor time"][VERIFY],
    }
    for name, value in reached.items():
        print(f"{name:38s} {value:5.2f}")
    return {"megabytes_per_second": speeds, "share_of_sha256": shares, "reached": reached}


def _ratio(of: list[float], by: list[float]) -> float:
    """Return the median over the rounds of how many times as fast the second way is."""
    return statistics.median(one / other for one, other in zip(of, by, strict=True))


def measure(
    root: Path, shards: list[ShardScan], rounds: int
) -> tuple[dict[str, list[Seconds]], dict[str, list[Seconds]]]:
    """Return the seconds of each way with one process, and with two."""
    paths = [shard.path for shard in shards]
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        one: dict[str, Way] = {
            READ: lambda: [*map(sha256_file, paths)],
            MAPPED: lambda: [*map(sha256_mapped, paths)],
            BLAKE3: lambda: [*map(blake3_file, paths)],
            "check of every shard": lambda: [*map(_check, shards)],
            "the same, copied to memory": lambda: [*map(_check_copy, shards)],
        }
        two: dict[str, Way] = {
            READ + WARM: lambda: [*pool.map(sha256_file, paths)],
            MAPPED + WARM: lambda: [*pool.map(sha256_mapped, paths)],
            BLAKE3 + WARM: lambda: [*pool.map(blake3_file, paths)],
            READ: lambda: [*run_tasks(sha256_file, paths, 2)],
            VERIFY: lambda: _verify(root),
        }
        for way in two.values():
            way()
        seconds: list[dict[str, list[Seconds]]] = [{name: [] for name in of} for of in (one, two)]
        for _ in range(rounds):
            for found, ways in zip(seconds, (one, two), strict=True):
                for name, way in ways.items():
                    found[name].append(measured(way, _children(pool)))
    return seconds[0], seconds[1]


def measured(way: Way, others: list[int] | None = None) -> Seconds:
    """Run a way; return its seconds, of this process, those it starts and these others."""
    started, worked = time.perf_counter(), _processor_seconds(others or [])
    way()
    return _processor_seconds(others or []) - worked, time.perf_counter() - started


def _children(pool: ProcessPoolExecutor) -> list[int]:
    """Return the processes of a pool."""
    return [*pool._processes]


def _processor_seconds(others: list[int]) -> float:
    """Return the processor time of this process, those it started that have ended, and others."""
    return sum(os.times()[:4]) + sum(map(_seconds_of, others))


def _seconds_of(process: int) -> float:
    """Return the processor time that a process has taken so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def blake3_file(path: Path) -> str:
    """Return the BLAKE3 of a file, which is read in pieces."""
    digest = blake3()
    hash_file(path, digest)
    return digest.hexdigest()


def sha256_mapped(path: Path) -> str:
    """Return the SHA-256 of a file's pages, which are mapped and fetched as `verify` does."""
    digest = sha256()
    for piece, _, _ in read_mapped(path, path.stat().st_size):
        digest.update(piece)
    return digest.hexdigest()


def _check(shard: ShardScan) -> None:
    """Check a shard."""
    if problems := check.check_shard(shard):
        raise SystemExit(str(problems[0]))


def _check_copy(shard: ShardScan) -> None:
    """Check a shard as it is done where files cannot be mapped."""
    with mock.patch.object(check, "read_mapped", _refuse):
        _check(shard)


def _refuse(*_: object) -> Iterator[Piece]:
    raise CannotMapError


def _start() -> None:
    """Start two processes that could check shards, and end them."""
    deque(run_tasks(_nothing, range(2), 2), 0)


def _nothing(_: int) -> None:
    """Do nothing, in a process that has imported what this module does."""


def _verify(root: Path) -> None:
    """Run the command on all shards."""
    if problems := verify_dataset(root, jobs=2, fresh=True).problems:
        raise SystemExit(str(problems[0]))


if __name__ == "__main__":
    main()
