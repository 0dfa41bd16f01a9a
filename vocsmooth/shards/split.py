"""Read the samples of a split at the speed of memory: map its shards and copy pixels out.

Shards behind a URL have the same face, see `vocsmooth.shards.remote`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vocsmooth.shards.disk import DiskWatch
from vocsmooth.shards.listing import numbers_of
from vocsmooth.shards.mapped import MappedShard
from vocsmooth.shards.photographs import Photographs, Places, SampleIds, as_integers
from vocsmooth.shards.schema import Maps, map_dtype
from vocsmooth.shards.windows import MappedShards

if TYPE_CHECKING:
    from vocsmooth.shards.reader import Dataset
    from vocsmooth.shards.remote import RemoteShard, RemoteShards

_LINE = 64
"""Bytes of a cache line, to which the arrays of a batch are aligned."""


class Split:
    """The samples of one split, a sequence: one for each input of each photograph.

    ``split[i]`` and iteration give all maps of a sample, as `torch.utils.data.DataLoader` wants
    them; `read` gives chosen maps, and `crop` windows of many samples at once, which is the fastest
    way to train. A split may be pickled and used after a fork; each process maps the shards for
    itself. Results are copies, never views of the mapping.

    Examples
    --------
    With a dataset of one photograph of 16 x 12 pixels in the folder "voc-smooth":

    >>> from vocsmooth.shards import open_dataset
    >>> split = open_dataset("voc-smooth").split("train")
    >>> batch = split.crop([0, 1], [4, 0], [0, 8], 8, ["input", "edge"])
    >>> list(split.ids)
    ['a', 'a', 'a', 'a']
    >>> split.samples_of("a")
    range(0, 4)
    >>> {name: crops.shape for name, crops in batch.items()}
    {'input': (2, 8, 8, 3), 'edge': (2, 8, 8)}
    """

    ids: SampleIds
    """Photograph id of each sample; the samples of a photograph follow each other."""
    shard_sizes: NDArray[np.int64]
    """(S,) samples of each shard, for `SampleOrder`; samples are numbered shard by shard."""

    def __init__(self, dataset: Dataset, name: str) -> None:
        index, root = dataset.index, dataset.root
        self._dataset, self._name = dataset, name
        self._maps: Maps = index.maps
        self._group = {name: group for group, names in index.maps.items() for name in names}
        self._shards = numbers_of(index, name)
        self._open: MappedShards | RemoteShards = (
            MappedShards(root, index, self._shards)
            if isinstance(root, Path)
            else root.open_shards(index)
        )
        self._disk = DiskWatch(always=not isinstance(root, Path))
        self._photographs = Photographs(index, self._shards)
        self.ids = SampleIds(self._photographs)
        shards = slice(self._shards.start, self._shards.stop)
        self.shard_sizes = index.columns.shard_samples[shards]

    @cached_property
    def shapes(self) -> NDArray[np.int64]:
        """(N, 2) height and width of each sample."""
        shapes = self._photographs.shapes.astype(np.int64)
        return np.repeat(shapes, self._photographs.samples, axis=0)

    def __len__(self) -> int:
        return self._photographs.count

    def __getitem__(self, index: SupportsIndex) -> dict[str, NDArray[Any]]:
        """Return all maps of one sample, see `read`; negative indices count from the end.

        Raises
        ------
        TypeError
            `index` is not an integer; a slice is none either.
        IndexError
            There is no such sample.
        """
        try:
            number = operator.index(index)
        except TypeError:
            raise TypeError(
                f"a split gives one sample at a time, by an integer, got {index!r}; "
                "for windows of many samples use crop"
            ) from None
        if not -len(self) <= number < len(self):
            raise IndexError(f"sample {number} requested of {len(self)} samples")
        return self.read(number % len(self), tuple(self._group))

    def __iter__(self) -> Iterator[dict[str, NDArray[Any]]]:
        return (self[number] for number in range(len(self)))

    def __repr__(self) -> str:
        return f"<Split {self._name!r} of {self._dataset.root}: {len(self)} samples>"

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickled mapping would carry its data along, and a pickled table its megabytes.
        return Split, (self._dataset, self._name)

    def will_need(self, shard: int, maps: Sequence[str]) -> None:
        """Tell the system to read maps of a whole shard from the disk, without waiting for them.

        Nothing happens for a shard behind a URL: there is no place to keep it.
        """
        self._check_maps(maps)
        found = self._open.current(self._shards[shard])
        if isinstance(found, MappedShard):
            for name in maps:
                found.will_need(name, 0, len(found.arrays[name]))

    def samples_of(self, photograph: str) -> range:
        """Return the samples of the photograph with this id; ValueError if the split lacks it."""
        found = self._photographs.samples_of(photograph)
        if found is None:
            count = len(self._photographs.ids)
            raise ValueError(f"no photograph {photograph!r} among the {count} of this split")
        return found

    def read(self, index: int, maps: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return complete maps of one sample, each (H, W) or (H, W, 3).

        Parameters
        ----------
        index : int
            The sample: 0 to len(self) - 1.
        maps : sequence of str
            "input" and "label", (H, W, 3) uint8; "edge" (0 or 1) and "mask" (0..20 or 255),
            (H, W) uint8; "texture", int16; and the negatives by name, (H, W, 3) uint8.

        Raises
        ------
        IndexError, ValueError
            The sample or a map does not exist.
        DatasetError
            The shard is not the one that the index describes.
        """
        self._check_maps(maps)
        place = self._photographs.locate(np.array([index]))
        height, width = place.shapes[0].tolist()
        result = {
            name: np.empty((1, height, width, *self._tail(name)), map_dtype(name)) for name in maps
        }
        corner = np.zeros(1, np.int64)
        self._fill(result, place, corner, corner)
        return {name: pixels[0] for name, pixels in result.items()}

    def crop(
        self,
        indices: ArrayLike,
        tops: ArrayLike,
        lefts: ArrayLike,
        size: int,
        maps: Sequence[str],
    ) -> dict[str, NDArray[Any]]:
        """Return one square window of each sample, the same in all maps, as one array per map.

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
            (B, size, size) or (B, size, size, 3) by map; the arrays share one block of memory.

        Raises
        ------
        IndexError, ValueError
            A sample or map does not exist, a window reaches beyond its image, or samples and
            corners are not whole numbers, one of each for a window.
        DatasetError
            A shard is not the one that the index describes.
        """
        chosen, top, left = as_integers(indices=indices, tops=tops, lefts=lefts)
        self._check_maps(maps)
        place = self._photographs.locate(chosen)
        self._photographs.check_windows(place, top, left, size)
        batch = self._allocate(maps, len(chosen), size)
        self._fill(batch, place, top, left)
        return batch

    def _fill(
        self,
        batch: Mapping[str, NDArray[Any]],
        place: Places,
        tops: NDArray[np.int64],
        lefts: NDArray[np.int64],
    ) -> None:
        """Fill the windows of a batch, (B, H, W) or (B, H, W, 3) by map."""
        with self._disk.watched() as cold:
            bands = None
            if cold:
                bands = self._bands(place, tops)
                for name, windows in batch.items():
                    rows = windows.shape[1]
                    for shard, first, width in bands[self._group[name]]:
                        shard.will_need(name, first, rows * width)
            if isinstance(self._open, MappedShards) and self._open.fill_windows(
                place, tops, lefts, batch, self._group, cold=cold
            ):
                return
            bands = bands or self._bands(place, tops)
            for name, windows in batch.items():
                rows, columns, *tail = windows.shape[1:]
                for i, (shard, first, width) in enumerate(bands[self._group[name]]):
                    band = shard.arrays[name][first : first + rows * width]
                    x = int(lefts[i])
                    windows[i] = band.reshape(rows, width, *tail)[:, x : x + columns]

    def _bands(
        self, place: Places, tops: NDArray[np.int64]
    ) -> dict[str, list[tuple[MappedShard | RemoteShard, int, int]]]:
        """Return, by group, the band of rows of each window: shard, first pixel, width."""
        widths = place.shapes[:, 1]
        shards = [self._open.current(number) for number in place.shards.tolist()]
        return {
            group: list(
                zip(shards, (starts + tops * widths).tolist(), widths.tolist(), strict=True)
            )
            for group, starts in place.starts.items()
        }

    def _allocate(self, maps: Sequence[str], count: int, size: int) -> dict[str, NDArray[Any]]:
        """Return arrays for a batch of windows, all in one block of memory.

        Of several blocks, the C library would return some to the system after every batch, and to
        allocate them again costs as much as the copying.
        """
        shapes = {name: (count, size, size, *self._tail(name)) for name in maps}
        sizes = [math.prod(shape) * map_dtype(name).itemsize for name, shape in shapes.items()]
        ends = np.cumsum([-(-length // _LINE) * _LINE for length in sizes]).tolist()
        block = np.empty(ends[-1] if ends else 0, np.uint8)
        return {
            name: np.ndarray(shape, map_dtype(name), block, offset)
            for (name, shape), offset in zip(shapes.items(), [0, *ends], strict=False)
        }

    def _tail(self, name: str) -> tuple[int, ...]:
        """Return the shape of one pixel of a map."""
        channels = self._maps[self._group[name]][name]
        return (channels,) if channels > 1 else ()

    def _check_maps(self, maps: Sequence[str]) -> None:
        """Refuse maps that the dataset does not have."""
        for name in maps:
            if name not in self._group:
                raise ValueError(
                    f"no map {name!r}; the maps of this dataset are {', '.join(self._group)}"
                )
