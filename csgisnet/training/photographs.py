"""Batches of a run: samples of the dataset and, beside them, photographs that have no exact label.

What a photograph would be without its texture nobody knows, but what the simplifier makes of it
comes close to what people draw (`csgisnet.training.levels`): so photographs teach the levels above
0, and not level 0. A network to begin with that has a level smooths them first, at the level of
each, as the simplifier then finds less texture to keep: the gradient of its result agrees still
better with what people drew. Up to the level of a single pass (`one_pass_level`) it does so at
level 0. Without such a network all of them are at level 1.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Generator

import torch
from torch import Tensor

from csgisnet.errors import ConfigError
from csgisnet.objective.losses import UNKNOWN, Batch
from csgisnet.training.augment import AugmentConfig
from csgisnet.training.data import BatchSource
from csgisnet.training.distributed import Processes
from csgisnet.training.levels import beyond, frozen
from csgisnet.training.runs import Setup
from vocsmooth.shards import Dataset, open_dataset


class MixedSource:
    """The batches of one process, whose last patches are of photographs.

    Parameters
    ----------
    labelled, photographs : BatchSource
        The two parts of each batch. The edges of photographs are unknown.
    smooth : callable, optional
        Maps the labels (B, 3, H, W) in [0, 1] that the dataset of photographs holds, which are
        photographs as they are, and their levels (B,) to what the simplifier gets. Without it
        photographs are at level 1.
    """

    def __init__(
        self,
        labelled: BatchSource,
        photographs: BatchSource,
        smooth: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        self._labelled, self._photographs, self._smooth = labelled, photographs, smooth

    def batches(self, start: int, stop: int) -> Generator[Batch, None, None]:
        """Yield batches `start` to `stop` - 1."""
        with (
            contextlib.closing(self._labelled.batches(start, stop)) as labelled,
            contextlib.closing(self._photographs.batches(start, stop)) as photographs,
        ):
            for ours, theirs in zip(labelled, map(self._taught, photographs), strict=True):
                yield Batch(*(torch.cat(maps) for maps in zip(ours, theirs, strict=True)))

    def _taught(self, batch: Batch) -> Batch:
        """Return photographs with the labels that the simplifier gets."""
        batch = batch._replace(edge=torch.full_like(batch.edge, UNKNOWN))
        if self._smooth is None:
            return batch._replace(level=torch.ones_like(batch.level))
        return batch._replace(label=self._smooth(batch.label, batch.level))


def batch_source(setup: Setup, processes: Processes) -> BatchSource | MixedSource:
    """Return this process's share of the training batches.

    Raises
    ------
    ConfigError, DatasetError
        The dataset or the photographs lack what the settings ask for.
    """
    config, data = setup.config, setup.config.data
    photographs = _open_photographs(setup)

    def source(dataset: Dataset, count: int, augment: AugmentConfig) -> BatchSource:
        return BatchSource(
            dataset,
            dataclasses.replace(data, batch_size=count, photographs=0),
            augment,
            seed=config.seed,
            device=processes.device,
            rank=processes.rank,
            world=processes.world,
        )

    augment = config.augment
    if photographs is None:
        return source(setup.dataset, data.batch_size, augment)
    # A simplifier may know the colours of things: it is asked about true ones alone.
    true_colours = dataclasses.replace(augment, permute=False, invert=False, level_zero=0.0)
    return MixedSource(
        source(setup.dataset, data.batch_size - data.photographs, augment),
        source(photographs, data.photographs, true_colours),
        _first(setup, processes.device),
    )


def _first(setup: Setup, device: torch.device) -> Callable[[Tensor, Tensor], Tensor] | None:
    """Return what smooths photographs before the simplifier does."""
    initial, data = setup.initial, setup.config.data
    if initial is None or not initial.config.level:
        return None
    smooth = frozen(initial, device, setup.config.run.precision_on(device))
    return lambda images, level: smooth(images, beyond(level, data.one_pass_level))


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
