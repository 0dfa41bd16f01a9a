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
    attribute = h5py.h5a.open(file.id, name.encode())
    kind = attribute.get_type()
    if not isinstance(kind, h5py.h5t.TypeStringID) or kind.is_variable_str():
        raise DatasetError(f"{where}: attribute {name} is not a string of fixed length.")
    if kind.get_size() > _MAX_ATTRIBUTE_BYTES:
        raise DatasetError(f"{where}: attribute {name} declares {kind.get_size()} bytes.")
    if attribute.get_space().get_simple_extent_type() != h5py.h5s.SCALAR:
        raise DatasetError(f"{where}: attribute {name} is not a single string.")
    value = np.empty((), f"S{kind.get_size()}")
    attribute.read(value)
    return bytes(value.item()).decode()


def find_dataset(file: h5py.File, group: str, name: str, where: str) -> h5py.Dataset:
    """Open an HDF5 dataset of the schema; only hard links pass, since others may lead anywhere.

    By h5py's lower layer, which takes a third of the time.
    """
    node: Any = file.id
    for key in (group.encode(), name.encode()):
        if not isinstance(node, h5py.h5g.GroupID) or not node.links.exists(key):
            raise DatasetError(f"{where}: {group}/{name} is missing.")
        if node.links.get_info(key).type != h5py.h5l.TYPE_HARD:
            raise DatasetError(f"{where}: {group}/{name} is a soft or external link.")
        node = h5py.h5o.open(node, key)
    if not isinstance(node, h5py.h5d.DatasetID):
        raise DatasetError(f"{where}: {group}/{name} is not a dataset.")
    return h5py.Dataset(node)


def locate(dataset: h5py.Dataset, size: int, where: str) -> Located:
    """Return where the bytes of an HDF5 dataset lie in a file of `size` bytes.

    Raises
    ------
    DatasetError
        They cannot be read from there: the dataset is virtual, external, chunked or filtered, or
        its bytes are misaligned or not all in the file.
    """
    plist = dataset.id.get_create_plist()
    kept = plist.get_layout()
    expect(kept != h5py.h5d.VIRTUAL, dataset, "no virtual dataset", where)
    expect(plist.get_external_count() == 0, dataset, "no external storage", where)
    expect(kept == h5py.h5d.CONTIGUOUS, dataset, "contiguous storage", where)
    expect(plist.get_nfilters() == 0, dataset, "no filters", where)
    dtype, shape = dataset.dtype, tuple(map(int, dataset.shape or ()))
    expect(dtype.kind in "uiS", dataset, "integers or fixed-length strings", where)
    length = int(dataset.size or 0) * dtype.itemsize
    if length == 0:
        return Located(offset=0, dtype=dtype, shape=shape)
    offset = dataset.id.get_offset()
    expect(offset is not None, dataset, "stored values", where)
    expect(0 <= offset <= size - length, dataset, f"{length} bytes within the file", where)
    expect(length < ALIGNMENT or offset % ALIGNMENT == 0, dataset, "alignment to pages", where)
    return Located(offset=int(offset), dtype=dtype, shape=shape)


def expect(holds: bool, dataset: h5py.Dataset, expected: str, where: str) -> None:
    """Raise DatasetError with what was expected of an HDF5 dataset, unless it holds."""
    if not holds:
        raise DatasetError(
            f"{where}: {dataset.name} (type {dataset.dtype}, shape {dataset.shape}) breaks the "
            f"schema: expected {expected}."
        )
