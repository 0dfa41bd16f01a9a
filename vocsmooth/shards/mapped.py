"""One shard mapped into memory, and a watch for when its pages have to come from the disk."""

from __future__ import annotations

import math
import mmap
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocsmooth.errors import DatasetError
from vocsmooth.shards.listing import IndexedShard
from vocsmooth.shards.schema import Maps, read_layout

_ANNOUNCED_BATCHES = 64


class MappedShard:
    """The maps of one shard as read-only arrays that share memory with its file.

    Raises
    ------
    DatasetError
        The file is not a sound shard, or not the one that `indexed` describes.
    """

    def __init__(self, path: Path, indexed: IndexedShard, digest: str, maps: Maps) -> None:
        layout = read_layout(path, maps)
        same_file = layout.bytes == indexed.entry.bytes and layout.digest == digest
        if not (same_file and indexed.matches(layout)):
            raise DatasetError(
                f"{path} is a shard, but not the one that the index describes. "
                f"Run `vocsmooth verify` on {path.parent}."
            )
        with path.open("rb") as file:
            self._mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._mapping.madvise(
            mmap.MADV_RANDOM
        )  # otherwise each page fault reads megabytes around it
        self.layout = layout
        self._path = path
        self.check()
        self.arrays: dict[str, NDArray[Any]] = {
            name: np.ndarray(place.shape, place.dtype, self._mapping, place.offset)
            for name, place in layout.maps.items()
        }

    def check(self) -> None:
        """Raise DatasetError if the length of the mapped file has changed.

        Touching a mapped page that the file no longer has would kill the process. Shards are only
        ever replaced by renaming, which leaves the mapped file alone; this guards against
        everything else that may happen on a disk.
        """
        length = self._mapping.size()
        if length != self.layout.bytes:
            raise DatasetError(
                f"{self._path} changed its length from {self.layout.bytes} to {length} bytes while "
                "it was being read. Run `vocsmooth verify` on the folder."
            )

    def will_need(self, name: str, first: int, count: int) -> None:
        """Tell the system to start reading `count` pixels of a map from the disk."""
        place = self.layout.maps[name]
        pixel = place.dtype.itemsize * math.prod(place.shape[1:])
        start = place.offset + first * pixel
        page = start - start % mmap.PAGESIZE
        self._mapping.madvise(mmap.MADV_WILLNEED, page, start + count * pixel - page)


class DiskWatch:
    """Notices when this process has to wait for the disk because a mapped page is not in memory.

    Announcing every span before it is touched makes a cold disk nine times as fast, but costs a
    quarter of the speed when everything is in memory already. So spans are announced only for some
    batches after one that had to wait.
    """

    def __init__(self) -> None:
        self._announce = 0

    @contextmanager
    def watched(self) -> Iterator[bool]:
        """Watch a block that reads a batch; yield whether it should announce its spans."""
        if self._announce:
            self._announce -= 1
            yield True
            return
        before = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
        yield False
        if resource.getrusage(resource.RUSAGE_SELF).ru_majflt > before:
            self._announce = _ANNOUNCED_BATCHES
