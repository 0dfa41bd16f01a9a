"""Read a file from end to end in pieces, each in the processor's cache when it is handed out.

Where the system can say that a page of a mapped file is missing, a file is mapped: to copy it takes
a sixth of the time of its SHA-256.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vocsmooth.shards import native
from vocsmooth.shards.pages import Pages

_PIECE = 1 << 17
"""The beginnings of as many pages stay in the cache, and are fetched together."""

_LOADED = 1 << 22
"""Bytes of which the system enters the pages at once: less often takes longer for a cold disk."""


Piece = tuple[memoryview, NDArray[np.uint8], int]
"""A part of a file, then the bytes of the whole file, and how many of these have been read."""


class CannotMapError(Exception):
    """The system cannot map a file, or the disk does not give every byte of it."""


def read_mapped(path: Path, size: int) -> Iterator[Piece]:
    """Yield the pieces of a mapped file.

    A file that is cut short meanwhile has zeros where it has no more pages, and is an error at the
    end. The thread that takes the pieces takes all of them, or closes the iteration.

    Raises
    ------
    CannotMapError
        All pieces before are worth nothing.
    """
    if not size or native.library is None:  # which alone can tell that pages were lost
        raise CannotMapError
    with path.open("rb") as file:
        pages = Pages(file.fileno(), size)
    pages.advise("MADV_SEQUENTIAL", 0, size)
    data = np.asarray(pages)
    view = data.data
    with native.watching(data) as watch:
        for start in range(0, size, _PIECE):
            stop = min(start + _PIECE, size)
            if not start % _LOADED and not pages.load(start, min(_LOADED, size - start)):
                raise CannotMapError
            native.fetch_pages(pages.address + start, stop - start)
            yield view[start:stop], data, stop
    if watch.lost:
        raise CannotMapError


def read_copied(path: Path, memory: NDArray[np.uint8]) -> Iterator[Piece]:
    """Yield the pieces of a file that is copied to memory, which has its length.

    Raises
    ------
    OSError
        The file is shorter, or cannot be read.
    """
    start, view = 0, memory.data
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(view[start : start + _PIECE]):
            start += count
            yield view[start - count : start], memory, start
    if start < len(memory):
        raise OSError(f"it ends {len(memory) - start} bytes too early")
