"""Where the samples of a split lie: arithmetic on the index's columns, no object for each of them.

The samples of a photograph follow each other, as the photographs of a shard do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vocsmooth.shards.entries import Index
from vocsmooth.shards.table import starts

_NO_SIDE = 2**31
"""More pixels than a side of an image can have."""

_ROW = np.dtype(
    {
        "names": ["images", "samples", "shape", "shard"],
        "formats": [np.int64, np.int64, (np.int32, 2), np.int32],
        "itemsize": 32,
    }
)
"""What a window needs of its photograph: the first pixels of its maps in its shard, by group, its
height and width, and its shard. Half a line of the cache, where a column for each would be a line
for each: among many photographs, to wait for these costs more than to copy a small window."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where some samples lie."""

    photographs: NDArray[np.int64]
    """(B,) number of the photograph of each, in the split."""
    shards: NDArray[np.int64]
    """(B,) number of the shard of each, in the index."""
    shapes: NDArray[np.int64]
    """(B, 2) height and width of each."""
    starts: dict[str, NDArray[np.int64]]
    """(B,) by group, the first pixel of each in the maps of its shard."""


class Photographs:
    """The photographs of the shards with these numbers, and their samples.

    Parameters
    ----------
    index : Index
        Of the dataset.
    shards : range
        Numbers of shards in the index.
    """

    def __init__(self, index: Index, shards: range) -> None:
        columns = index.columns
        firsts = columns.first_image[shards.start : shards.stop + 1]
        rows = slice(int(firsts[0]), int(firsts[-1]))
        self.ids = columns.ids[rows]
        self.shapes = columns.shapes[rows]
        self.samples = columns.samples[rows]
        self.first_sample = starts(self.samples)
        self.count = int(self.first_sample[-1])
        self._rows = _make_rows(self.shapes, self.samples, firsts - firsts[0], shards)

    def locate(self, samples: NDArray[np.int64]) -> Places:
        """Return where samples lie; IndexError if one of them does not exist."""
        if samples.size and not 0 <= samples.min() <= samples.max() < self.count:
            raise IndexError(
                f"samples {samples.min()}..{samples.max()} requested of {self.count} samples"
            )
        photographs = self.owners(samples)
        rows = self._rows.take(photographs)
        shapes = rows["shape"].astype(np.int64)
        place_in_photograph = samples - self.first_sample[photographs]
        return Places(
            photographs=photographs,
            shards=rows["shard"].astype(np.int64),
            shapes=shapes,
            starts={
                "images": rows["images"].copy(),
                "samples": rows["samples"] + place_in_photograph * shapes[:, 0] * shapes[:, 1],
            },
        )

    def check_windows(
        self,
        place: Places,
        tops: NDArray[np.int64],
        lefts: NDArray[np.int64],
        size: int,
    ) -> None:
        """Raise ValueError if a window of `size` pixels reaches beyond its image."""
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        corner = np.stack([tops, lefts], axis=-1)
        # The sum of corner and size might overflow; this difference cannot.
        last = place.shapes - min(size, _NO_SIDE)
        outside = ((corner < 0) | (corner > last)).any(axis=-1)
        if outside.any():
            row = int(outside.argmax())
            height, width = place.shapes[row]
            name = bytes(self.ids[place.photographs[row]]).decode()
            raise ValueError(
                f"a window of {size} pixels at row {tops[row]}, column {lefts[row]} does not lie "
                f"within {name!r} of {height} x {width} pixels; "
                "take smaller windows or leave out smaller images"
            )

    def owners(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of each sample's photograph."""
        return np.searchsorted(self.first_sample, samples, "right") - 1

    def samples_of(self, photograph: str) -> range | None:
        """Return the samples of the photograph with this id, or None if there is none."""
        found = np.flatnonzero(self.ids == photograph.encode())
        if not found.size:
            return None
        return range(*self.first_sample[[found[0], found[0] + 1]].tolist())


def _make_rows(
    shapes: NDArray[np.int32],
    samples: NDArray[np.int32],
    first_image: NDArray[np.int64],
    shards: range,
) -> NDArray[np.void]:
    """Return the row of each photograph; `first_image` is (S + 1,), those of its shards."""
    rows = np.zeros(len(shapes), _ROW)
    counts = np.diff(first_image)
    firsts = np.repeat(first_image[:-1], counts)
    lengths = shapes.prod(axis=1, dtype=np.int64)
    for name, factor in {"images": 1, "samples": samples}.items():
        lengths *= factor
        np.cumsum(lengths[:-1], out=rows[name][1:])
        rows[name] -= rows[name][firsts]
    rows["shape"] = shapes
    rows["shard"] = np.repeat(np.arange(shards.start, shards.stop, dtype=np.int32), counts)
    return rows


class SampleIds(Sequence[str]):
    """The photograph's id of each sample, decoded when it is asked for."""

    def __init__(self, photographs: Photographs) -> None:
        self._photographs = photographs

    def __len__(self) -> int:
        return self._photographs.count

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        owner = self._photographs.owners(np.array(range(len(self))[index]))
        return bytes(self._photographs.ids[owner]).decode()

    def __iter__(self) -> Iterator[str]:
        counts: list[int] = self._photographs.samples.tolist()
        for name, count in zip(self._photographs.ids, counts, strict=True):
            yield from (name.decode(),) * count

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"<ids of {len(self)} samples>"


def as_integers(**values: ArrayLike) -> list[NDArray[np.int64]]:
    """Return arrays (B,) of whole numbers of one length; ValueError says which one is not."""
    arrays = []
    for name, value in values.items():
        array = np.asarray(value)
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise ValueError(
                f"{name} must be whole numbers (B,), got {array.dtype} of shape {array.shape}"
            )
        arrays.append(array.astype(np.int64, copy=False))
    lengths = {name: len(array) for name, array in zip(values, arrays, strict=True)}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"indices, tops and lefts must be of one length, got {lengths}")
    return arrays
