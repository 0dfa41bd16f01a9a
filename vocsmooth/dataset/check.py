"""Check one shard byte for byte; a task for a worker process."""

from __future__ import annotations

import faulthandler
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vocsmooth.classes import VOC_CLASSES, VOID
from vocsmooth.errors import DatasetError
from vocsmooth.shards import native
from vocsmooth.shards.pages import Pages
from vocsmooth.shards.scan import ShardScan
from vocsmooth.shards.schema import Layout, read_layout

_SECONDS = 60

_BYTES_PER_SECOND = 20_000_000

_PIECE = 1 << 18

_MAPPED_PIECE = 1 << 17  # the beginnings of its pages stay in the cache

_VOID = np.uint8(VOID)


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


def check_shard(shard: ShardScan) -> list[Problem]:
    """Compare a shard with the index, then its content with the schema.

    The file is read once and hashed; a file of the wrong length is not read at all. Damaged files
    may crash HDF5, or hang it until a time limit ends this process: call this in a process that may
    die.
    """
    entry, path = shard.entry, shard.path
    try:
        size = path.stat().st_size
        if size != entry.bytes:
            found = f"{size} bytes, expected {entry.bytes}; not read any further"
            return [_problem(shard, "size", found)]
        data, digest = _read(path, size)
    except FileNotFoundError:
        return [_problem(shard, "file", "is missing")]
    except (OSError, MemoryError) as error:
        return [_problem(shard, "file", f"cannot be read: {error}")]
    problems = []
    if digest != entry.sha256:
        problems.append(_problem(shard, "sha256", f"{digest}, expected {entry.sha256}"))
    with _time_limit(_SECONDS + len(data) // _BYTES_PER_SECOND):
        problems.extend(_check_content(shard, path, data))
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


def _read(path: Path, size: int) -> tuple[NDArray[np.uint8], str]:
    """Return the bytes of a file and its SHA-256."""
    return _map(path, size) or _copy(path, size)


def _map(path: Path, size: int) -> tuple[NDArray[np.uint8], str] | None:
    """Do so without a copy; None if the system cannot, or the disk does not give every byte.

    A piece is hashed after the disk has given it: a file that is cut short at this very moment
    kills this process, and the next one finds out why.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if not size:
            return None
        pages = Pages(file.fileno(), size)
    pages.advise("MADV_SEQUENTIAL", 0, size)
    data = np.asarray(pages)
    for start in range(0, size, _MAPPED_PIECE):
        piece = data[start : start + _MAPPED_PIECE]
        if not pages.load(start, len(piece)):
            return None
        native.fetch_pages(piece)
        digest.update(piece.data)
    return data, digest.hexdigest()


def _copy(path: Path, size: int) -> tuple[NDArray[np.uint8], str]:
    """Read a file into memory; each piece is hashed while it is in the cache.

    The bytes are read into an array, because NumPy asks the system for large pages.
    """
    data = _MEMORY.of(size)
    rest, digest = data.data, hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(rest[:_PIECE]):
            digest.update(rest[:count])
            rest = rest[count:]
    if rest:
        raise OSError(f"it ends {len(rest)} bytes too early")
    return data, digest.hexdigest()


def _check_content(shard: ShardScan, path: Path, data: NDArray[np.uint8]) -> Iterator[Problem]:
    """Check the structure, and, if it is sound, the values of every map."""
    try:
        layout = read_layout(path, shard.maps)
    except DatasetError as error:
        yield _problem(shard, "schema", str(error))
        return
    if layout.digest != shard.digest:
        yield _problem(shard, "digest", f"{layout.digest!r}, expected {shard.digest!r}")
    if layout.recipe != shard.recipe:
        yield _problem(shard, "recipe", "is not the recipe of the index")
    if not shard.indexed.matches(layout):
        yield _problem(
            shard, "images", "ids, sizes or numbers of inputs differ from those in the index"
        )
        return
    maps = {
        name: np.frombuffer(data, place.dtype, int(np.prod(place.shape)), place.offset).reshape(
            place.shape
        )
        for name, place in layout.maps.items()
    }
    yield from _check_values(shard, layout, maps)


def _check_values(
    shard: ShardScan, layout: Layout, maps: dict[str, NDArray[Any]]
) -> Iterator[Problem]:
    """Check the values of every map of every photograph and input."""
    spans = zip(layout.ids, layout.image_start[:-1], layout.image_start[1:], strict=True)
    for image, start, stop in spans:
        if (worst := maps["edge"][start:stop].max()) > 1:
            yield _problem(shard, "edge", f"holds {worst}, expected 0 and 1 only", image)
        mask = maps["mask"][start:stop]
        if (mask - _VOID).max() > len(VOC_CLASSES):  # uint8: void becomes 0, class 0 becomes 1
            found = mask[((mask >= len(VOC_CLASSES)) & (mask != VOID)).argmax()]
            yield _problem(shard, "mask", f"holds {found}, expected 0..20 or 255", image)
    for number, of in enumerate(layout.sample_image.tolist()):
        label = maps["label"][layout.image_start[of] : layout.image_start[of + 1]]
        span = slice(layout.sample_start[number], layout.sample_start[number + 1])
        wrong = _count_wrong(maps["input"][span], label, maps["texture"][span])
        if wrong:
            first = int(np.searchsorted(layout.sample_image, of))
            found = f"{wrong} of {maps['input'][span].size} values differ"
            message = f"input {number - first} is not label + texture: {found}"
            yield _problem(shard, "input", message, layout.ids[of])


def _count_wrong(
    image: NDArray[np.uint8], label: NDArray[np.uint8], texture: NDArray[np.int16]
) -> int:
    """Count the values of `image` that are not clip(label + texture, 0, 255)."""
    if native.library is not None and native.inputs_agree(image, label, texture):
        return 0
    field = texture if texture.ndim == 2 else cv2.merge([texture] * 3).reshape(-1, 3)
    expected = cv2.add(
        label, field, dtype=cv2.CV_8U
    )  # saturates, and is three times as fast as NumPy
    return 0 if np.array_equal(expected, image) else int(np.count_nonzero(expected != image))


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
