"""Photographs of a tree in columns: a million of them in some 25 MB, each made when asked for."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from vocsmooth.sources.ids import Ids, encode_ids, is_id, places_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Photograph:
    """One photograph of a tree; the files are named here and read later."""

    id: str
    """File name without suffix."""
    split: str
    """The only split it belongs to."""
    image: Path
    """The photograph."""
    mask: Path | None
    """Its class mask, or None in a tree without masks."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What the files of many photographs have in common."""

    folder: Path
    suffix: str
    """With its dot, as in the names of the files."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Files:
    """Files in columns, one for each name without suffix."""

    kinds: tuple[Kind, ...]
    """The kinds that occur."""
    ids: Ids
    """(N,) names without suffix, sorted."""
    kind: NDArray[np.int8]
    """(N,) kind of each file, a number of `kinds`."""
    bad: tuple[str, ...]
    """Names without suffix that cannot be ids."""

    def kinds_of(self, ids: Ids) -> NDArray[np.int8]:
        """Return the kind of the file of each id, -1 where there is none."""
        return np.append(self.kind, np.int8(-1))[places_of(ids, self.ids)]


@dataclass(frozen=True, kw_only=True, eq=False)
class Photographs(Sequence[Photograph]):
    """A sequence of N photographs, in columns, one split after the other; so is a slice of it."""

    splits: tuple[str, ...]
    """Names of splits."""
    image_kinds: tuple[Kind, ...]
    """Kinds of files that hold photographs."""
    mask_kinds: tuple[Kind, ...]
    """Kinds of files that hold masks."""
    ids: Ids
    """(N,) ids."""
    split: NDArray[np.integer[Any]]
    """(N,) split of each, a number of `splits`; never decreases."""
    image: NDArray[np.int8]
    """(N,) kind of each photograph's file, a number of `image_kinds`."""
    mask: NDArray[np.int8]
    """(N,) kind of each mask's file, a number of `mask_kinds`; -1 for none."""

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, number: int) -> Photograph: ...

    @overload
    def __getitem__(self, number: slice) -> Photographs: ...

    def __getitem__(self, number: int | slice) -> Photograph | Photographs:
        if isinstance(number, slice):
            return self.take(number)
        name, mask = self.ids[number].decode(), int(self.mask[number])
        return Photograph(
            id=name,
            split=self.splits[self.split[number]],
            image=_path(self.image_kinds[self.image[number]], name),
            mask=None if mask < 0 else _path(self.mask_kinds[mask], name),
        )

    def ids_of(self, split: str) -> Ids:
        """Return the ids of a split, in order."""
        number = self.splits.index(split) if split in self.splits else -1
        ids: Ids = self.ids[self.split == number]
        return ids

    def take(self, numbers: slice | NDArray[np.intp] | NDArray[np.bool_]) -> Photographs:
        """Return those with these numbers, or those that are true."""
        return replace(
            self,
            ids=self.ids[numbers],
            split=self.split[numbers],
            image=self.image[numbers],
            mask=self.mask[numbers],
        )


def list_files(folders: Sequence[Path], suffixes: Sequence[str]) -> Files:
    """List the files with these suffixes, in upper or lower case, in columns.

    Of several files with the same name, that in the first folder wins, and there that with the
    first suffix.
    """
    kinds: dict[tuple[int, str], int] = {}
    numbers = array("b")
    bad: set[str] = set()

    def listed() -> Iterator[str]:
        for place, folder in enumerate(folders):
            for name, suffix in _names(folder):
                if suffix.lower() not in suffixes:
                    continue
                if is_id(name):
                    numbers.append(kinds.setdefault((place, suffix), len(kinds)))
                    yield name
                else:
                    bad.add(name)

    ids = encode_ids(listed())
    # From the weakest kind to the strongest, so that the last of the files of an id wins.
    ordered = sorted(kinds, key=lambda kind: (-kind[0], -suffixes.index(kind[1].lower()), kind[1]))
    rank = np.array([ordered.index(kind) for kind in kinds], np.int8)
    kind = rank[np.array(numbers, np.int8)]
    order = np.lexsort((kind, ids))
    ids, kind = ids[order], kind[order]
    wins = np.append(ids[1:] != ids[:-1], True)[: len(ids)]
    return Files(
        kinds=tuple(Kind(folder=folders[place], suffix=suffix) for place, suffix in ordered),
        ids=ids if wins.all() else ids[wins],
        kind=kind if wins.all() else kind[wins],
        bad=tuple(sorted(bad)),
    )


def _names(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the names in a folder, each divided before its suffix as `Path` does it."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name, dot, ending = entry.name.rpartition(".")
            if name and ending:
                yield name, dot + ending


def _path(kind: Kind, name: str) -> Path:
    """Return the path of a file."""
    return kind.folder / f"{name}{kind.suffix}"
