"""HDF5 files that can be mapped: how they are written, and read without trust in their origin.

Damage to an HDF5 file, or a file made to do harm, may give links to other files, sizes beyond the
end, or values that HDF5 would have to unpack; all of it is refused with a `DatasetError`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from vocsmooth.errors import DatasetError

ALIGNMENT = 4096
"""Datasets of at least this many bytes start at multiples of it: one page."""

_MAX_ATTRIBUTE_BYTES = 1 << 24


@dataclass(frozen=True, kw_only=True)
class Located:
    """Where the bytes of one HDF5 dataset lie; the range is known to be within the file."""

    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


def new_file(target: io.BytesIO) -> h5py.File:
    """Open a new file whose datasets start at pages; the same content gives the same bytes."""
    return h5py.File(
        target,
        "w",
        libver=("v110", "v110"),
        alignment_threshold=ALIGNMENT,
        alignment_interval=ALIGNMENT,
    )


@contextmanager
def refusing(where: str) -> Iterator[None]:
    """Turn whatever h5py raises in the block into a DatasetError about the file `where`."""
    try:
        yield
    except FileNotFoundError:
        raise DatasetError(f"{where} is missing.") from None
    except DatasetError:
        raise
    # What h5py raises on a damaged file depends on where the damage lies.
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise DatasetError(f"{where} cannot be read as HDF5: {error}.") from None
    except (MemoryError, OverflowError) as error:
        raise DatasetError(f"{where} declares impossible sizes: {error}.") from None


def read_text(file: h5py.File, name: str, where: str) -> str:
    """Read an attribute of the file, which must be a short string of fixed length.

    Variable-length strings lie in a heap without checksums; damage there makes HDF5 crash or hang.
    """
    kind = h5py.h5a.open(file.id, name.encode()).get_type()
    if not isinstance(kind, h5py.h5t.TypeStringID) or kind.is_variable_str():
        raise DatasetError(f"{where}: attribute {name} is not a string of fixed length.")
    if kind.get_size() > _MAX_ATTRIBUTE_BYTES:
        raise DatasetError(f"{where}: attribute {name} declares {kind.get_size()} bytes.")
    value = file.attrs[name]
    if not isinstance(value, bytes):
        raise DatasetError(f"{where}: attribute {name} is not a single string.")
    return value.decode()


def find_dataset(file: h5py.File, group: str, name: str, where: str) -> h5py.Dataset:
    """Open an HDF5 dataset of the schema; only hard links pass, since others may lead anywhere."""
    node: Any = file
    for key in (group, name):
        if not isinstance(node, h5py.Group) or key not in node.keys():  # noqa: SIM118
            raise DatasetError(f"{where}: {group}/{name} is missing.")
        if not isinstance(node.get(key, getlink=True), h5py.HardLink):
            raise DatasetError(f"{where}: {group}/{name} is a soft or external link.")
        node = node[key]
    if not isinstance(node, h5py.Dataset):
        raise DatasetError(f"{where}: {group}/{name} is not a dataset.")
    return node


def locate(dataset: h5py.Dataset, size: int, where: str) -> Located:
    """Return where the bytes of an HDF5 dataset lie in a file of `size` bytes.

    Raises
    ------
    DatasetError
        They cannot be read from there: the dataset is virtual, external, chunked or filtered, or
        its bytes are misaligned or not all in the file.
    """
    plist = dataset.id.get_create_plist()
    expect(not dataset.is_virtual, dataset, "no virtual dataset", where)
    expect(plist.get_external_count() == 0, dataset, "no external storage", where)
    expect(plist.get_layout() == h5py.h5d.CONTIGUOUS, dataset, "contiguous storage", where)
    expect(plist.get_nfilters() == 0, dataset, "no filters", where)
    expect(dataset.dtype.kind in "uiS", dataset, "integers or fixed-length strings", where)
    found = Located(offset=0, dtype=dataset.dtype, shape=tuple(map(int, dataset.shape or ())))
    length = int(dataset.size or 0) * found.dtype.itemsize
    if length == 0:
        return found
    offset = dataset.id.get_offset()
    expect(offset is not None, dataset, "stored values", where)
    expect(0 <= offset <= size - length, dataset, f"{length} bytes within the file", where)
    expect(length < ALIGNMENT or offset % ALIGNMENT == 0, dataset, "alignment to pages", where)
    return Located(offset=int(offset), dtype=found.dtype, shape=found.shape)


def expect(holds: bool, dataset: h5py.Dataset, expected: str, where: str) -> None:
    """Raise DatasetError with what was expected of an HDF5 dataset, unless it holds."""
    if not holds:
        raise DatasetError(
            f"{where}: {dataset.name} (type {dataset.dtype}, shape {dataset.shape}) breaks the "
            f"schema: expected {expected}."
        )
