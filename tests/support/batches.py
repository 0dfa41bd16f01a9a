"""Batches of noise, and the objective with one term alone."""

from __future__ import annotations

import torch
from torch import Tensor

from csgisnet.objective.config import TERMS, LossConfig
from csgisnet.objective.losses import Batch
from vocsmooth.classes import VOID


def draw_batch(size: int = 2, side: int = 32) -> Batch:
    generator = torch.Generator().manual_seed(5)

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator)

    mask = torch.randint(0, 21, (size, side, side), generator=generator)
    mask[:, :3] = VOID
    edge = (rand(size, 1, side, side) > 0.9).float()
    image = (size, 3, side, side)
    return Batch(rand(*image), rand(*image), edge, mask, rand(size, 2, 3, side, side), rand(size))


def random_batch(seed: int = 3) -> Batch:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    return Batch(
        input=draw(2, 3, 32, 32),
        label=draw(2, 3, 32, 32),
        edge=draw(2, 1, 32, 32).round(),
        mask=torch.zeros(2, 32, 32, dtype=torch.int64),
        negatives=draw(2, 1, 3, 32, 32),
        level=torch.zeros(2),
    )


def only(term: str, **settings: object) -> LossConfig:
    return LossConfig(**{**dict.fromkeys(TERMS, 0.0), term: 1.0, **settings})  # type: ignore[arg-type]
