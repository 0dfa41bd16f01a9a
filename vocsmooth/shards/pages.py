"""Map files into memory with the C library, because Python's mmap keeps a file descriptor for each.

Processes may have 65,530 mappings, but often no more than 1,024 descriptors. Windows has no such
library and no such bound: there Python's mmap does it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import weakref
from pathlib import Path
from typing import Any, Literal

import numpy as np

if sys.platform != "win32":
    _libc = ctypes.CDLL(None, use_errno=True)
    _libc.mmap.restype = ctypes.c_void_p
    _libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    _libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    _libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

    def _unmap(address: int, length: int) -> None:
        """Give a mapping back."""
        _libc.munmap(address, length)
        Pages.mapped -= 1


_POPULATE_READ = 22  # of Linux 5.14 and later; Python's mmap does not name it

_FAILED = ctypes.c_void_p(-1).value

_OTHERS = 5_000
"""Mappings that are left for all else in the process: libraries, threads, large arrays."""


def most_mapped() -> int:
    """Return how many files a process should have mapped at most: 60,530 with Linux' default."""
    try:
        granted = int(Path("/proc/sys/vm/max_map_count").read_text())
    except (OSError, ValueError):
        granted = 0
    return max(granted - _OTHERS, 16_384)


class Pages:
    """The bytes of a file, read-only, for ``np.asarray``; unmapped with the last array of them.

    The class counts in ``mapped`` how many files the process has mapped, but for Windows, which
    does not limit them.

    Parameters
    ----------
    descriptor : int
        The open file, which may be closed afterwards.
    length : int
        Its length, at least 1.

    Raises
    ------
    OSError
        The system refuses another mapping.
    """

    mapped = 0

    address: int
    """Where the bytes lie."""

    def __init__(self, descriptor: int, length: int) -> None:
        if sys.platform == "win32":
            self._kept = mmap.mmap(descriptor, length, access=mmap.ACCESS_READ)
            self.address = np.frombuffer(self._kept, np.uint8).ctypes.data
        else:
            self.address = _libc.mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
            if self.address == _FAILED:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
            # At the end of the process another thread may still be reading.
            weakref.finalize(self, _unmap, self.address, length).atexit = False
            Pages.mapped += 1
        self.__array_interface__: dict[str, Any] = {
            "version": 3,
            "typestr": "|u1",
            "shape": (length,),
            "data": (self.address, True),
        }

    def advise(
        self,
        advice: Literal["MADV_RANDOM", "MADV_SEQUENTIAL", "MADV_WILLNEED", "MADV_DONTNEED"],
        start: int,
        length: int,
    ) -> None:
        """Tell the system how a range of bytes will be read; `start` is a multiple of a page.

        Windows takes no such advice.
        """
        if sys.platform != "win32":
            _libc.madvise(self.address + start, length, getattr(mmap, advice))

    def load(self, start: int, length: int) -> bool:
        """Read a range of bytes from the disk; `start` is a multiple of a page.

        Returns
        -------
        bool
            Whether they can be touched now; otherwise the disk has no such bytes, or this system
            cannot say so, and to touch them might kill the process.
        """
        if sys.platform == "linux":
            return int(_libc.madvise(self.address + start, length, _POPULATE_READ)) == 0
        else:  # noqa: RET505 (type checkers leave out what the other systems lack)
            return False
