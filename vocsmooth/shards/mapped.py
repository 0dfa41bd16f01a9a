"""Shards mapped into memory, and windows copied out of them."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import sys
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocsmooth.errors import DatasetError
from vocsmooth.shards import native
from vocsmooth.shards.entries import Index, longest_name
from vocsmooth.shards.headers import find_maps
from vocsmooth.shards.listing import IndexedShard, list_shard
from vocsmooth.shards.pages import Pages, most_mapped
from vocsmooth.shards.photographs import Places
from vocsmooth.shards.schema import Maps, map_dtype, read_layout

_MOST_MAPPED = most_mapped()

_WORD = 2**64

_FIELDS = 4
"""Fields of a record before those of the maps; see `MappedShard.record`."""


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
                offsets = _find_offsets(file.fileno(), path, indexed, digest, maps)
                checked = CheckedShard(identity=identity, offsets=offsets)
            self.checked = checked
            self.path, self._bytes = path, indexed.entry.bytes
            self.check()
            self._pages = Pages(file.fileno(), self._bytes)
        # Otherwise each page fault reads megabytes around it.
        self._pages.advise("MADV_RANDOM", 0, self._bytes)
        self._pixels, self._maps = indexed.pixels(), maps

    @property
    def record(self) -> tuple[int, ...]:
        """Address, length, device and inode, and where each map starts; see `native`."""
        device, inode, *_ = self.checked.identity
        identity = (device % _WORD, inode % _WORD)
        return (self._pages.address, self._bytes, *identity, *self.checked.offsets)

    @cached_property
    def offsets(self) -> dict[str, int]:
        """Where each map starts in the file, by name."""
        names = [name for names in self._maps.values() for name in names]
        return dict(zip(names, self.checked.offsets, strict=True))

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The pixels of each map by name, as views of the mapping."""
        content = np.asarray(self._pages)
        return {
            name: np.ndarray(
                (self._pixels[group], channels) if channels > 1 else (self._pixels[group],),
                map_dtype(name),
                content,
                self.offsets[name],
            )
            for group, names in self._maps.items()
            for name, channels in names.items()
        }

    def check(self) -> None:
        """Raise DatasetError if the length of the mapped file has changed.

        Touching a mapped page that the file no longer has would kill the process. Shards are only
        ever replaced by renaming, which leaves the mapped file alone; this guards against
        everything else that may happen on a disk.
        """
        try:
            found = self.path.stat()
        except OSError:
            return
        length = found.st_size
        if length != self._bytes and (found.st_dev, found.st_ino) == self.checked.identity[:2]:
            raise DatasetError(
                f"{self.path} changed its length from {self._bytes} to {length} bytes while "
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
    """The shards of a split by number, each mapped when it is first asked for.

    Parameters
    ----------
    root : Path
        The dataset's folder.
    index : Index
        What it holds.
    numbers : range
        Numbers of the split's shards in the index.
    """

    def __init__(self, root: Path, index: Index, numbers: range) -> None:
        self._root, self._index, self._numbers = root, index, numbers
        self._checked: dict[int, CheckedShard] = {}
        names = [name for names in index.maps.values() for name in names]
        self._field = {name: _FIELDS + place for place, name in enumerate(names)}
        # What a window needs of its shard lies in one row, and takes no memory before it is used:
        # to follow the objects of 60,000 shards costs more than to copy small windows.
        self._records = np.zeros((len(numbers), _FIELDS + len(names)), np.uint64)
        self._files = np.zeros(len(numbers), f"S{longest_name(index, numbers) + 1}")
        self._folder = -1
        self._process, self._lock = os.getpid(), threading.Lock()
        self._copying: set[tuple[int, object]] = set()
        self._leaving: list[MappedShard] = []

    def __missing__(self, number: int) -> MappedShard:
        if self._process != os.getpid():  # the lock may have been held when this one was forked
            self._process, self._lock = os.getpid(), threading.Lock()
        with self._lock:
            if number in self:  # another thread was faster
                return self[number]
            if self and Pages.mapped >= _MOST_MAPPED:  # those of all datasets of the process
                self._unmap(next(iter(self)))
            indexed = list_shard(self._index, number)
            path = self._root / indexed.entry.name
            known = self._checked.get(number)
            shard = MappedShard(path, indexed, self._index.digest, self._index.maps, known)
            self[number], self._checked[number] = shard, shard.checked
            self._files[number - self._numbers.start] = indexed.entry.name.encode()
            # The address last: whoever reads it takes the other fields for written.
            record = self._records[number - self._numbers.start]
            record[1:] = shard.record[1:]
            record[0] = shard.record[0]
        return shard

    def fill_windows(
        self,
        place: Places,
        tops: NDArray[np.int64],
        lefts: NDArray[np.int64],
        batch: Mapping[str, NDArray[Any]],
        group_of: Mapping[str, str],
        *,
        cold: bool,
    ) -> bool:
        """Fill the arrays (B, H, W) or (B, H, W, 3) of each map with windows, without NumPy.

        Returns
        -------
        bool
            Whether that was possible; otherwise their content is worth nothing.

        Raises
        ------
        DatasetError
            A shard is not the one that the index describes, or was cut short before its windows
            had been copied.
        """
        if native.library is None or not self._open_folder():
            return False
        rows = place.shards - self._numbers.start
        planes = [
            (self._field[name], place.starts[group_of[name]], target)
            for name, target in batch.items()
        ]
        windows = (place.shapes[:, 1], tops, lefts)
        for _ in range(2):
            copying = (os.getpid(), object())
            self._copying.add(copying)
            try:
                failed = native.copy_windows(
                    *(rows, self._records, self._files, self._folder, windows, planes),
                    ask_system=cold,
                )
            finally:
                self._copying.remove(copying)
            if failed != native.NOT_MAPPED:
                break
            for number in np.unique(place.shards[self._records[rows, 0] == 0]).tolist():
                self[number]
        else:  # there are more of them than stay mapped
            return False
        if failed >= 0:
            shard = self[int(place.shards[failed])]
            shard.check()
            raise DatasetError(
                f"{shard.path} has parts that cannot be read: it was cut short for a moment, or "
                f"the disk is damaged. Run `vocsmooth verify` on {self._root}."
            )
        return True

    def _open_folder(self) -> bool:
        """Open the folder, to ask for the lengths of files in it; return whether it is open."""
        if self._folder < 0 and sys.platform != "win32":
            with contextlib.suppress(OSError):
                # A folder may be one that is entered, but not listed.
                self._folder = os.open(self._root, getattr(os, "O_PATH", os.O_RDONLY))
                weakref.finalize(self, os.close, self._folder)
        return self._folder >= 0 or sys.platform == "win32"

    def _unmap(self, number: int) -> None:
        """Forget a shard; it stays mapped while other threads may be copying from it."""
        shard = self.pop(number)
        self._records[number - self._numbers.start, 0] = 0
        # A forked process has the notes of threads that only its parent has.
        if any(process == self._process for process, _ in tuple(self._copying)):
            self._leaving.append(shard)
        else:
            self._leaving.clear()


def _identity(descriptor: int) -> tuple[int, ...]:
    """Return what changes when a file is replaced or written to."""
    found = os.fstat(descriptor)
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _find_offsets(
    descriptor: int, path: Path, indexed: IndexedShard, digest: str, maps: Maps
) -> tuple[int, ...]:
    """Return where each map starts; DatasetError if the shard is not the one in the index."""
    found = find_maps(descriptor, indexed, digest, maps) if sys.platform != "win32" else None
    if found is not None:
        return found
    layout = read_layout(path, maps)
    same_file = layout.bytes == indexed.entry.bytes and layout.digest == digest
    if not (same_file and indexed.matches(layout)):
        raise DatasetError(
            f"{path} is a shard, but not the one that the index describes. "
            f"Run `vocsmooth verify` on {path.parent}."
        )
    return tuple(layout.maps[name].offset for names in maps.values() for name in names)
