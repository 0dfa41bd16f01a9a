"""What an unfinished `verify` found whole, so that the next one does not read it again.

The journal is a hidden file in the dataset's folder, a line a shard. Bits rot without a trace in
a file's dates, so what it says ends soon: a line counts for a week, only while the index and the
shard's file are the same, and `verify` removes the journal once the dataset is whole.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

from vocsmooth.files import sha256_file
from vocsmooth.shards.index import INDEX_NAME

JOURNAL_NAME = ".verified.jsonl"
"""The journal's file in the folder of the dataset."""

_SECONDS = 7 * 24 * 3600

Identity = tuple[int, int, int, int]
"""Length, time of the last change and of the last touch, and inode of a file."""


def identity_of(path: Path) -> Identity | None:
    """Return what changes when a file is written to or replaced; None if it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def promise_of(root: Path) -> str:
    """Return what the lines of a journal depend on: the SHA-256 of the index."""
    return sha256_file(root / INDEX_NAME)


def read_journal(root: Path, promise: str) -> set[str]:
    """Return the shards that were found whole lately and are still the same files."""
    try:
        lines = (root / JOURNAL_NAME).read_bytes().splitlines()
    except OSError:
        return set()
    found: dict[str, Identity] = {}
    for line in lines:
        # A line that was cut off by a kill says nothing.
        with suppress(ValueError, LookupError, TypeError, RecursionError):
            entry = json.loads(line)
            if entry["index"] == promise and 0 <= time.time() - entry["time"] < _SECONDS:
                found[str(entry["shard"])] = tuple(entry["file"])
    return {name for name, identity in found.items() if identity_of(root / name) == identity}


def note_whole(root: Path, promise: str, name: str, identity: Identity) -> None:
    """Add a shard to the journal; where the folder cannot be written to, there is none."""
    entry = {"index": promise, "shard": name, "file": identity, "time": time.time()}
    with suppress(OSError), (root / JOURNAL_NAME).open("a") as file:
        file.write(json.dumps(entry) + "\n")


def remove_journal(root: Path) -> None:
    """Remove the journal if there is one."""
    with suppress(OSError):
        (root / JOURNAL_NAME).unlink(missing_ok=True)
