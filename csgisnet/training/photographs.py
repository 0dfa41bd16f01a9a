"""Batches of a run: samples of the dataset and, beside them, photographs that have no exact label.

What a photograph would be without its texture nobody knows, but what the simplifier makes of it
comes close to what people draw (`csgisnet.training.levels`): so photographs teach level 1, and no
other. A network to begin with that has a level smooths them first, at level 1, as the simplifier
then finds less texture to keep: the gradient of its result agrees still better with what people
drew.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Generator

import torch
from torch import Tensor

from csgisnet.errors import ConfigError
from csgisnet.objective.losses import UNKNOWN, Batch
from csgisnet.training.data import BatchSource
from csgisnet.training.distributed import Processes
from csgisnet.training.levels import frozen
from csgisnet.training.runs import Setup
from vocsmooth.shards import Dataset, open_dataset


class MixedSource:
    """The batches of one process, whose last patches are of photographs.

    Parameters
    ----------
    labelled, photographs : BatchSource
        The two parts of each batch. The level of photographs is 1, their edges are unknown.
    smooth : callable, optional
        Maps the labels (B, 3, H, W) in [0, 1] that the dataset of photographs holds, which are
        photographs as they are, to what the simplifier gets.
    """

    def __init__(
        self,
        labelled: BatchSource,
        photographs: BatchSource,
        smooth: Callable[[Tensor], Tensor] = lambda images: images,
    ) -> None:
        self._labelled, self._photographs, self._smooth = labelled, photographs, smooth

    def batches(self, start: int, stop: int) -> Generator[Batch, None, None]:
        """Yield batches `start` to `stop` - 1."""
        with (
            contextlib.closing(self._labelled.batches(start, stop)) as labelled,
            contextlib.closing(self._photographs.batches(start, stop)) as photographs,
        ):
            for ours, theirs in zip(labelled, map(self._at_level_one, photographs), strict=True):
                yield Batch(*(torch.cat(maps) for maps in zip(ours, theirs, strict=True)))

    def _at_level_one(self, batch: Batch) -> Batch:
        return batch._replace(
            label=self._smooth(batch.label),
            level=torch.ones_like(batch.level),
            edge=torch.full_like(batch.edge, UNKNOWN),
        )


def batch_source(setup: Setup, processes: Processes) -> BatchSource | MixedSource:
    """Return this process's share of the training batches.

    Raises
    ------
    ConfigError, DatasetError
        The dataset or the photographs lack what the settings ask for.
    """
    config, data = setup.config, setup.config.data
    photographs = _open_photographs(setup)

    def source(dataset: Dataset, *, count: int, colours: bool = True) -> BatchSource:
        augment = config.augment
        return BatchSource(
            dataset,
            dataclasses.replace(data, batch_size=count, photographs=0),
            augment if colours else dataclasses.replace(augment, permute=False, invert=False),
            seed=config.seed,
            device=processes.device,
            rank=processes.rank,
            world=processes.world,
        )

    if photographs is None:
        return source(setup.dataset, count=data.batch_size)
    # A simplifier may know the colours of things: it is asked about true ones alone.
    return MixedSource(
        source(setup.dataset, count=data.batch_size - data.photographs),
        source(photographs, count=data.photographs, colours=False),
        _first(setup, processes.device),
    )


def _first(setup: Setup, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Return what smooths photographs before the simplifier does."""
    initial = setup.initial
    if initial is None or not initial.config.level:
        return lambda images: images
    smooth = frozen(initial, device, setup.config.run.precision_on(device))
    return lambda images: smooth(images, images.new_ones(len(images)))


def _open_photographs(setup: Setup) -> Dataset | None:
    """Open the dataset of photographs; None if the settings ask for none."""
    path, data = setup.sources.photographs, setup.config.data
    if path is None and not data.photographs:
        return None
    if path is None:
        raise ConfigError(
            f"data.photographs is {data.photographs}, and no dataset of photographs is given: name "
            "one with --photographs, or set it to 0."
        )
    if not data.photographs:
        raise ConfigError(
            f"Photographs are given ({path}), but data.photographs is 0, so none would be in any "
            "batch. Set data.photographs, or leave out --photographs."
        )
    if not data.level_passes:
        raise ConfigError(
            "data.photographs needs data.level_passes of at least 1: photographs have no label but "
            "the simplifier's."
        )
    return open_dataset(path)
