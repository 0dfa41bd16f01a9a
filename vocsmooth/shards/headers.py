"""Find the maps of a shard by its HDF5 headers, a tenth of the time that HDF5 takes to open it.

Only what `vocsmooth.shards.writer` writes is understood, and only a shard that agrees with the
index in every table is accepted; all else is left to `vocsmooth.shards.schema.read_layout`, which
also says what is wrong. The checksums of all headers are compared, so that a flipped bit cannot
move a map, which takes the compiled library.

What is read, of the HDF5 file format specification 3.0: superblock 3, object headers 2 with their
continuations, and the messages below.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vocsmooth.shards import native
from vocsmooth.shards.guarded import ALIGNMENT
from vocsmooth.shards.listing import IndexedShard
from vocsmooth.shards.schema import FORMAT, ID_DTYPE, TABLES, VERSION, Maps, map_dtype
from vocsmooth.shards.table import starts

_SPACE, _TYPE, _EXTERNAL, _LINK, _LAYOUT, _FILTERS, _ATTRIBUTE, _CONTINUATION = (
    *(1, 3, 7, 6),
    *(8, 11, 12, 16),
)

_BLOCK = 1 << 13
"""Bytes that are read at a time: mostly one or two blocks hold all headers and small tables."""

_MOST_MESSAGES = 64

_MOST_CHUNKS = 8

_PLACE = struct.Struct("<BBQQ")

_MESSAGE = struct.Struct("<BHB")

Spans = list[tuple[int, int]]


class _NotUnderstoodError(Exception):
    """The file is not as `writer` writes it."""


def find_maps(
    file: BinaryIO, indexed: IndexedShard, digest: str, maps: Maps
) -> tuple[int, ...] | None:
    """Return where each map starts in the file, in their order; None if HDF5 has to be asked.

    It always has to be where the library that compares checksums was not built.

    Parameters
    ----------
    file : binary file
        The shard, whose length is that in the index.
    indexed : IndexedShard
        What the index says about it.
    digest : str
        Digest of the dataset's plan.
    maps : mapping
        The dataset's maps.
    """
    if native.library is None:
        return None
    try:
        return _find(_File(file, indexed.entry.bytes), indexed, digest, maps)
    # Whatever a damaged file makes of the parsing: HDF5 says what is wrong with it.
    except (_NotUnderstoodError, struct.error, LookupError, ValueError, OSError):
        return None


def _find(file: _File, indexed: IndexedShard, digest: str, maps: Maps) -> tuple[int, ...]:
    """Locate all datasets, and compare attributes and tables with what the index says."""
    head = _whole(file.read(0, 48))
    _expect(head[:12] == b"\x89HDF\r\n\x1a\n\x03\x08\x08\x00" and head[12:20] == bytes(8))
    attributes: dict[bytes, bytes] = {}
    groups = _links(file, int.from_bytes(head[36:44], "little"), attributes)
    wanted = {"format": FORMAT, "version": str(VERSION), "digest": digest}
    _expect(all(attributes[name.encode()] == text.encode() for name, text in wanted.items()))
    pixels = indexed.pixels()
    tables = _tables_of(indexed)
    spans: Spans = []
    offsets = []
    for group, columns in TABLES.items():
        links = _links(file, groups[group.encode()], {})
        for name in columns:
            table = tables[f"{group}/{name}"]
            offset = _dataset(file, links[name.encode()], table.dtype, table.shape, spans)
            _expect(file.read(offset, table.nbytes) == table.tobytes())
        for name, channels in maps[group].items():
            shape = (pixels[group], channels) if channels > 1 else (pixels[group],)
            offsets.append(_dataset(file, links[name.encode()], map_dtype(name), shape, spans))
    spans.sort()
    _expect(all(stop <= start for (_, stop), (start, _) in itertools.pairwise(spans)))
    return tuple(offsets)


def _tables_of(indexed: IndexedShard) -> dict[str, NDArray[Any]]:
    """Return the tables that the shard must hold."""
    pixels = indexed.shapes.prod(axis=1)
    owners = np.repeat(np.arange(len(pixels), dtype="<i4"), indexed.samples)
    tables: Mapping[str, NDArray[Any]] = {
        "images/id": indexed.raw_ids,
        "images/shape": indexed.shapes,
        "images/start": starts(pixels),
        "samples/image": owners,
        "samples/start": starts(pixels[owners]),
    }
    return {
        f"{group}/{name}": tables[f"{group}/{name}"].astype(dtype)
        for group, columns in TABLES.items()
        for name, dtype in columns.items()
    }


class _File:
    """The bytes of a file, of which blocks are kept."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file, self._length = file, length
        self._blocks: dict[int, bytes] = {}

    def read(self, start: int, length: int) -> bytes:
        """Return bytes, all of which must be in the file."""
        _expect(0 <= start <= self._length - length)
        first = start - start % _BLOCK
        if start + length > first + _BLOCK:
            data = self._at(start, length)
        else:
            if first not in self._blocks:
                self._blocks[first] = self._at(first, _BLOCK)
            data = self._blocks[first][start - first : start - first + length]
        _expect(len(data) == length)
        return data

    def _at(self, start: int, length: int) -> bytes:
        """Read bytes, fewer at the end of the file."""
        self._file.seek(start)
        return self._file.read(length)


def _dataset(
    file: _File, header: int, dtype: np.dtype[Any], shape: tuple[int, ...], spans: Spans
) -> int:
    """Return where the values of an HDF5 dataset start, which must be of this type and shape."""
    found = dict(_messages(file, header))
    _expect(_EXTERNAL not in found and _FILTERS not in found and found[_TYPE] == _TYPES[dtype])
    rank, space = len(shape), found[_SPACE]
    _expect(space[0] == 2 and space[1] == rank)
    _expect(space[4 : 4 + 8 * rank] == struct.pack(f"<{rank}Q", *shape))
    version, kind, offset, length = _PLACE.unpack_from(found[_LAYOUT])
    _expect(version in (3, 4) and kind == 1)  # contiguous
    expected = math.prod(shape) * dtype.itemsize
    _expect(length == expected)
    if not expected:
        return 0
    _expect(offset % ALIGNMENT == 0 or length < ALIGNMENT)
    file.read(offset + length - 1, 1)
    spans.append((offset, offset + length))
    return int(offset)


def _links(file: _File, header: int, attributes: dict[bytes, bytes]) -> dict[bytes, int]:
    """Return the addresses of what a group holds by name; note its attributes."""
    links = {}
    for kind, data in _messages(file, header):
        if kind == _LINK:
            version, flags = data[:2]
            # Hard links with an 8-bit length of the name; a creation order may be given.
            _expect(version == 1 and not flags & 0b1011)
            place = 2 + (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
            stop = place + 1 + data[place]
            links[data[place + 1 : stop]] = int.from_bytes(data[stop : stop + 8], "little")
        elif kind == _ATTRIBUTE:
            version, flags, name, dtype, space = struct.unpack_from("<BBHHH", data)
            _expect(version == 3 and flags == 0)
            start = 9 + name + dtype + space
            value = data[9 + name : 9 + name + dtype]
            _expect(value[0] == 0x13 and dtype == 8)  # a string of fixed length
            length = int.from_bytes(value[4:8], "little")
            attributes[data[9 : 9 + name].rstrip(b"\0")] = data[start : start + length]
    return links


def _messages(file: _File, header: int) -> list[tuple[int, bytes]]:
    """Return type and content of the messages of an object header."""
    head = file.read(header, 6)
    flags = head[5]
    _expect(head[:5] == b"OHDR\x02")
    place = 6 + (16 if flags & 32 else 0) + (4 if flags & 16 else 0)
    width = 1 << (flags & 3)
    first = place + width
    # Address, bytes before the messages, bytes in all with the checksum.
    size = int.from_bytes(file.read(header + place, width), "little")
    chunks = [(header, first, first + size + 4)]
    extra = 2 if flags & 4 else 0
    found: list[tuple[int, bytes]] = []
    for address, first, whole in chunks:
        data = _whole(file.read(address, whole))[first:]
        size = len(data)
        at = 0
        while at + 4 + extra <= size:
            kind, length, message_flags = _MESSAGE.unpack_from(data, at)
            at += 4 + extra
            content = data[at : at + length]
            at += length
            if at > size or message_flags & 2 or len(found) == _MOST_MESSAGES:  # shared
                raise _NotUnderstoodError
            if kind == _CONTINUATION:
                next_address, next_length = struct.unpack_from("<QQ", content)
                _expect(file.read(next_address, 4) == b"OCHK" and len(chunks) < _MOST_CHUNKS)
                chunks.append((next_address, 4, next_length))
            else:
                found.append((kind, content))
    return found


def _whole(data: bytes) -> bytes:
    """Return the bytes before a checksum, which must be theirs."""
    content, stored = data[:-4], int.from_bytes(data[-4:], "little")
    _expect(native.checksum(content) == stored)
    return content


def _expect(holds: bool) -> None:
    """Leave the file to HDF5 unless this holds."""
    if not holds:
        raise _NotUnderstoodError


def _integer(dtype: np.dtype[Any]) -> bytes:
    """Return how HDF5 describes an integer type, little-endian."""
    signed = 8 if dtype.kind == "i" else 0
    return struct.pack("<BBHIHH", 0x10, signed, 0, dtype.itemsize, 0, 8 * dtype.itemsize)


_TYPES = {
    **{np.dtype(name): _integer(np.dtype(name)) for name in ("u1", "<i2", "<i4", "<i8")},
    ID_DTYPE: struct.pack("<BBHI", 0x13, 1, 0, ID_DTYPE.itemsize),
}
"""How HDF5 describes the types of a shard."""
