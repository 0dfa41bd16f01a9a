"""One shard, as the index describes it and as it lies mapped into memory."""

from __future__ import annotations

import math
import mmap
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vocsmooth.errors import DatasetError
from vocsmooth.index import ImageEntry, Index, ShardEntry
from vocsmooth.shard_schema import Layout, Maps, read_layout

_ANNOUNCED_BATCHES = 64


@dataclass(frozen=True, kw_only=True)
class Part:
    """One shard of a split, as the index describes it."""

    entry: ShardEntry
    ids: tuple[str, ...]
    shapes: NDArray[np.int64]
    samples: tuple[int, ...]

    def per_sample(self, values: ArrayLike) -> NDArray[Any]:
        """Repeat what there is one of per image once for each of its samples."""
        return np.repeat(np.asarray(values), self.samples, axis=0)

    def image_starts(self) -> NDArray[np.int64]:
        """Return where each sample's image starts in the maps of the images."""
        return self.per_sample(_starts(self.shapes.prod(axis=1)))

    def sample_starts(self) -> NDArray[np.int64]:
        """Return where each sample starts in the maps of the samples."""
        return _starts(self.per_sample(self.shapes.prod(axis=1)))

    def matches(self, layout: Layout) -> bool:
        """Return whether a shard's own tables say what the index says."""
        counts = np.bincount(layout.sample_image, minlength=len(layout.ids))
        return (
            layout.ids == self.ids
            and np.array_equal(layout.shapes, self.shapes)
            and tuple(counts.tolist()) == self.samples
            and bool((np.diff(layout.sample_image) >= 0).all())
        )


def parts_of(index: Index, split: str) -> list[Part]:
    """Return the shards of one split with their images."""
    images: dict[str, list[ImageEntry]] = {entry.name: [] for entry in index.shards}
    for image in index.images:
        if image.shard not in images:
            raise DatasetError(
                f"The index puts {image.id!r} into an unknown shard {image.shard!r}."
            )
        images[image.shard].append(image)
    return [
        Part(
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
    """Return where each item starts if they follow each other."""
    return np.cumsum(lengths) - lengths


class MappedShard:
    """The maps of one shard as read-only arrays over a mapping of the file.

    Raises
    ------
    DatasetError
        The file is no sound shard, or not the one that `part` describes.
    """

    def __init__(self, path: Path, part: Part, digest: str, maps: Maps) -> None:
        layout = read_layout(path, maps)
        if layout.bytes != part.entry.bytes or layout.digest != digest or not part.matches(layout):
            raise DatasetError(
                f"{path} is a shard, but not the one that the index describes. "
                f"Run `vocsmooth verify` on {path.parent}."
            )
        with path.open("rb") as file:
            self._mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._mapping.madvise(mmap.MADV_RANDOM)  # else each fault reads megabytes around it
        self.layout = layout
        self._path = path
        self.check()
        self.arrays: dict[str, NDArray[Any]] = {
            name: np.ndarray(place.shape, place.dtype, self._mapping, place.offset)
            for name, place in layout.maps.items()
        }

    def check(self) -> None:
        """Raise DatasetError if the file under the mapping has changed its length.

        To touch a mapped page that the file no longer has would kill the process. Shards are only
        ever replaced by renaming, which leaves the mapped file as it was; this is for everything
        else that may happen on a disk.
        """
        length = self._mapping.size()
        if length != self.layout.bytes:
            raise DatasetError(
                f"{self._path} changed its length from {self.layout.bytes} to {length} bytes while "
                "it was in use. Run `vocsmooth verify` on the folder."
            )

    def will_need(self, name: str, first: int, count: int) -> None:
        """Let the system start to read `count` pixels of a map from the disk."""
        place = self.layout.maps[name]
        pixel = place.dtype.itemsize * math.prod(place.shape[1:])
        start = place.offset + first * pixel
        page = start - start % mmap.PAGESIZE
        self._mapping.madvise(mmap.MADV_WILLNEED, page, start + count * pixel - page)


class DiskWatch:
    """Notices whether a process waits for the disk when it touches mapped pages.

    To announce every span before it is touched makes a cold disk nine times as fast, but costs a
    quarter of the speed where all is in memory already. So announce only for some time after a
    batch that had to wait.
    """

    def __init__(self) -> None:
        self._announce = 0

    @contextmanager
    def watched(self) -> Iterator[bool]:
        """Watch the block, which reads a batch; yield whether it should announce its spans."""
        if self._announce:
            self._announce -= 1
            yield True
            return
        before = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
        yield False
        if resource.getrusage(resource.RUSAGE_SELF).ru_majflt > before:
            self._announce = _ANNOUNCED_BATCHES
