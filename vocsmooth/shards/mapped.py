"""One shard mapped into memory, and a watch for when its pages have to come from the disk."""

from __future__ import annotations

import math
import mmap
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocsmooth.errors import DatasetError
from vocsmooth.shards.entries import Index
from vocsmooth.shards.listing import IndexedShard, list_shard
from vocsmooth.shards.pages import Pages, most_mapped
from vocsmooth.shards.schema import Maps, map_dtype, read_layout

if sys.platform != "win32":
    import resource

_MOST_MAPPED = most_mapped()

_ANNOUNCED_BATCHES = 64


@dataclass(frozen=True, kw_only=True)
class CheckedShard:
    """What is kept of a checked shard, so that its tables are not parsed again.

    To parse and check them costs a hundred times as much as to map the file.
    """

    identity: tuple[int, ...]
    """Device, inode, length and times of the file that was checked."""
    offsets: tuple[int, ...]
    """Where each map starts in the file, in the order of the dataset's maps."""


class MappedShard:
    """The maps of one shard as read-only arrays that share memory with its file.

    Parameters
    ----------
    path : Path
        The shard.
    indexed : IndexedShard
        What the index says about it.
    digest : str
        Digest of the dataset's plan.
    maps : mapping
        The dataset's maps.
    checked : CheckedShard, optional
        From an earlier mapping; used if the file has not changed since.

    Raises
    ------
    DatasetError
        The file is not a sound shard, or not the one that `indexed` describes.
    """

    def __init__(
        self,
        path: Path,
        indexed: IndexedShard,
        digest: str,
        maps: Maps,
        checked: CheckedShard | None = None,
    ) -> None:
        try:
            file = path.open("rb")
        except OSError as error:
            raise DatasetError(f"The shard {path} cannot be read: {error.strerror}.") from None
        with file:
            identity = _identity(file.fileno())
            if checked is None or checked.identity != identity:
                offsets = _find_offsets(path, indexed, digest, maps)
                checked = CheckedShard(identity=identity, offsets=offsets)
            self.checked = checked
            self._path, self._bytes = path, indexed.entry.bytes
            self.check()
            self._pages = Pages(file.fileno(), self._bytes)
        # Otherwise each page fault reads megabytes around it.
        self._pages.advise("MADV_RANDOM", 0, self._bytes)
        content = np.asarray(self._pages)
        self.arrays: dict[str, NDArray[Any]] = {}
        self.offsets: dict[str, int] = {}
        pixels = indexed.pixels()
        offset_of = iter(checked.offsets)
        for group, names in maps.items():
            for name, channels in names.items():
                shape = (pixels[group], channels) if channels > 1 else (pixels[group],)
                self.offsets[name] = next(offset_of)
                self.arrays[name] = np.ndarray(shape, map_dtype(name), content, self.offsets[name])

    def check(self) -> None:
        """Raise DatasetError if the length of the mapped file has changed.

        Touching a mapped page that the file no longer has would kill the process. Shards are only
        ever replaced by renaming, which leaves the mapped file alone; this guards against
        everything else that may happen on a disk.
        """
        try:
            found = self._path.stat()
        except OSError:
            return
        length = found.st_size
        if length != self._bytes and (found.st_dev, found.st_ino) == self.checked.identity[:2]:
            raise DatasetError(
                f"{self._path} changed its length from {self._bytes} to {length} bytes while "
                "it was being read. Run `vocsmooth verify` on the folder."
            )

    def will_need(self, name: str, first: int, count: int) -> None:
        """Tell the system to start reading `count` pixels of a map from the disk."""
        array = self.arrays[name]
        pixel = array.itemsize * math.prod(array.shape[1:])
        start = self.offsets[name] + first * pixel
        page = start - start % mmap.PAGESIZE
        self._pages.advise("MADV_WILLNEED", page, start + count * pixel - page)


class MappedShards(dict[int, MappedShard]):
    """The shards of a dataset by number, each mapped when it is first asked for.

    Parameters
    ----------
    root : Path
        The dataset's folder.
    index : Index
        What it holds.
    """

    def __init__(self, root: Path, index: Index) -> None:
        self._root, self._index = root, index
        self._checked: dict[int, CheckedShard] = {}

    def __missing__(self, number: int) -> MappedShard:
        while self and Pages.mapped >= _MOST_MAPPED:  # those of all datasets of the process
            del self[next(iter(self))]
        indexed = list_shard(self._index, number)
        path = self._root / indexed.entry.name
        known = self._checked.get(number)
        shard = MappedShard(path, indexed, self._index.digest, self._index.maps, known)
        self[number], self._checked[number] = shard, shard.checked
        return shard


class DiskWatch:
    """Notices when this process has to wait for the disk because a mapped page is not in memory.

    Announcing every span before it is touched makes a cold disk nine times as fast, but costs a
    quarter of the speed when everything is in memory already. So spans are announced only for some
    batches after one that had to wait.

    Parameters
    ----------
    always : bool
        Announce every span: none is ever in memory, since it comes from a server.
    """

    def __init__(self, *, always: bool = False) -> None:
        self._always, self._announce = always, 0

    @contextmanager
    def watched(self) -> Iterator[bool]:
        """Watch a block that reads a batch; yield whether it should announce its spans."""
        if self._always:
            yield True
            return
        if self._announce:
            self._announce -= 1
            yield True
            return
        before = _waits_for_the_disk()
        yield False
        if _waits_for_the_disk() > before:
            self._announce = _ANNOUNCED_BATCHES


def _waits_for_the_disk() -> int:
    """Return how often a page that this process touched was not in memory; 0 on Windows."""
    if sys.platform == "win32":
        return 0
    else:  # noqa: RET505 (type checkers leave out what Windows lacks)
        return resource.getrusage(resource.RUSAGE_SELF).ru_majflt


def _identity(descriptor: int) -> tuple[int, ...]:
    """Return what changes when a file is replaced or written to."""
    found = os.fstat(descriptor)
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _find_offsets(path: Path, indexed: IndexedShard, digest: str, maps: Maps) -> tuple[int, ...]:
    """Return where each map starts; DatasetError if the shard is not the one in the index."""
    layout = read_layout(path, maps)
    same_file = layout.bytes == indexed.entry.bytes and layout.digest == digest
    if not (same_file and indexed.matches(layout)):
        raise DatasetError(
            f"{path} is a shard, but not the one that the index describes. "
            f"Run `vocsmooth verify` on {path.parent}."
        )
    return tuple(layout.maps[name].offset for names in maps.values() for name in names)
