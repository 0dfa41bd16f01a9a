"""Reading a dataset at the speed of memory: shards are mapped, images and crops copied out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vocsmooth.errors import DatasetError
from vocsmooth.index import Index, read_index
from vocsmooth.mapped_shard import MappedShard, parts_of
from vocsmooth.shard_schema import Maps, map_dtype

_BASE_MAPS = ("label", "edge", "mask", "input", "texture")
_MAX_OPEN = 256
"""Shards that a process keeps mapped; each takes a file descriptor."""


def open_dataset(root: str | Path) -> Dataset:
    """Open the dataset in the folder `root`.

    Only the index is read and the shards' sizes are compared with it; the shards themselves are
    opened by the process that reads from them, when it first does.

    Raises
    ------
    DatasetError
        The folder holds no complete dataset of this version, or a shard is missing or has another
        size than the index says.
    """
    return Dataset(Path(root), read_index(Path(root)))


class Dataset:
    """A dataset on disk; see `open_dataset`."""

    recipe: dict[str, Any]
    """The resolved recipe that it was made by."""
    negatives: tuple[str, ...]
    """Names of the maps of negatives."""
    splits: tuple[str, ...]
    """Names of the splits; one may be empty."""

    def __init__(self, root: Path, index: Index) -> None:
        for entry in index.shards:
            _check_length(root / entry.name, entry.bytes)
        self.recipe = index.recipe
        self.splits = index.splits
        names = [name for group in index.maps.values() for name in group]
        self.negatives = tuple(name for name in names if name not in _BASE_MAPS)
        self._root = root
        self._index = index

    def split(self, name: str) -> Split:
        """Return the samples of one split; DatasetError names the splits there are."""
        if name not in self.splits:
            raise DatasetError(
                f"{self._root} has no split {name!r}; splits present: {', '.join(self.splits)}."
            )
        return Split(self._root, self._index, name)


class Split:
    """The samples of one split: every photograph times every input made of it.

    May be pickled and used after a fork; each process maps the shards for itself. Results are
    copies, never views of the mapping.
    """

    ids: tuple[str, ...]
    """Photograph id of each sample."""
    shapes: NDArray[np.int64]
    """(N, 2) height and width of each sample."""

    def __init__(self, root: Path, index: Index, name: str) -> None:
        self._root = root
        self._digest = index.digest
        self._maps: Maps = index.maps
        self._group = {name: group for group, names in index.maps.items() for name in names}
        self._parts = parts_of(index, name)
        self._open: dict[int, MappedShard] = {}
        counts = [sum(part.samples) for part in self._parts]
        self._part_of = np.repeat(np.arange(len(self._parts)), counts)
        self.ids = tuple(i for part in self._parts for i in part.per_sample(part.ids).tolist())
        self.shapes = _concatenate([part.per_sample(part.shapes) for part in self._parts], (0, 2))
        self._starts = {
            "images": _concatenate([part.image_starts() for part in self._parts], (0,)),
            "samples": _concatenate([part.sample_starts() for part in self._parts], (0,)),
        }

    def __len__(self) -> int:
        return len(self.ids)

    def __getstate__(self) -> dict[str, Any]:
        # A pickled mapping would carry its data along.
        return {**self.__dict__, "_open": {}}

    def read(self, index: int, maps: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return whole maps of sample `index`, each (H, W) or (H, W, 3).

        Parameters
        ----------
        index : int
            0 .. len - 1.
        maps : sequence of str
            "input", "label" (H, W, 3) uint8, "edge" (0, 1), "mask" (0..20, 255) (H, W) uint8,
            "texture" int16, and negatives by name.

        Raises
        ------
        IndexError, ValueError
            There is no such sample or map.
        DatasetError
            The shard is not what the index says.
        """
        self._check_indices(np.asarray([index]))
        self._check_maps(maps)
        shard = self._shard(int(self._part_of[index]))
        height, width = self.shapes[index].tolist()
        return {name: self._view(shard, name, index, height, width).copy() for name in maps}

    def crop(
        self,
        indices: ArrayLike,
        tops: ArrayLike,
        lefts: ArrayLike,
        size: int,
        maps: Sequence[str],
    ) -> dict[str, NDArray[Any]]:
        """Return one square window per sample, aligned in all maps, as one array per map.

        Parameters
        ----------
        indices, tops, lefts : (B,) int
            Samples and the upper left corners of the windows.
        size : int
            Side of the windows in pixels.
        maps : sequence of str
            As for `read`.

        Returns
        -------
        dict
            (B, size, size) or (B, size, size, 3) by map.

        Raises
        ------
        IndexError, ValueError
            There is no such sample or map, or a window does not lie within its image.
        DatasetError
            A shard is not what the index says.
        """
        chosen, top, left = (np.asarray(a, np.int64) for a in (indices, tops, lefts))
        self._check_indices(chosen)
        self._check_maps(maps)
        self._check_windows(chosen, top, left, size)
        batch = {name: self._empty(name, len(chosen), size) for name in maps}
        corners = zip(chosen.tolist(), top.tolist(), left.tolist(), strict=True)
        sizes, shards = self.shapes[chosen].tolist(), self._part_of[chosen].tolist()
        for row, (i, y, x) in enumerate(corners):
            shard = self._shard(shards[row])
            for name, out in batch.items():
                out[row] = self._view(shard, name, i, *sizes[row])[y : y + size, x : x + size]
        return batch

    def _view(
        self, shard: MappedShard, name: str, index: int, height: int, width: int
    ) -> NDArray[Any]:
        """Return one map of a sample as a view of the mapping."""
        start = self._starts[self._group[name]][index]
        array = shard.arrays[name]
        return array[start : start + height * width].reshape(height, width, *array.shape[1:])

    def _empty(self, name: str, count: int, size: int) -> NDArray[Any]:
        """Return an array for `count` windows of a map."""
        channels = self._maps[self._group[name]][name]
        tail = (channels,) if channels > 1 else ()
        return np.empty((count, size, size, *tail), map_dtype(name))

    def _shard(self, number: int) -> MappedShard:
        """Return a mapped shard whose file is known to be whole at this moment."""
        shard = self._open.get(number)
        if shard is None:
            part = self._parts[number]
            shard = MappedShard(self._root / part.entry.name, part, self._digest, self._maps)
            if len(self._open) >= _MAX_OPEN:
                self._open.pop(next(iter(self._open)))
            self._open[number] = shard
        shard.check()
        return shard

    def _check_indices(self, indices: NDArray[np.int64]) -> None:
        """Refuse samples that do not exist."""
        if indices.size and not 0 <= indices.min() <= indices.max() < len(self):
            raise IndexError(f"sample {indices.min()}..{indices.max()} of {len(self)}")

    def _check_maps(self, maps: Sequence[str]) -> None:
        """Refuse maps that the dataset does not have."""
        for name in maps:
            if name not in self._group:
                raise ValueError(f"no map {name!r}; this dataset has {', '.join(self._group)}")

    def _check_windows(
        self,
        indices: NDArray[np.int64],
        tops: NDArray[np.int64],
        lefts: NDArray[np.int64],
        size: int,
    ) -> None:
        """Refuse windows that reach beyond their image."""
        corner = np.stack([tops, lefts], axis=-1)
        shapes = self.shapes[indices]
        outside = ((corner < 0) | (corner + size > shapes)).any(axis=-1)
        if size < 1 or outside.any():
            row = int(outside.argmax())
            height, width = shapes[row] if len(shapes) else (0, 0)
            raise ValueError(
                f"a window of {size} pixels at row {tops[row]}, column {lefts[row]} does not lie "
                f"within {self.ids[indices[row]]!r} of {height} x {width} pixels; "
                "take smaller windows or leave out smaller images"
            )


def _concatenate(arrays: list[NDArray[Any]], empty: tuple[int, ...]) -> NDArray[Any]:
    """Join arrays along the first axis; none at all give an empty int64 array."""
    return np.concatenate(arrays) if arrays else np.empty(empty, np.int64)


def _check_length(path: Path, expected: int) -> None:
    """Raise DatasetError unless the file is there with the length that the index gives."""
    try:
        length = path.stat().st_size
    except OSError as error:
        raise DatasetError(f"The shard {path} cannot be read: {error.strerror}.") from None
    if length != expected:
        raise DatasetError(
            f"{path} has {length} bytes, but the index says {expected}. "
            f"Run `vocsmooth verify` on {path.parent}."
        )
