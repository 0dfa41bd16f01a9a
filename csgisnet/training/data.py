"""Training batches as a pure function of the step.

Samples come in epochs, each with its own permutation, one after the other without a gap: a batch
may begin in one epoch and end in the next. So every batch is full, and all processes of a
distributed run take the same number of steps, whatever the number of samples.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from csgisnet.errors import ConfigError
from csgisnet.objective.losses import Batch
from csgisnet.training.augment import (
    AugmentConfig,
    Views,
    change_textures,
    draw_views,
    pack_changes,
    recolour,
    sample_keys,
    unpack_changes,
)
from csgisnet.training.cut import cut_views
from csgisnet.training.spoil import add_noise, compress, draw_noise
from vocsmooth.classes import VOID
from vocsmooth.errors import DatasetError
from vocsmooth.settings import nearest
from vocsmooth.shards import Dataset, SampleOrder, Split
from vocsmooth.shards.fetching import ShardFetcher


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What a batch holds."""

    patch: int = 128
    """Side of a patch in pixels."""
    batch_size: int = 8
    """Patches a batch, over all processes of a distributed run."""
    negatives: tuple[str, ...] = ("over", "under", "input")
    """Negatives of each patch; "input" is the patch itself, unsmoothed."""
    level_passes: int = 0
    """For a network with a level: how often the simplifier smooths a label to make that of level 1,
    see `csgisnet.training.levels`. With 0 the network learns at its own level only."""
    one_pass_level: float = 0.0
    """Level, below 1, whose label is what the simplifier makes of the exact one in one pass at full
    resolution. Labels of lower levels are blends with the exact label, those of higher levels with
    that of level 1. With 0 there is no such level, and all are blends of these two."""
    photographs: int = 0
    """How many of the patches of a batch are of photographs without an exact label, which teach
    the levels above 0, see `csgisnet.training.photographs`."""
    shuffle_buffer: int = 0
    """Number of shards that samples are drawn from at a time, for cold or remote disks, see
    `vocsmooth.shards.SampleOrder`; 0 draws from all."""

    def __post_init__(self) -> None:
        for name in ("patch", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        for name in ("level_passes", "photographs", "shuffle_buffer"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}.")
        if not 0 <= self.one_pass_level < 1:
            raise ValueError(f"one_pass_level must be in [0, 1), got {self.one_pass_level}.")
        if self.one_pass_level and not self.level_passes:
            raise ValueError("one_pass_level needs level_passes of at least 1.")
        if self.photographs >= self.batch_size:
            raise ValueError(
                f"photographs must be less than batch_size {self.batch_size}, got "
                f"{self.photographs}."
            )
        if not self.negatives:
            raise ValueError("negatives must name at least one.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Windows:
    """Windows of maps as read from the shards, and what to do to their pixels."""

    maps: dict[str, Tensor]
    """Windows (B, S, S[, 3]) by name, uint8."""
    changes: Tensor
    """What the views do to pixels, from `pack_changes`."""
    noise: Tensor | None = None
    """Noise for the inputs (B, 3, P, P) with a standard deviation of 1, if they get any."""


class BatchSource:
    """The batches of one process.

    Parameters
    ----------
    dataset : Dataset
        From `vocsmooth.shards.open_dataset`.
    data, augment : DataConfig, AugmentConfig
        What a batch holds, and how its views vary.
    seed : int
        Decides the order of samples and their views.
    device : torch.device
        Where views are cut and batches are returned.
    rank, world : int
        Number of this process and of all; each takes an equal share of every batch.
    split : str
        The split of the dataset that batches come from.

    Raises
    ------
    ConfigError
        The dataset lacks a negative, or the batch does not divide among the processes.
    DatasetError
        The split is empty.
    UnknownNameError
        The dataset has no such split.
    """

    def __init__(
        self,
        dataset: Dataset,
        data: DataConfig,
        augment: AugmentConfig,
        *,
        seed: int,
        device: torch.device,
        rank: int = 0,
        world: int = 1,
        split: str = "train",
    ) -> None:
        legal = {"input", *dataset.negatives}
        for name in data.negatives:
            if name not in legal:
                raise ConfigError(f"data.negatives: no negative {name!r}.{nearest(name, legal)}")
        if data.batch_size % world:
            raise ConfigError(
                f"data.batch_size {data.batch_size} does not divide among {world} processes."
            )
        self._split, self._data, self._augment = filled(dataset, split), data, augment
        self._order = SampleOrder(self._split.shard_sizes, seed=seed, buffer=data.shuffle_buffer)
        self._seed, self._device = seed, device
        self._rank, self._world = rank, world
        self._images = tuple(dict.fromkeys(("input", "label", *data.negatives)))
        self._names = (*self._images, "edge", "mask")
        of_input = {n["name"] for n in dataset.recipe["negatives"] if n["of"] == "input"}
        self._textured = [n for n in self._images if n in {"input", *of_input}]
        buffer = data.shuffle_buffer
        self._fetcher = ShardFetcher(self._split, self._names, buffer) if buffer else None

    def batches(self, start: int, stop: int) -> Generator[Batch, None, None]:
        """Yield batches `start` to `stop` - 1; the next one is read while one is in use."""
        with contextlib.closing(_ahead(self, start, stop)) as windows:
            for item in windows:
                yield self.assemble(item)

    def read(self, number: int) -> Windows:
        """Read what this process needs for batch `number`."""
        share = self._data.batch_size // self._world
        first = number * self._data.batch_size + self._rank * share
        epochs, indices = self._order.stream(first, first + share)
        if self._fetcher is not None:
            self._fetcher.fetch(indices)
        keys = sample_keys(self._seed, epochs, indices)
        views = draw_views(self._augment, self._data.patch, keys, self._split.shapes[indices])
        side = self._augment.window(self._data.patch)
        maps = read_windows(self._split, indices, views, side, self._names)
        tensors = {name: torch.from_numpy(pixels) for name, pixels in maps.items()}
        changes = pack_changes(views)
        noise = draw_noise(keys, self._data.patch) if self._augment.noise else None
        if self._device.type == "cuda":  # copies from pinned memory need no waiting for
            tensors = {name: pixels.pin_memory() for name, pixels in tensors.items()}
            changes = changes.pin_memory()
            noise = None if noise is None else noise.pin_memory()
        return Windows(maps=tensors, changes=changes, noise=noise)

    def assemble(self, windows: Windows) -> Batch:
        """Cut the views and scale them to [0, 1], on the device."""
        maps = {n: m.to(self._device, non_blocking=True) for n, m in windows.maps.items()}
        changes = unpack_changes(windows.changes.to(self._device, non_blocking=True))
        maps = cut_views(maps, changes, self._augment, self._data.patch)
        # (B, M, H, W, 3) viewed as (B, M, 3, H, W) is channels_last in memory.
        stack = torch.stack([maps[name] for name in self._images], dim=1)
        stack = stack.to(torch.float32, copy=True).div_(255).permute(0, 1, 4, 2, 3)
        if self._augment.recolours:
            stack = recolour(stack, changes)
        images = dict(zip(self._images, stack.unbind(1), strict=True))
        if self._augment.changes_textures:
            textured = torch.stack([images[name] for name in self._textured], dim=1)
            changed = change_textures(textured, images["label"], changes)
            images |= zip(self._textured, changed.unbind(1), strict=True)
        if windows.noise is not None:
            noise = windows.noise.to(self._device, non_blocking=True)
            images["input"] = add_noise(images["input"], noise, changes.deviations)
        if self._augment.jpeg:
            images["input"] = compress(images["input"], changes.qualities)
        return Batch(
            input=images["input"],
            label=images["label"],
            edge=maps["edge"][:, None].float(),
            mask=maps["mask"].long(),
            negatives=torch.stack([images[name] for name in self._data.negatives], dim=1),
            level=changes.levels,
        )


def filled(dataset: Dataset, name: str) -> Split:
    """Return a split that has samples; DatasetError if it has none."""
    split = dataset.split(name)
    if len(split) == 0:
        raise DatasetError(f"The split {name!r} is empty. Build the dataset with both splits.")
    return split


def read_windows(
    split: Split, indices: NDArray[np.int64], views: Views, side: int, names: tuple[str, ...]
) -> Mapping[str, NDArray[np.uint8]]:
    """Read windows of `side` pixels; mirror smaller maps to fill them, and fill masks with void."""
    large = (split.shapes[indices] >= side).all(axis=1)
    if large.all():
        return split.crop(indices, views.tops, views.lefts, side, names)
    windows: dict[str, NDArray[np.uint8]] = {}
    for place in np.flatnonzero(~large):
        corner = (int(views.tops[place]), int(views.lefts[place]))
        maps = split.read(int(indices[place]), names)
        for name, pixels in maps.items():
            window = _reflected(pixels, corner, side, void=name == "mask")
            if name not in windows:
                windows[name] = np.empty((len(indices), *window.shape), window.dtype)
            windows[name][place] = window
    if large.any():
        crops = split.crop(indices[large], views.tops[large], views.lefts[large], side, names)
        for name, crop in crops.items():
            windows[name][large] = crop
    return windows


def _ahead(source: BatchSource, start: int, stop: int) -> Generator[Windows, None, None]:
    """Yield the windows that `source` reads, while a thread reads one batch ahead."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(source.read, start)
        for number in range(start + 1, stop + 1):
            windows = waiting.result()
            if number < stop:
                waiting = pool.submit(source.read, number)
            yield windows


def _reflected(
    pixels: NDArray[np.uint8], corner: tuple[int, int], side: int, *, void: bool
) -> NDArray[np.uint8]:
    """Cut a window at `corner` out of a map, padded at the bottom and right."""
    top, left = corner
    inside = pixels[top : top + side, left : left + side]
    missing = [(0, side - inside.shape[0]), (0, side - inside.shape[1]), (0, 0)][: inside.ndim]
    if void:
        return np.pad(inside, missing, constant_values=VOID)
    return np.pad(inside, missing, mode="symmetric")
