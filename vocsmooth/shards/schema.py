"""The format of a shard, and the checks that come before any offset in the file is trusted.

A shard is an HDF5 file without links, filters, chunks or variable-length types:

/                 attributes format, version, digest, recipe (JSON), all of fixed length
/images           one entry per photograph: id S64, shape int32 (N, 2), start int64 (N + 1)
/images/label     uint8 (P, 3), likewise edge and mask uint8 (P,), image-level negatives (P, 3)
/samples          one entry per input: image int32 (M), start int64 (M + 1)
/samples/input    uint8 (Q, 3), texture int16 (Q,) or (Q, 3), input-level negatives (Q, 3)

In each map the photographs follow each other, row by row: the label of photograph ``i`` is
``label[start[i]:start[i + 1]].reshape(*shape[i], 3)``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from vocsmooth.errors import DatasetError
from vocsmooth.files import refuse_special
from vocsmooth.shards.guarded import Located, expect, find_dataset, locate, read_text, refusing

FORMAT = "voc-smooth"
"""Value of the key or attribute `format` of everything in a dataset folder."""

VERSION = 1
"""Version of the layout described above, of the plan and of the sidecars."""

INDEX_VERSION = 2
"""Version of the index: index.json and the table in index.hdf5."""

ID_DTYPE = np.dtype("S64")
"""Ids are UTF-8, padded with zero bytes."""

BASE_MAPS = {
    "images": {"label": 3, "edge": 1, "mask": 1},
    "samples": {"input": 3, "texture": 1},
}
"""Channels of the maps of every dataset; a texture may also have 3. Negatives have 3."""

Maps = Mapping[str, Mapping[str, int]]
"""Channels of each map by name, in the groups "images" and "samples"."""

TABLES: dict[str, dict[str, np.dtype[Any]]] = {
    "images": {"id": ID_DTYPE, "shape": np.dtype("<i4"), "start": np.dtype("<i8")},
    "samples": {"image": np.dtype("<i4"), "start": np.dtype("<i8")},
}
"""Types of the tables that say which pixels belong to which photograph and sample."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The tables of a shard and the location of its maps, all of it checked."""

    bytes: int
    """Length of the file."""
    digest: str
    """Digest of the plan that the shard belongs to."""
    recipe: str
    """The recipe as JSON."""
    ids: tuple[str, ...]
    """Photograph ids."""
    shapes: NDArray[np.int64]
    """(N, 2) height and width of each photograph."""
    image_start: NDArray[np.int64]
    """(N + 1,) first pixel of each photograph in the maps of /images."""
    sample_image: NDArray[np.int64]
    """(M,) photograph of each sample."""
    sample_start: NDArray[np.int64]
    """(M + 1,) first pixel of each sample in the maps of /samples."""
    maps: Mapping[str, Located]
    """Every map by name."""


def map_dtype(name: str) -> np.dtype[Any]:
    """Return the type of a map's values: int16 for textures, uint8 for all others."""
    return np.dtype("<i2") if name == "texture" else np.dtype("u1")


def read_layout(shard: Path | IO[bytes], maps: Maps, where: str = "") -> Layout:
    """Read the tables of a shard and locate its maps, without reading a pixel.

    Parameters
    ----------
    shard : Path or binary file
        The shard.
    maps : mapping
        The maps that it must hold, from the dataset's index.
    where : str
        What messages call an open file.

    Raises
    ------
    DatasetError
        The file is missing, is not a shard of this version, or breaks the schema: an HDF5 dataset
        is missing, linked, virtual, external, chunked, filtered, mistyped, misaligned or reaches
        beyond the end of the file, or the tables contradict each other.
    """
    where = where or str(shard)
    with refusing(f"The shard {where}"):
        size = _length(shard)
        with h5py.File(shard, "r", locking=False) as file:
            return _read(file, size, maps, where)


def _length(shard: Path | IO[bytes]) -> int:
    """Return the length of a file; OSError if it is a pipe or device, which would never end."""
    if not isinstance(shard, Path):
        return shard.seek(0, os.SEEK_END)
    refuse_special(shard)
    return shard.stat().st_size


def _read(file: h5py.File, size: int, maps: Maps, where: str) -> Layout:
    """Check the open file from the outside in: file, attributes, tables, maps."""
    if file.userblock_size:
        raise DatasetError(f"{where} has a user block, which shifts every offset.")
    _check_version(file, where)
    tables: dict[str, NDArray[Any]] = {}
    located: dict[str, Located] = {}
    for group, columns in TABLES.items():
        for name, dtype in columns.items():
            dataset = find_dataset(file, group, name, where)
            expect(locate(dataset, size, where).dtype == dtype, dataset, f"type {dtype}", where)
            tables[f"{group}/{name}"] = dataset[()]
        for name, channels in maps[group].items():
            dataset = find_dataset(file, group, name, where)
            found = locate(dataset, size, where)
            expect(found.dtype == map_dtype(name), dataset, f"type {map_dtype(name)}", where)
            tail = (channels,) if channels > 1 else ()
            expect(found.shape[1:] == tail, dataset, f"shape (pixels, *{tail})", where)
            located[name] = found
    layout = _assemble(tables, located, size, file, where)
    _check_tables(layout, maps, where)
    return layout


def _assemble(
    tables: Mapping[str, NDArray[Any]],
    located: Mapping[str, Located],
    size: int,
    file: h5py.File,
    where: str,
) -> Layout:
    """Turn the tables into a `Layout`; DatasetError if one has the wrong number of dimensions."""
    for name, array in tables.items():
        if array.ndim != (2 if name == "images/shape" else 1):
            raise DatasetError(f"{where}: {name} has shape {array.shape}.")
    return Layout(
        bytes=size,
        digest=read_text(file, "digest", where),
        recipe=read_text(file, "recipe", where),
        ids=tuple(identifier.decode() for identifier in tables["images/id"].tolist()),
        shapes=tables["images/shape"].astype(np.int64),
        image_start=tables["images/start"].astype(np.int64),
        sample_image=tables["samples/image"].astype(np.int64),
        sample_start=tables["samples/start"].astype(np.int64),
        maps=located,
    )


def _check_version(file: h5py.File, where: str) -> None:
    """Refuse files of another kind or version."""
    kind, version = read_text(file, "format", where), read_text(file, "version", where)
    if (kind, version) != (FORMAT, str(VERSION)):
        raise DatasetError(
            f"{where}: format {kind!r} version {version!r}; this package reads "
            f"{FORMAT!r} version {str(VERSION)!r}."
        )


def _check_tables(layout: Layout, maps: Maps, where: str) -> None:
    """Check that the tables agree with each other and with the length of every map."""
    count, samples = len(layout.ids), len(layout.sample_image)
    if layout.shapes.shape != (count, 2) or (layout.shapes < 1).any():
        raise DatasetError(f"{where}: images/shape is not {count} rows of two positive sizes.")
    if samples and not 0 <= layout.sample_image.min() <= layout.sample_image.max() < count:
        raise DatasetError(f"{where}: samples/image points outside its {count} images.")
    pixels = layout.shapes.prod(axis=1)
    for group, start, lengths in (
        ("images", layout.image_start, pixels),
        ("samples", layout.sample_start, pixels[layout.sample_image]),
    ):
        if not np.array_equal(start, np.concatenate(([0], np.cumsum(lengths)))):
            raise DatasetError(f"{where}: {group}/start does not follow from the images' sizes.")
        for name in maps[group]:
            if layout.maps[name].shape[0] != start[-1]:
                raise DatasetError(
                    f"{where}: {group}/{name} holds {layout.maps[name].shape[0]} pixels, "
                    f"expected {start[-1]}."
                )
