"""What the index says about each shard: its file, and the photographs and samples in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vocsmooth.errors import DatasetError
from vocsmooth.shards.entries import ImageEntry, Index, ShardEntry
from vocsmooth.shards.schema import Layout


@dataclass(frozen=True, kw_only=True)
class IndexedShard:
    """One shard, as the index describes it."""

    entry: ShardEntry
    """Its file: name, length, SHA-256."""
    ids: tuple[str, ...]
    """Ids of its photographs, in order."""
    shapes: NDArray[np.int64]
    """(N, 2) height and width of each photograph."""
    samples: tuple[int, ...]
    """How many samples each photograph has."""

    def per_sample(self, values: ArrayLike) -> NDArray[Any]:
        """Turn one value per photograph into one per sample, by repeating it."""
        return np.repeat(np.asarray(values), self.samples, axis=0)

    def image_starts(self) -> NDArray[np.int64]:
        """Return where the photograph of each sample starts in the maps of /images."""
        return self.per_sample(_starts(self.shapes.prod(axis=1)))

    def sample_starts(self) -> NDArray[np.int64]:
        """Return where each sample starts in the maps of /samples."""
        return _starts(self.per_sample(self.shapes.prod(axis=1)))

    def pixels(self) -> dict[str, int]:
        """Return how many pixels each map of a group holds."""
        each = self.shapes.prod(axis=1)
        return {"images": int(each.sum()), "samples": int(self.per_sample(each).sum())}

    def matches(self, layout: Layout) -> bool:
        """Return whether the tables in the shard's file agree with the index."""
        counts = np.bincount(layout.sample_image, minlength=len(layout.ids))
        return (
            layout.ids == self.ids
            and np.array_equal(layout.shapes, self.shapes)
            and tuple(counts.tolist()) == self.samples
            and bool((np.diff(layout.sample_image) >= 0).all())
        )


def shards_of(index: Index, split: str) -> list[IndexedShard]:
    """Return the shards of one split; DatasetError if a photograph lies in an unknown shard."""
    images: dict[str, list[ImageEntry]] = {entry.name: [] for entry in index.shards}
    for image in index.images:
        if image.shard not in images:
            raise DatasetError(
                f"The index puts {image.id!r} into an unknown shard {image.shard!r}."
            )
        images[image.shard].append(image)
    return [
        IndexedShard(
            entry=entry,
            ids=tuple(image.id for image in images[entry.name]),
            shapes=np.array(
                [(image.height, image.width) for image in images[entry.name]], np.int64
            ).reshape(-1, 2),
            samples=tuple(image.samples for image in images[entry.name]),
        )
        for entry in index.shards
        if entry.split == split
    ]


def _starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each item starts if items of these lengths follow each other."""
    return np.cumsum(lengths) - lengths
