"""What the index says about each shard: its file, and the photographs and samples in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vocsmooth.shards.entries import Index, ShardEntry
from vocsmooth.shards.schema import Layout


@dataclass(frozen=True, kw_only=True)
class IndexedShard:
    """One shard, as the index describes it."""

    entry: ShardEntry
    """Its file: name, length, SHA-256."""
    first_image: int
    """Number of its first photograph in the dataset."""
    raw_ids: NDArray[np.bytes_]
    """(N,) ids of its photographs, in order, in UTF-8."""
    shapes: NDArray[np.int64]
    """(N, 2) height and width of each photograph."""
    samples: NDArray[np.int64]
    """(N,) how many samples each photograph has."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of its photographs, in order."""
        return tuple(name.decode() for name in self.raw_ids.tolist())

    def rows(self) -> list[tuple[str, int, int, int]]:
        """Return id, height, width and number of samples of each photograph."""
        heights, widths = self.shapes.T.tolist()
        return list(zip(self.ids, heights, widths, self.samples.tolist(), strict=True))

    def pixels(self) -> dict[str, int]:
        """Return how many pixels each map of a group holds."""
        each = self.shapes.prod(axis=1)
        return {"images": int(each.sum()), "samples": int((each * self.samples).sum())}

    def matches(self, layout: Layout) -> bool:
        """Return whether the tables in the shard's file agree with the index."""
        counts = np.bincount(layout.sample_image, minlength=len(layout.ids))
        return (
            layout.ids == self.ids
            and np.array_equal(layout.shapes, self.shapes)
            and np.array_equal(counts, self.samples)
            and bool((np.diff(layout.sample_image) >= 0).all())
        )


def list_shard(index: Index, number: int) -> IndexedShard:
    """Return one shard, by its number in the index."""
    columns = index.columns
    rows = slice(*columns.first_image[[number, number + 1]].tolist())
    return IndexedShard(
        entry=index.shard(number),
        first_image=rows.start,
        raw_ids=columns.ids[rows],
        shapes=columns.shapes[rows].astype(np.int64),
        samples=columns.samples[rows].astype(np.int64),
    )


def numbers_of(index: Index, split: str) -> range:
    """Return the numbers of a split's shards, which follow each other in the index."""
    place = index.splits.index(split)
    first, stop = np.searchsorted(index.columns.split, [place, place + 1]).tolist()
    return range(first, stop)
