"""Map a file into memory by the C library, because Python's mmap keeps a file descriptor for each.

Processes may have 65,530 mappings, but often no more than 1,024 descriptors. Windows has no such
library and no such bound: there Python's mmap does it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import weakref
from typing import Any, Literal

import numpy as np

if sys.platform != "win32":
    _libc = ctypes.CDLL(None, use_errno=True)
    _libc.mmap.restype = ctypes.c_void_p
    _libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    _libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    _libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

_FAILED = ctypes.c_void_p(-1).value


class Pages:
    """The bytes of a file, read-only, for ``np.asarray``; unmapped with the last array of them.

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

    def __init__(self, descriptor: int, length: int) -> None:
        if sys.platform == "win32":
            self._kept = mmap.mmap(descriptor, length, access=mmap.ACCESS_READ)
            self._address = np.frombuffer(self._kept, np.uint8).ctypes.data
        else:
            self._address = _libc.mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
            if self._address == _FAILED:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
            # At the end of the process another thread may still be reading.
            weakref.finalize(self, _libc.munmap, self._address, length).atexit = False
        self.__array_interface__: dict[str, Any] = {
            "version": 3,
            "typestr": "|u1",
            "shape": (length,),
            "data": (self._address, True),
        }

    def advise(
        self,
        advice: Literal["MADV_RANDOM", "MADV_WILLNEED", "MADV_DONTNEED"],
        start: int,
        length: int,
    ) -> None:
        """Tell the system how a range of bytes will be read; `start` is a multiple of a page.

        Windows takes no such advice.
        """
        if sys.platform != "win32":
            _libc.madvise(self._address + start, length, getattr(mmap, advice))
