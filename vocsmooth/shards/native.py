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
import math
import mmap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocsmooth.libraries import CURE, Interface, describe_library, find_library

DONE, NOT_MAPPED = -1, -2
"""What `copy_windows` returns if no file was cut short; see csrc/windows.c."""

_size, _pointer = ctypes.c_ssize_t, ctypes.c_void_p


class Map(ctypes.Structure):
    """``Map`` of csrc/native.h: one map of the windows."""

    _fields_ = (("field", _size), ("pixel", _size), ("starts", _pointer), ("target", _pointer))


class Task(ctypes.Structure):
    """``Task`` of csrc/native.h: windows to copy."""

    _fields_ = (
        *((name, _size) for name in ("count", "rows", "columns")),
        *((name, _pointer) for name in ("shards", "records", "names")),
        *((name, _size) for name in ("fields", "name_bytes", "folder", "page", "ask_system")),
        *((name, _pointer) for name in ("widths", "tops", "lefts", "maps")),
        ("maps_count", _size),
    )


INTERFACE = Interface(
    "native_abi",
    7,
    (Map, Task),
    {
        "copy_windows": (_size, (ctypes.POINTER(Task),)),
        "fetch_pages": (None, (_pointer, ctypes.c_size_t)),
        "inputs_agree": (ctypes.c_int, (_pointer, _pointer, _pointer, _size, _size)),
        "lost_pages": (ctypes.c_int, ()),
        "lookup3": (ctypes.c_uint32, (ctypes.c_char_p, ctypes.c_size_t)),
        "publish": (None, (_pointer, _pointer, _size)),
        "watch_pages": (None, (_pointer, ctypes.c_size_t)),
    },
)

library, _refusal = find_library("vocsmooth.shards._native", INTERFACE)
"""The library, or None where NumPy does its work. This is the only switch; tests set it to None."""

Plane = tuple[int, NDArray[np.int64], NDArray[Any]]
"""Of a map: its field of a record, the first pixel of each image, and the windows to fill."""


def describe() -> str:
    """Say in one line what reads shards here and, if it is not C, what that means."""
    if library is None:
        reason = _refusal or "the library is turned off"
        return (
            f"NumPy, slower, and a shard that is cut short while it is read can end the process: "
            f"{reason}. To change that, {CURE}"
        )
    return describe_library(library)


def required() -> ctypes.CDLL:
    """Return the library, for work that only it can do.

    Raises
    ------
    RuntimeError
        It was not built, or was refused; callers look at `library` first.
    """
    if library is None:
        raise RuntimeError("The compiled library that reads shards was not built.")
    return library


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
        maps=ctypes.addressof(maps),
        maps_count=len(planes),
    )
    return int(required().copy_windows(ctypes.byref(task)))


def publish(record: NDArray[np.uint64], fields: NDArray[np.uint64]) -> None:
    """Write the record of a shard, which other threads may be reading; see `copy_windows`.

    Whoever reads the address (the first field) finds all others written. Without the library nobody
    reads records.
    """
    if library is None:
        record[:] = fields
    else:
        library.publish(_address(record), _address(fields), len(fields))


class Watch:
    """What became of a mapping that was watched, see `watching`."""

    lost = False
    """Whether pages of it were lost, in place of which zeros were read."""


@contextmanager
def watching(bytes_: NDArray[np.uint8]) -> Iterator[Watch]:
    """Read zeros in the block where the file of a mapping has no more pages; say so at its end.

    Without this, to touch such a page ends the process. Only the thread that enters the block is
    looked after, and only one mapping at a time.
    """
    watch = Watch()
    required().watch_pages(_address(bytes_), bytes_.size)
    try:
        yield watch
    finally:
        watch.lost = bool(required().lost_pages())


def fetch_pages(address: int, length: int) -> None:
    """Ask the memory for the beginnings of pages that are about to be read."""
    required().fetch_pages(address, length)


class Inputs:
    """Maps of inputs that lie in memory and are compared in pieces, see `agree`.

    Parameters
    ----------
    image, label : (P, 3), (L, 3) uint8
        All inputs and labels, row by row.
    texture : (P,) or (P, 3) int16
        What was added to the labels.

    Raises
    ------
    ValueError
        An array has another shape or dtype, or is not C-contiguous: C would read other bytes.
    """

    def __init__(
        self, image: NDArray[np.uint8], label: NDArray[np.uint8], texture: NDArray[np.int16]
    ) -> None:
        arrays = (image, label, texture)
        fits = image.shape == (len(texture), 3) and label.shape == (len(label), 3)
        fits = fits and texture.shape in (image.shape[:1], image.shape)
        kinds = [array.dtype.str for array in arrays] == ["|u1", "|u1", "<i2"]
        if not (fits and kinds and all(array.flags.c_contiguous for array in arrays)):
            found = ", ".join(f"{array.dtype} {array.shape}" for array in arrays)
            raise ValueError(f"expected uint8 (P, 3) twice and int16 (P,) or (P, 3), got {found}")
        self._kept, self._sizes = arrays, (len(image), len(label))
        self._addresses = [_address(array) for array in arrays]
        self._channels = 1 if texture.ndim == 1 else 3
        self._agree = required().inputs_agree

    def agree(self, first: int, count: int, first_label: int) -> bool:
        """Return whether inputs are clip(label + texture, 0, 255), in `count` pixels from these."""
        if min(first, first_label, count) < 0 or first + count > self._sizes[0]:
            raise IndexError(f"pixels {first} to {first + count} of {self._sizes[0]}")
        if first_label + count > self._sizes[1]:
            raise IndexError(f"pixels {first_label} to {first_label + count} of {self._sizes[1]}")
        image, label, texture = self._addresses
        channels = self._channels
        return bool(
            self._agree(
                image + 3 * first,
                label + 3 * first_label,
                texture + 2 * channels * first,
                count,
                channels,
            )
        )


def checksum(data: bytes) -> int:
    """Return the checksum that HDF5 stores behind the bytes of a header."""
    return int(required().lookup3(data, len(data)))


def _address(array: NDArray[Any]) -> int:
    """Return where an array lies; `ctypes.data` takes three times as long."""
    address: int = array.__array_interface__["data"][0]
    return address
