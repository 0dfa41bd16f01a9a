"""Check one shard byte for byte; a task for a worker process."""

from __future__ import annotations

import faulthandler
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vocsmooth.dataset.reading import CannotMapError, Piece, read_copied, read_mapped
from vocsmooth.dataset.values import Found, ValueChecks
from vocsmooth.errors import DatasetError
from vocsmooth.files import Hasher
from vocsmooth.shards.digests import proofs_of
from vocsmooth.shards.scan import ShardScan
from vocsmooth.shards.schema import Layout, read_layout

_SECONDS = 60

_BYTES_PER_SECOND = 20_000_000


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong with a dataset."""

    shard: str | None
    """File name of the shard; None if the problem is not about a shard."""
    image: str | None
    """Id of the photograph; None if the problem is not about a photograph."""
    field: str
    """Which file, table or map."""
    message: str
    """What is wrong: expected and found."""


def check_shard(shard: ShardScan, *, every_digest: bool = False) -> list[Problem]:
    """Compare a shard with the index, then its content with the schema.

    The file is read once, and hashed and checked while it is read; a file of the wrong length is
    not read at all. Damaged files may crash HDF5, or hang it until a time limit ends this process:
    call this in a process that may die.

    Parameters
    ----------
    shard : ShardScan
        The shard.
    every_digest : bool
        Compare SHA-256 also where the index has BLAKE3.
    """
    entry, path = shard.entry, shard.path
    try:
        size = path.stat().st_size
        if size != entry.bytes:
            found = f"{size} bytes, expected {entry.bytes}; not read any further"
            return [_problem(shard, "size", found)]
        with _time_limit(_SECONDS + size // _BYTES_PER_SECOND):
            layout, problems = _check_tables(shard)
        proofs = proofs_of(entry, every=every_digest)
        digests, values = _read(path, size, layout, [proof.new for proof in proofs])
    except FileNotFoundError:
        return [_problem(shard, "file", "is missing")]
    except (OSError, MemoryError) as error:
        return [_problem(shard, "file", f"cannot be read: {error}")]
    for proof, digest in zip(proofs, digests, strict=True):
        if digest != proof.expected:  # where the bytes differ, so do all digests: one says it
            problems.insert(0, _problem(shard, proof.name, f"{digest}, expected {proof.expected}"))
            break
    problems.extend(_problem(shard, one.field, one.message, one.image) for one in values)
    return problems


class _Memory(threading.local):
    """Bytes that a worker keeps from shard to shard: the system takes long to clear new ones."""

    def __init__(self) -> None:
        self._bytes = np.empty(0, np.uint8)

    def of(self, size: int) -> NDArray[np.uint8]:
        """Return this many bytes, which are overwritten by the next shard."""
        if len(self._bytes) < size:
            self._bytes = np.empty(0, np.uint8)  # not both at a time
            self._bytes = np.empty(size, np.uint8)
        return self._bytes[:size]


_MEMORY = _Memory()


def _read(
    path: Path, size: int, layout: Layout | None, new: Sequence[Callable[[], Hasher]]
) -> tuple[list[str], list[Found]]:
    """Return the digests of a file, and what is wrong with its values if they can be located.

    A file that the system cannot map is copied, and so is one that was cut short at this very
    moment, or that the disk does not give: to read it finds out why.
    """
    try:
        return _hash_and_check(read_mapped(path, size), layout, [one() for one in new])
    except CannotMapError:
        return _hash_and_check(read_copied(path, _MEMORY.of(size)), layout, [one() for one in new])


def _hash_and_check(
    pieces: Iterator[Piece], layout: Layout | None, hashers: list[Hasher]
) -> tuple[list[str], list[Found]]:
    """Do so with the pieces of the file."""
    values = None
    for piece, data, stop in pieces:
        for hasher in hashers:
            hasher.update(piece)
        if layout is not None:
            values = values or ValueChecks(layout, data)
            values.check(stop)
    return [hasher.hexdigest() for hasher in hashers], values.found if values else []


def _check_tables(shard: ShardScan) -> tuple[Layout | None, list[Problem]]:
    """Check the structure; also return where the maps lie, if they are those of the index."""
    try:
        layout = read_layout(shard.path, shard.maps)
    except DatasetError as error:
        return None, [_problem(shard, "schema", str(error))]
    if layout.bytes != shard.entry.bytes:
        return None, [_problem(shard, "size", "changed while it was read")]
    problems = []
    if layout.digest != shard.digest:
        problems.append(_problem(shard, "digest", f"{layout.digest!r}, expected {shard.digest!r}"))
    if layout.recipe != shard.recipe:
        problems.append(_problem(shard, "recipe", "is not the recipe of the index"))
    if not shard.indexed.matches(layout):
        message = "ids, sizes or numbers of inputs differ from those in the index"
        return None, [*problems, _problem(shard, "images", message)]
    return layout, problems


def _problem(shard: ShardScan, field: str, message: str, image: str | None = None) -> Problem:
    """Return a problem of the shard."""
    return Problem(shard=shard.entry.name, image=image, field=field, message=message)


def file_problem(name: str, message: str) -> Problem:
    """Return a problem that concerns a file as a whole."""
    shard = name if name.endswith(".h5") else None
    return Problem(shard=shard, image=None, field=name, message=message)


@contextmanager
def _time_limit(seconds: int) -> Iterator[None]:
    """End this process if the block takes longer: nothing else stops a loop inside HDF5.

    faulthandler has a thread that waits without Python's lock, on every system.
    """
    with Path(os.devnull).open("wb") as nowhere:
        faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
