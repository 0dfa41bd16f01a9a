"""Datasets of any number of shards for `benchmarks.scale`, made of black maps within minutes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vocsmooth.maps.recipe import Labels, Recipe, maps_of
from vocsmooth.settings import to_dict
from vocsmooth.shards.digests import Digests, digests_of
from vocsmooth.shards.entries import Index, TableEntry, shard_name, totals_of
from vocsmooth.shards.index import index_files
from vocsmooth.shards.schema import ID_DTYPE
from vocsmooth.shards.table import encode_table, make_table
from vocsmooth.shards.writer import ImageMaps, encode_shard, recipe_text

SIDE = 32
"""Side of the photographs in pixels."""

SPLIT = "train"

RECIPE = Recipe(labels=Labels(exact=True))
MAPS = maps_of(RECIPE)
DIGEST = "0" * 64


def make_shards(out: Path, shards: int, photographs: int) -> None:
    """Write a dataset that can be opened and read: its shards and its index."""
    counts = np.diff(np.linspace(0, photographs, shards + 1).astype(int)).tolist()
    encoded = {count: encode_black(count) for count in set(counts)}
    sizes, hashes, first = [], list[Digests](), 0
    for number, count in enumerate(counts):
        data, place = encoded[count]
        # Only the ids differ from shard to shard.
        np.frombuffer(data, ID_DTYPE, count, place)[:] = ids(first, count)
        (out / shard_name(SPLIT, number)).write_bytes(data)
        sizes.append(len(data))
        hashes.append(digests_of(data))
        first += count
    write_index(out, counts, sizes, hashes, ids(0, photographs))


def make_records(out: Path, shards: int, photographs: int, size: int) -> None:
    """Write a dataset that can be opened, but not read: its shards are holes of `size` bytes."""
    counts = np.diff(np.linspace(0, photographs, shards + 1).astype(int)).tolist()
    for number in range(shards):
        with (out / shard_name(SPLIT, number)).open("wb") as file:
            file.truncate(size)
    hashes = [digests_of(str(number).encode()) for number in range(shards)]
    write_index(out, counts, [size] * shards, hashes, ids(0, photographs))


def write_index(
    out: Path,
    counts: Sequence[int],
    sizes: Sequence[int],
    hashes: Sequence[Digests],
    names: Sequence[str] | NDArray[np.bytes_],
    shape: tuple[int, int] = (SIDE, SIDE),
) -> None:
    """Write the index of shards with these numbers of photographs, bytes and digests."""
    sha256, blake3 = ([list(bytes.fromhex(one[n])) for one in hashes] for n in ("sha256", "blake3"))
    table = make_table(
        split=[0] * len(counts),
        images=counts,
        left_out=[0] * len(counts),
        bytes=sizes,
        sha256=sha256,
        blake3=blake3,
        sidecar=sha256,
        ids=names,
        shapes=[shape] * len(names),
        samples=[1] * len(names),
        left_out_ids=[],
        left_out_kinds=[],
        reason_lengths=[],
        reasons=[],
    )
    data = encode_table(table)
    index = Index(
        digest=DIGEST,
        recipe=to_dict(RECIPE),
        versions={},
        maps=MAPS,
        splits=(SPLIT,),
        totals=totals_of(table),
        labels=(),
        textures={},
        failed_checks=0,
        table=TableEntry(bytes=len(data), sha256=hashlib.sha256(data).hexdigest()),
        columns=table,
    )
    for name, content in index_files(index).items():
        (out / name).write_bytes(content)


def encode_black(count: int) -> tuple[bytearray, int]:
    """Return a shard of black photographs, and where their ids start in it."""
    names = ids(0, count)
    images = [black(name) for name in names]
    data = bytearray(encode_shard(images, MAPS, recipe_text(to_dict(RECIPE)), DIGEST))
    return data, data.index(np.array(names, ID_DTYPE).tobytes())


def ids(first: int, count: int) -> list[str]:
    """Return the ids of photographs."""
    return [f"photograph_{number:08d}" for number in range(first, first + count)]


def black(name: str) -> ImageMaps:
    """Return black maps of one photograph."""
    image, plane = np.zeros((SIDE, SIDE, 3), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    texture = (SIDE, SIDE, 3) if MAPS["samples"]["texture"] == 3 else (SIDE, SIDE)
    return ImageMaps(
        id=name,
        split=SPLIT,
        label=image,
        edge=plane,
        mask=plane,
        image_negatives=dict.fromkeys(MAPS["images"].keys() - {"label", "edge", "mask"}, image),
        inputs=image[None],
        textures=np.zeros((1, *texture), np.int16),
        input_negatives=dict.fromkeys(MAPS["samples"].keys() - {"input", "texture"}, image[None]),
        provenance={},
    )
