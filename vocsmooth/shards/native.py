"""What reads shards in C: windows of mapped shards, checksums, and what `verify` compares.

Windows (csrc/windows.c) are copied there for speed, as NumPy takes longer to name the rows of one
than to copy them, and for safety: Python cannot go on after touching a mapped page that its file
has no more. Checksums of headers (csrc/checksum.c) are otherwise left to HDF5. Inputs
(csrc/inputs.c) are compared four times as fast as NumPy or OpenCV would. Where the library was not
built, these do the same, see `vocsmooth.shards.split`, `vocsmooth.shards.headers` and
`vocsmooth.dataset.check`.
"""

from __future__ import annotations

import ctypes
import importlib.util
import math
import mmap
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ABI = 3
"""NATIVE_ABI of csrc/native.h."""


DONE, NOT_MAPPED = -1, -2
"""What `copy_windows` returns if no file was cut short; see csrc/windows.c."""


class Map(ctypes.Structure):
    """One map of the windows; see csrc/native.h."""

    _fields_ = (
        ("field", ctypes.c_int64),
        ("pixel", ctypes.c_int64),
        ("starts", ctypes.c_void_p),
        ("target", ctypes.c_void_p),
    )


class Task(ctypes.Structure):
    """Windows to copy; see csrc/native.h."""

    _fields_ = (
        ("count", ctypes.c_int64),
        ("rows", ctypes.c_int64),
        ("columns", ctypes.c_int64),
        ("shards", ctypes.c_void_p),
        ("records", ctypes.c_void_p),
        ("names", ctypes.c_void_p),
        ("fields", ctypes.c_int64),
        ("name_bytes", ctypes.c_int64),
        ("folder", ctypes.c_int64),
        ("page", ctypes.c_int64),
        ("ask_system", ctypes.c_int64),
        ("widths", ctypes.c_void_p),
        ("tops", ctypes.c_void_p),
        ("lefts", ctypes.c_void_p),
        ("maps", ctypes.POINTER(Map)),
        ("maps_count", ctypes.c_int64),
    )


def _find_library() -> ctypes.CDLL | None:
    """Load the library beside this file, if it was built of these sources."""
    spec = importlib.util.find_spec("vocsmooth.shards._native")
    if spec is None or spec.origin is None:
        return None
    try:
        found = ctypes.CDLL(spec.origin)
        if ctypes.c_int.in_dll(found, "native_abi").value != _ABI:
            return None
        found.copy_windows.argtypes = [ctypes.POINTER(Task)]
        found.copy_windows.restype = ctypes.c_ssize_t
        found.inputs_agree.argtypes = [*[ctypes.c_void_p] * 3, ctypes.c_ssize_t]
        found.inputs_agree.restype = ctypes.c_int
        found.lookup3.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
        found.lookup3.restype = ctypes.c_uint32
    except (OSError, AttributeError, ValueError):
        return None
    return found


library = _find_library()
"""The library, or None where NumPy does its work. This is the only switch; tests set it to None."""

Plane = tuple[int, NDArray[np.int64], NDArray[Any]]
"""Of a map: its field of a record, the first pixel of each image, and the windows to fill."""


def copy_windows(
    shards: NDArray[np.int64],
    records: NDArray[np.uint64],
    names: NDArray[np.bytes_],
    folder: int,
    windows: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    planes: Sequence[Plane],
    *,
    ask_system: bool,
) -> int:
    """Fill windows; return the number of one whose file was cut short, or `DONE` or `NOT_MAPPED`.

    Parameters
    ----------
    shards : (B,)
        Of each window the row of its shard in `records` and `names`.
    records : (S, F)
        Address, length, device and inode of each shard, then where its maps start; an address of 0
        means that it is not mapped.
    names : (S,)
        Their files, relative to `folder`, each followed by a zero byte at least.
    folder : int
        Descriptor of the folder.
    windows : three times (B,)
        Of each window the width of its image, and top and left of the window, which lies in it.
    planes : sequence of Plane
        The maps, whose windows are (B, H, W) or (B, H, W, 3) and C-contiguous.
    ask_system : bool
        Ask for the length of each file, and do not touch its last page, which may have to come from
        a slow disk.
    """
    assert library is not None  # who calls has asked
    shards, widths, tops, lefts = [np.ascontiguousarray(array) for array in (shards, *windows)]
    maps = (Map * len(planes))()
    kept = []
    for plane, (field, starts, target) in zip(maps, planes, strict=True):
        kept.append(starts := np.ascontiguousarray(starts))
        plane.field, plane.starts, plane.target = field, _address(starts), _address(target)
        plane.pixel = target.itemsize * math.prod(target.shape[3:])
    rows, columns = planes[0][2].shape[1:3] if planes else (0, 0)
    task = Task(
        count=len(shards),
        rows=rows,
        columns=columns,
        shards=_address(shards),
        records=_address(records),
        names=_address(names),
        fields=records.shape[1],
        name_bytes=names.itemsize,
        folder=folder,
        page=mmap.PAGESIZE,
        ask_system=ask_system,
        widths=_address(widths),
        tops=_address(tops),
        lefts=_address(lefts),
        maps=maps,
        maps_count=len(planes),
    )
    return int(library.copy_windows(ctypes.byref(task)))


def inputs_agree(
    image: NDArray[np.uint8], label: NDArray[np.uint8], texture: NDArray[np.int16]
) -> bool:
    """Return whether (P, 3) pixels are clip(label + texture, 0, 255), with a texture of (P,)."""
    assert library is not None  # who calls has asked
    arrays = [np.ascontiguousarray(array) for array in (image, label, texture)]
    return bool(library.inputs_agree(*[_address(array) for array in arrays], len(texture)))


def checksum(data: bytes) -> int:
    """Return the checksum that HDF5 stores behind the bytes of a header."""
    assert library is not None  # who calls has asked
    return int(library.lookup3(data, len(data)))


def _address(array: NDArray[Any]) -> int:
    """Return where an array lies; `ctypes.data` takes three times as long."""
    address: int = array.__array_interface__["data"][0]
    return address
