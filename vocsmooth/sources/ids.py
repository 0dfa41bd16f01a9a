"""Ids of photographs: what may be one, lists of them, and columns that hold a million in 20 MB."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vocsmooth.errors import InputError
from vocsmooth.files import AnyPath, as_path, read_file

MAX_ID_BYTES = 64
"""Longest photograph id, in UTF-8; the shards store ids in fields of this size."""

Ids = NDArray[np.bytes_]
"""Ids in UTF-8, in an array as wide as the longest. They sort as the strings do."""

_SHOWN = 5

_TOGETHER = 65536
"""How many ids are turned into strings, looked up and so on at a time. Of a million ids each copy
takes 20 MB, and four times that as strings."""

_SEPARATOR = re.compile(r"[\s/\\]")


def read_ids(path: AnyPath) -> tuple[str, ...]:
    """Read an id list: one id a line, in order; blank lines and what follows # do not count.

    Raises
    ------
    InputError
        The file is missing, not text, empty, or holds an id twice or one that cannot name a file.
    """
    return tuple(decode_ids(read_id_column(as_path(path, "path"))))


def read_id_column(path: Path) -> Ids:
    """Read an id list like `read_ids`, into a column."""
    try:
        ids = id_column(_listed(read_file(path)), str(path))
    except FileNotFoundError:
        raise InputError(f"No id list {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Cannot read the id list {path}: {error}.") from None
    if not ids.size:
        raise InputError(f"The id list {path} is empty; expected one id a line.")
    order = np.argsort(ids, kind="stable")
    again = order[1:][ids[order[1:]] == ids[order[:-1]]]
    if again.size:
        twice = dict.fromkeys(decode_ids(ids[np.sort(again)]))
        raise InputError(f"{path}: ids given twice: {shorten(list(twice))}.")
    return ids


def id_column(ids: Iterable[str], where: str) -> Ids:
    """Return ids as a column.

    Raises
    ------
    InputError
        One cannot be a file name without suffix, or is too long for the shards; `where` (a path)
        begins the message.
    """
    bad: list[str] = []

    def good() -> Iterator[str]:
        for name in ids:
            if is_id(name):
                yield name
            else:
                bad.append(name)

    column = encode_ids(good())
    refuse_ids(bad, where)
    return column


def encode_ids(ids: Iterable[str]) -> Ids:
    """Return the column of these strings, which are known to be ids."""
    encoded = (name.encode() for name in ids)
    columns = [np.array([], "S")]
    while together := list(itertools.islice(encoded, _TOGETHER)):
        columns.append(np.array(together))
    return np.concatenate(columns)


def is_id(name: str) -> bool:
    """Return whether a name can be that of a file without suffix, and fits into the shards."""
    return (
        _SEPARATOR.search(name) is None
        and name.isprintable()
        and len(name.encode()) <= MAX_ID_BYTES
    )


def refuse_ids(bad: Sequence[str], where: str) -> None:
    """Raise InputError if there are names that cannot be ids."""
    if bad:
        raise InputError(
            f"{where}: not ids: {shorten(bad)}. Expected file names without suffix, no blanks or "
            f"slashes, at most {MAX_ID_BYTES} bytes."
        )


def each_id(ids: Ids) -> Iterator[bytes]:
    """Yield the ids in a column, of which only some are turned into objects at a time."""
    for start in range(0, len(ids), _TOGETHER):
        yield from ids[start : start + _TOGETHER].tolist()


def decode_ids(ids: Ids) -> list[str]:
    """Return the strings in a column."""
    return [name.decode() for name in ids.tolist()]


def places_of(wanted: Ids, ids: Ids) -> NDArray[np.intp]:
    """Return the place of each wanted id in a sorted column, -1 for those that it lacks."""
    found = np.full(len(wanted), -1)
    if ids.size:
        for start in range(0, len(wanted), _TOGETHER):
            some = wanted[start : start + _TOGETHER]
            places = np.searchsorted(ids, some)
            places[places == len(ids)] = 0
            found[start : start + _TOGETHER] = np.where(ids[places] == some, places, -1)
    return found


def shorten(names: Sequence[str]) -> str:
    """Join names for a message, at most five."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) or "nothing") + more


def _listed(data: bytes) -> Iterator[str]:
    """Yield the ids in a list, one by one."""
    with io.TextIOWrapper(io.BytesIO(data), "utf-8-sig") as text:
        for line in text:
            for part in line.splitlines():  # Unicode knows more ends of lines than files do
                if name := part.split("#")[0].strip():
                    yield name
