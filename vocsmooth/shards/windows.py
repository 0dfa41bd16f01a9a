"""The shards of a split, each mapped when it is first asked for, and windows copied out of them."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocsmooth.errors import DatasetError
from vocsmooth.shards import native
from vocsmooth.shards.entries import Index, longest_name
from vocsmooth.shards.listing import list_shard
from vocsmooth.shards.mapped import FIELDS, CheckedShard, MappedShard
from vocsmooth.shards.pages import Pages, most_mapped
from vocsmooth.shards.photographs import Places

_MOST_MAPPED = most_mapped()

_ATTEMPTS = 4
"""To copy windows: shards may have to be mapped, and one that was replaced once more."""


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
        self._field = {name: FIELDS + place for place, name in enumerate(names)}
        # What a window needs of its shard lies in one row, and takes no memory before it is used:
        # to follow the objects of 60,000 shards costs more than to copy small windows.
        self._records = np.zeros((len(numbers), FIELDS + len(names)), np.uint64)
        self._files = np.zeros(len(numbers), f"S{longest_name(index, numbers) + 1}")
        self._folder = -1
        self._process, self._lock = os.getpid(), threading.Lock()
        self._copying: set[tuple[int, object]] = set()
        self._leaving: list[MappedShard] = []

    def __missing__(self, number: int) -> MappedShard:
        with self._locked():
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
            record = self._records[number - self._numbers.start]
            native.publish(record, np.array(shard.record, np.uint64))
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
        for _ in range(_ATTEMPTS):
            copying = (os.getpid(), object())
            self._copying.add(copying)
            try:
                found = native.copy_windows(
                    *(rows, self._records, self._files, self._folder, windows, planes),
                    ask_system=cold,
                )
            finally:
                self._copying.remove(copying)
            if found == native.DONE:
                return True
            if found == native.NOT_MAPPED:
                for number in np.unique(place.shards[self._records[rows, 0] == 0]).tolist():
                    self[number]
            else:
                self._replace(int(place.shards[found]))
        return False  # there are more of them than stay mapped

    def current(self, number: int) -> MappedShard:
        """Return a shard whose file has its full length at this moment."""
        shard = self[number]
        if shard.is_current():
            return shard
        self._forget(number)
        return self[number]

    def _replace(self, number: int) -> None:
        """Forget a shard whose mapped file lacks parts, if its name leads to another file now."""
        shard = self[number]
        if shard.is_current():
            raise DatasetError(
                f"{shard.path} has parts that cannot be read: it was cut short for a moment, or "
                f"the disk is damaged. Run `vocsmooth verify` on {self._root}."
            )
        self._forget(number)

    def _locked(self) -> threading.Lock:
        """Return the lock on what is mapped; another thread may hold it when a process forks."""
        if self._process != os.getpid():
            self._process, self._lock = os.getpid(), threading.Lock()
        return self._lock

    def _open_folder(self) -> bool:
        """Open the folder, to ask for the lengths of files in it; return whether it is open."""
        if self._folder < 0 and sys.platform != "win32":
            with contextlib.suppress(OSError):
                # A folder may be one that is entered, but not listed.
                self._folder = os.open(self._root, getattr(os, "O_PATH", os.O_RDONLY))
                weakref.finalize(self, os.close, self._folder)
        return self._folder >= 0 or sys.platform == "win32"

    def _forget(self, number: int) -> None:
        """Unmap a shard, unless another thread was faster."""
        with self._locked():
            if number in self:
                self._unmap(number)

    def _unmap(self, number: int) -> None:
        """Forget a shard; it stays mapped while other threads may be copying from it."""
        shard = self.pop(number)
        self._records[number - self._numbers.start, 0] = 0
        # A forked process has the notes of threads that only its parent has.
        if any(process == self._process for process, _ in tuple(self._copying)):
            self._leaving.append(shard)
        else:
            self._leaving.clear()
