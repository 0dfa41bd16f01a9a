"""Go through a whole dataset shard by shard, in worker processes: every map of every photograph."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vocsmooth.errors import DatasetError
from vocsmooth.shards.entries import ImageEntry, Index, Record, ShardEntry
from vocsmooth.shards.index import read_record, sidecar_path
from vocsmooth.shards.listing import IndexedShard, list_shard
from vocsmooth.shards.schema import Layout, Maps, read_layout
from vocsmooth.shards.writer import recipe_text
from vocsmooth.workers.processes import WorkerDied, available_cores, run_tasks, sigterm_interrupts

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class ShardScan:
    """A shard to read from end to end, with all that the index says about it; small, picklable."""

    root: Path
    """Folder of the dataset."""
    indexed: IndexedShard
    digest: str
    """Digest of the plan, as the shard must hold it."""
    recipe: str
    """The recipe as JSON, as the shard must hold it."""
    maps: Maps
    """The maps that it must hold."""
    sidecar_sha256: str
    """SHA-256 of the sidecar, hexadecimal; empty if not known (index version 1)."""

    @property
    def entry(self) -> ShardEntry:
        """What the index says about the shard's file."""
        return self.indexed.entry

    @property
    def path(self) -> Path:
        """The shard's file."""
        return self.root / self.entry.name

    def read_record(self) -> Record:
        """Read the sidecar; DatasetError if it is not the one that the index describes."""
        record = read_record(sidecar_path(self.path))
        if self.sidecar_sha256 not in ("", record.sha256):
            raise DatasetError(
                f"{sidecar_path(self.path)} is not the file that the index describes. "
                f"Run `vocsmooth verify` on {self.root}."
            )
        return record

    def read_images(self) -> tuple[ImageEntry, ...]:
        """Return the photographs with their provenance, from the sidecar; see `read_record`."""
        images = self.read_record().sidecar.images
        found = [(image.id, image.height, image.width, image.samples) for image in images]
        if found != self.indexed.rows():
            raise DatasetError(
                f"{sidecar_path(self.path)} lists other photographs than the index. "
                f"Run `vocsmooth verify` on {self.root}."
            )
        return images

    def read(self) -> Iterator[tuple[ImageEntry, dict[str, NDArray[Any]]]]:
        """Read the file and yield every photograph with its maps.

        Yields
        ------
        ImageEntry
            What the sidecar says about the photograph.
        dict
            By name, the maps of the photograph, (H, W) or (H, W, 3), and those of its K inputs,
            (K, H, W) or (K, H, W, 3); read-only.

        Raises
        ------
        DatasetError
            The shard or its sidecar is missing, damaged, or not the one that the index describes.
        """
        layout, data = self._load()
        first = 0
        for number, image in enumerate(self.read_images()):
            stop = first + image.samples
            spans = {
                "images": slice(*layout.image_start[[number, number + 1]]),
                "samples": slice(*layout.sample_start[[first, stop]]),
            }
            heads: dict[str, tuple[int, ...]] = {"images": (), "samples": (image.samples,)}
            yield (
                image,
                {
                    name: self._map(layout, data, name)[spans[group]].reshape(
                        *heads[group],
                        image.height,
                        image.width,
                        *((channels,) if channels > 1 else ()),
                    )
                    for group, names in self.maps.items()
                    for name, channels in names.items()
                },
            )
            first = stop

    def _load(self) -> tuple[Layout, bytes]:
        """Read the file, and check its tables against the index."""
        layout = read_layout(self.path, self.maps)
        data = self.path.read_bytes()
        lengths = {len(data), layout.bytes, self.entry.bytes}
        if len(lengths) > 1 or layout.digest != self.digest or not self.indexed.matches(layout):
            raise DatasetError(
                f"{self.path} is not the shard that the index describes. "
                f"Run `vocsmooth verify` on {self.root}."
            )
        return layout, data

    def _map(self, layout: Layout, data: bytes, name: str) -> NDArray[Any]:
        """Return one map, all photographs in a row, as a view of the file's bytes."""
        place = layout.maps[name]
        count = int(np.prod(place.shape))
        return np.frombuffer(data, place.dtype, count, place.offset).reshape(place.shape)


def list_shards(root: Path, index: Index) -> list[ShardScan]:
    """Return the shards of a dataset, split by split in the order of the index."""
    recipe = recipe_text(index.recipe)
    return [
        ShardScan(
            root=root,
            indexed=list_shard(index, number),
            digest=index.digest,
            recipe=recipe,
            maps=index.maps,
            sidecar_sha256=index.sidecar_sha256(number),
        )
        for number in range(len(index.columns.split))
    ]


def run_on_shards(
    function: Callable[[ShardScan], Result],
    shards: Sequence[ShardScan],
    *,
    jobs: int | None,
    progress: Callable[[int, int], None],
) -> Generator[tuple[ShardScan, Result], None, None]:
    """Run `function` on every shard in worker processes; yield each result as it comes.

    Parameters
    ----------
    function : callable
        Must be picklable; what it raises is raised here.
    shards : sequence of ShardScan
        From `list_shards`.
    jobs : int or None
        Number of worker processes; None means one per core.
    progress : callable
        Called with the number of finished shards and that of all shards.

    Raises
    ------
    DatasetError
        A shard kills the process that reads it.
    """
    progress(0, len(shards))
    tasks = run_tasks(function, shards, jobs or available_cores())
    with sigterm_interrupts(), closing(tasks) as results:
        for done, (shard, result) in enumerate(results, 1):
            if isinstance(result, WorkerDied):
                raise DatasetError(
                    f"{shard.path} kills the process that reads it. "
                    f"Run `vocsmooth verify` on {shard.root}."
                )
            yield shard, result
            progress(done, len(shards))
