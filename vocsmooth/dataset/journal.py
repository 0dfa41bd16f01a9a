"""Remember which shards an unfinished `verify` found intact, so that the next one skips them.

The journal is a hidden file in the dataset's folder, with one line for each shard. Since bits rot
without a trace in a file's dates, a line expires after a week, or as soon as the index or the
shard's file changes; and `verify` removes the journal once it finds no problems.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

from vocsmooth.files import read_file, refuse_special, sha256_file
from vocsmooth.settings import parse_json
from vocsmooth.shards.index import INDEX_NAME

JOURNAL_NAME = ".verified.jsonl"
"""File of the journal in the folder of the dataset."""

_SECONDS = 7 * 24 * 3600

Identity = tuple[int, int, int, int]
"""What tells two states of a file apart: its length, inode, and times of change."""


def identity_of(path: Path) -> Identity | None:
    """Return what changes when a file is written to or replaced; None for a missing file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def promise_of(root: Path) -> str:
    """Return the SHA-256 of the index: lines of a journal count only as long as it is the same."""
    return sha256_file(root / INDEX_NAME)


def read_journal(root: Path, promise: str) -> set[str]:
    """Return the shards that were recently found intact and are still the same files."""
    try:
        lines = read_file(root / JOURNAL_NAME).splitlines()
    except OSError:
        return set()
    found: dict[str, Identity] = {}
    for line in lines:
        # A line that a kill has cut off is ignored.
        with suppress(ValueError, LookupError, TypeError):
            entry = parse_json(line)
            if entry["index"] == promise and 0 <= time.time() - entry["time"] < _SECONDS:
                found[str(entry["shard"])] = tuple(entry["file"])
    return {name for name, identity in found.items() if identity_of(root / name) == identity}


def note_intact(root: Path, promise: str, name: str, identity: Identity) -> None:
    """Add a shard to the journal; if the folder is read-only, no journal is kept."""
    entry = {"index": promise, "shard": name, "file": identity, "time": time.time()}
    path = root / JOURNAL_NAME
    with suppress(OSError):
        refuse_special(path)
        with path.open("a") as file:
            file.write(json.dumps(entry) + "\n")


def remove_journal(root: Path) -> None:
    """Remove the journal if there is one."""
    with suppress(OSError):
        (root / JOURNAL_NAME).unlink(missing_ok=True)
