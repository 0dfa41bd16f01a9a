"""One shard mapped into memory: where its maps lie, and whether its file is still the same."""

from __future__ import annotations

import math
import mmap
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vocsmooth.errors import DatasetError
from vocsmooth.shards.headers import find_maps
from vocsmooth.shards.listing import IndexedShard
from vocsmooth.shards.pages import Pages
from vocsmooth.shards.schema import Maps, map_dtype, read_layout

_WORD = 2**64

FIELDS = 4
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
                offsets = _find_offsets(file, path, indexed, digest, maps)
                checked = CheckedShard(identity=identity, offsets=offsets)
            self.checked = checked
            self.path, self._bytes = path, indexed.entry.bytes
            self.is_current()
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

    def is_current(self) -> bool:
        """Return whether the shard's name still leads to the mapped file, or to none.

        Touching a mapped page that the file no longer has would kill the process. Shards are only
        ever replaced by renaming, which leaves the mapped file alone; this guards against
        everything else that may happen on a disk.

        Raises
        ------
        DatasetError
            The length of the mapped file has changed.
        """
        try:
            found = self.path.stat()
        except OSError:
            return True
        if (found.st_dev, found.st_ino) != self.checked.identity[:2]:
            return False
        if found.st_size != self._bytes:
            raise DatasetError(
                f"{self.path} changed its length from {self._bytes} to {found.st_size} bytes while "
                "it was being read. Run `vocsmooth verify` on the folder."
            )
        return True

    def will_need(self, name: str, first: int, count: int) -> None:
        """Tell the system to start reading `count` pixels of a map from the disk."""
        array = self.arrays[name]
        pixel = array.itemsize * math.prod(array.shape[1:])
        start = self.offsets[name] + first * pixel
        page = start - start % mmap.PAGESIZE
        self._pages.advise("MADV_WILLNEED", page, start + count * pixel - page)


def _identity(descriptor: int) -> tuple[int, ...]:
    """Return what changes when a file is replaced or written to."""
    found = os.fstat(descriptor)
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _find_offsets(
    file: BinaryIO, path: Path, indexed: IndexedShard, digest: str, maps: Maps
) -> tuple[int, ...]:
    """Return where each map starts; DatasetError if the shard is not the one in the index."""
    found = find_maps(file, indexed, digest, maps)
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
