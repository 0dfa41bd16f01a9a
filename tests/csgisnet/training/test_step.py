"""One optimizer step: what it adds up, and how long it may be."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor

from csgisnet.checkpoints.states import load_state, save_state
from csgisnet.objective.losses import Batch, LossConfig, Teachers
from csgisnet.training.config import Config
from csgisnet.training.distributed import Processes
from csgisnet.training.step import Training

ALONE = Processes(device=torch.device("cpu"))


@pytest.fixture
def plain(config: Config) -> Config:
    """Only the terms that need no teacher."""
    return dataclasses.replace(config, losses=LossConfig(contrast=0, semantic=0))


def random_batch() -> Batch:
    generator = torch.Generator().manual_seed(3)

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    return Batch(
        input=draw(2, 3, 32, 32),
        label=draw(2, 3, 32, 32),
        edge=draw(2, 1, 32, 32).round(),
        mask=torch.zeros(2, 32, 32, dtype=torch.int64),
        negatives=draw(2, 1, 3, 32, 32),
    )


def test_accumulated_gradients_are_means(plain: Config) -> None:
    """A batch taken twice in one step is a step of that batch."""
    steps = []
    for count in (1, 2):
        run = dataclasses.replace(plain.run, accumulate=count)
        training = Training(dataclasses.replace(plain, run=run), Teachers(), ALONE)
        steps.append(training.advance(iter([random_batch()] * count)))
    once, twice = steps
    for name, value in once.items():
        torch.testing.assert_close(twice[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("clip_norm", [1e-3, 1e9])
def test_steps_are_clipped_to_the_norm_that_is_asked_for(plain: Config, clip_norm: float) -> None:
    optimizer = dataclasses.replace(plain.optimizer, clip_norm=clip_norm)
    training = Training(dataclasses.replace(plain, optimizer=optimizer), Teachers(), ALONE)
    norm = float(training.advance(iter([random_batch()]))["grad_norm"])
    (adamw,) = training.state()["optimizers"]
    moments = adamw["state"].values()
    first = torch.cat([moment["exp_avg"].flatten() for moment in moments])
    taken = float(first.norm()) / (1 - optimizer.betas[0])  # the first moments began at 0
    assert taken == pytest.approx(min(norm, clip_norm), rel=1e-3)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_restored_training_goes_on_exactly(
    plain: Config, kind: Literal["adamw", "muon"], tmp_path: Path
) -> None:
    optimizer = dataclasses.replace(plain.optimizer, kind=kind)
    config = dataclasses.replace(plain, optimizer=optimizer)
    first = Training(config, Teachers(), ALONE)
    for _ in range(3):
        first.advance(iter([random_batch()]))
    save_state(tmp_path / "state.pt", first.state())
    other = Training(dataclasses.replace(config, seed=9), Teachers(), ALONE)
    other.restore(load_state(tmp_path / "state.pt"))
    for training in (first, other):
        training.advance(iter([random_batch()]))
    assert len(first.state()["optimizers"]) == (2 if kind == "muon" else 1)
    assert first.step == other.step == 4
    for part in ("network", "average"):
        weights, again = (training.state()[part] for training in (first, other))
        for name, value in weights.items():
            assert torch.equal(value, again[name]), name
