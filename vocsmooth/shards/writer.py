"""Make the bytes of a shard: a pure function of the maps in it."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from vocsmooth.shards.guarded import new_file
from vocsmooth.shards.schema import FORMAT, ID_DTYPE, VERSION, Maps, map_dtype

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class ImageMaps:
    """All maps of one photograph of H x W pixels and of the K inputs made of it."""

    id: str
    """The photograph's id."""
    split: str
    """The split it belongs to."""
    label: Pixels
    """(H, W, 3), the structure image."""
    edge: Pixels
    """(H, W), 1 on edges of the label, else 0."""
    mask: Pixels
    """(H, W) classes 0..20, 255 void; all void in a tree without masks."""
    image_negatives: Mapping[str, Pixels]
    """(H, W, 3) by name: negatives of the photograph or the label."""
    inputs: Pixels
    """(K, H, W, 3), exactly clip(label + texture, 0, 255)."""
    textures: NDArray[np.int16]
    """(K, H, W) grey texture fields, or (K, H, W, 3) when the recipe asks for colour."""
    input_negatives: Mapping[str, Pixels]
    """(K, H, W, 3) by name: negatives of the inputs."""
    provenance: dict[str, Any]
    """Dicts, lists and scalars only: source files, operator, scores, textures, checks."""


def recipe_text(recipe: dict[str, Any]) -> str:
    """Return the one spelling of a resolved recipe that shards hold."""
    return json.dumps(recipe, sort_keys=True)


def encode_shard(images: Sequence[ImageMaps], maps: Maps, recipe: str, digest: str) -> memoryview:
    """Return the HDF5 file that holds `images`, see `vocsmooth.shards.schema`.

    The file is made in memory, because HDF5 leaves a broken file and crashes at exit when it meets
    a full disk.

    Parameters
    ----------
    images : sequence of ImageMaps
        Any number of them, even none.
    maps : mapping
        The maps of the shard and their channels.
    recipe, digest : str
        The recipe as JSON and the digest of the plan, kept as attributes.

    Raises
    ------
    ValueError
        An image lacks a map, or a map has another type or shape than `maps` and the label ask for.
    """
    buffer = io.BytesIO()
    with new_file(buffer) as file:
        for name, text in {
            "format": FORMAT,
            "version": str(VERSION),
            "digest": digest,
            "recipe": recipe,
        }.items():
            file.attrs[name] = np.bytes_(text.encode())
        _write_tables(file, images)
        for group, names in maps.items():
            for name, channels in names.items():
                _write_map(file[group], name, channels, images)
    return buffer.getbuffer()


def _write_tables(file: h5py.File, images: Sequence[ImageMaps]) -> None:
    """Write the tables that say which pixels belong to which image and sample."""
    shapes = np.array([image.label.shape[:2] for image in images], "<i4").reshape(-1, 2)
    counts = [len(image.inputs) for image in images]
    pixels = shapes.astype("<i8").prod(axis=1)
    tables: dict[str, NDArray[np.generic]] = {
        "images/id": np.array([image.id.encode() for image in images], ID_DTYPE),
        "images/shape": shapes,
        "images/start": _starts(pixels),
        "samples/image": np.repeat(np.arange(len(images), dtype="<i4"), counts),
        "samples/start": _starts(np.repeat(pixels, counts)),
    }
    for name, table in tables.items():
        file.create_dataset(name, data=table, track_times=False)


def _starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0 and the running sums: where each item starts and, last, where the last one ends."""
    return np.concatenate((np.zeros(1, "<i8"), np.cumsum(lengths, dtype="<i8")))


def _write_map(group: h5py.Group, name: str, channels: int, images: Sequence[ImageMaps]) -> None:
    """Write one map of all images, one image after the other."""
    tail = (channels,) if channels > 1 else ()
    arrays = [_pixels(image, name, tail) for image in images]
    shape = (sum(map(len, arrays)), *tail)
    dataset = group.create_dataset(name, shape=shape, dtype=map_dtype(name), track_times=False)
    start = 0
    for array in arrays:
        dataset[start : start + len(array)] = array
        start += len(array)


def _pixels(image: ImageMaps, name: str, tail: tuple[int, ...]) -> NDArray[np.generic]:
    """Return a map of one image as a row of pixels, its samples in order."""
    stack = _stack(image, name)
    expected = (*image.label.shape[:2], *tail)
    if stack.dtype != map_dtype(name) or stack.shape[1:] != expected:
        raise ValueError(
            f"map {name!r} of {image.id!r}: expected {map_dtype(name)} {expected}, "
            f"got {stack.dtype} {stack.shape[1:]}"
        )
    return np.ascontiguousarray(stack).reshape(-1, *tail)


def _stack(image: ImageMaps, name: str) -> NDArray[np.generic]:
    """Return a map with a leading axis: 1 for the image's maps, K for those of its inputs."""
    per_image = {"label": image.label, "edge": image.edge, "mask": image.mask}
    per_input: dict[str, NDArray[np.generic]] = {"input": image.inputs, "texture": image.textures}
    per_image.update(image.image_negatives)
    per_input.update(image.input_negatives)
    if name in per_image:
        return per_image[name][np.newaxis]
    if name not in per_input:
        raise ValueError(f"image {image.id!r} has no map {name!r}")
    if len(per_input[name]) != len(image.inputs):
        raise ValueError(f"map {name!r} of {image.id!r} does not have one entry for each input")
    return per_input[name]
