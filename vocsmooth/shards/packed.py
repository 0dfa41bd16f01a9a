"""Compress a shard for an archive, and restore exactly the same file.

An archived shard is an HDF5 file with the groups and datasets of the shard (see
`vocsmooth.shards.schema`), chunked and compressed with gzip, with two differences:

- ``/samples/input`` is missing: it is clip(label + texture, 0, 255), so nothing is lost;
- ``/skeleton`` holds the bytes of the shard's file, with zeros in place of the maps. The attribute
  ``offset`` of each map says where it belongs.

So HDF5, whose versions may write different bytes, is not needed to write the shard again.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from vocsmooth.errors import DatasetError
from vocsmooth.shards.entries import ShardEntry
from vocsmooth.shards.schema import TABLES, Layout, Maps, map_dtype

ARCHIVE_FORMAT = "voc-smooth-archive"
"""Value of the attribute `format` of an archived shard."""

ARCHIVE_VERSION = 1
"""Version of the form that is described above."""

_CHUNK = 1 << 18
"""Pixels in a chunk: small enough for HDF5's cache, large enough for gzip."""

_LEVEL = 6


def encode_archive(data: bytes, layout: Layout, maps: Maps) -> memoryview:
    """Return the archived form of a shard.

    Parameters
    ----------
    data : bytes
        The shard's file.
    layout : Layout
        From `vocsmooth.shards.schema.read_layout`.
    maps : mapping
        From the dataset's index.
    """
    skeleton = np.frombuffer(data, np.uint8).copy()
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=("v110", "v110")) as file:
        file.attrs["format"] = np.bytes_(ARCHIVE_FORMAT.encode())
        file.attrs["version"] = np.bytes_(str(ARCHIVE_VERSION).encode())
        with h5py.File(io.BytesIO(data), "r") as shard:
            for group, columns in TABLES.items():
                for name in columns:
                    _write(file, f"{group}/{name}", shard[group][name][()])
        for name, place in layout.maps.items():
            pixels = np.frombuffer(data, place.dtype, math.prod(place.shape), place.offset)
            skeleton[place.offset : place.offset + pixels.nbytes] = 0
            if name != "input":
                group = next(group for group, names in maps.items() if name in names)
                stored = _write(file, f"{group}/{name}", pixels.reshape(place.shape))
                stored.attrs["offset"] = place.offset
        _write(file, "skeleton", skeleton).attrs["input"] = layout.maps["input"].offset
    return buffer.getbuffer()


def decode_archive(archived: Path | io.BytesIO, entry: ShardEntry) -> bytearray:
    """Restore the file of a shard from its archived form.

    Parameters
    ----------
    archived : Path or BytesIO
        The archived shard.
    entry : ShardEntry
        What the index says about the shard; no other bytes than those of its file are returned.

    Raises
    ------
    DatasetError
        The archived shard is missing, damaged, or that of another shard.
    """
    path = archived if isinstance(archived, Path) else "The archived shard"
    try:
        with h5py.File(archived, "r", locking=False) as file:
            data = _decode(_list_datasets(file), entry.bytes)
    except FileNotFoundError:
        raise DatasetError(f"The archived shard {path} is missing.") from None
    # What h5py raises on a damaged file depends on where the damage lies.
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, MemoryError) as error:
        raise DatasetError(f"{path} is not a sound archived shard: {error}.") from None
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise DatasetError(
            f"{path} does not give the bytes of {entry.name}: SHA-256 expected {entry.sha256}. "
            "It is damaged or belongs to another dataset."
        )
    return data


def _write(file: h5py.File, name: str, values: NDArray[Any]) -> h5py.Dataset:
    """Write a dataset in compressed chunks; signed integers are shuffled byte by byte first."""
    chunks = (max(1, min(_CHUNK, len(values))), *values.shape[1:])
    return file.create_dataset(
        name,
        data=values,
        maxshape=(None, *values.shape[1:]),  # otherwise an empty dataset cannot have chunks
        chunks=chunks,
        shuffle=values.dtype.kind == "i",
        compression="gzip",
        compression_opts=_LEVEL,
        track_times=False,
    )


def _list_datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Return the chunked datasets of a file by path, without those behind soft or external links.

    Datasets whose values lie in other files (external storage, virtual datasets) are never chunked.
    """
    found: dict[str, h5py.Dataset] = {}

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset) and node.chunks is not None:
            found[name] = node

    file.visititems(visit)
    return found


def _decode(datasets: dict[str, h5py.Dataset], length: int) -> bytearray:
    """Copy the maps into the skeleton; ValueError if anything contradicts `length`."""
    if any(dataset.nbytes > length for dataset in datasets.values()):
        raise ValueError(f"declares more than the {length} bytes of its shard")
    skeleton = datasets["skeleton"]
    if skeleton.dtype != np.uint8 or skeleton.shape != (length,):
        raise ValueError(f"skeleton of {skeleton.shape} {skeleton.dtype}, expected {length} bytes")
    data = bytearray(length)
    pixels = np.frombuffer(data, np.uint8)
    pixels[:] = skeleton[()]
    maps = dict(_read_maps(datasets))
    offsets = {name: int(datasets[name].attrs["offset"]) for name in maps}
    maps["samples/input"] = _make_inputs(datasets, maps)
    offsets["samples/input"] = int(skeleton.attrs["input"])
    for name, values in maps.items():
        start = offsets[name]
        if not 0 <= start <= length - values.nbytes:
            raise ValueError(f"{name} reaches beyond {length} bytes")
        pixels[start : start + values.nbytes] = values.reshape(-1).view(np.uint8)
    return data


def _read_maps(datasets: dict[str, h5py.Dataset]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Read every map that is stored, which are all but the inputs."""
    for name, dataset in datasets.items():
        if "offset" in dataset.attrs:
            kind = map_dtype(name.split("/")[-1])
            if dataset.dtype != kind:
                raise ValueError(f"{name} of type {dataset.dtype}, expected {kind}")
            yield name, dataset[()]


def _make_inputs(
    datasets: dict[str, h5py.Dataset], maps: dict[str, NDArray[Any]]
) -> NDArray[np.uint8]:
    """Add the textures to the labels again, as when the dataset was built."""
    label, texture = maps["images/label"], maps["samples/texture"]
    inputs = np.empty((len(texture), 3), np.uint8)
    image_start = datasets["images/start"][()]
    sample_start = datasets["samples/start"][()]
    for number, image in enumerate(datasets["samples/image"][()].tolist()):
        span = slice(sample_start[number], sample_start[number + 1])
        field = texture[span].reshape(sample_start[number + 1] - sample_start[number], -1)
        below = label[image_start[image] : image_start[image + 1]].astype(np.int16)
        inputs[span] = (below + field).clip(0, 255)
    return inputs
