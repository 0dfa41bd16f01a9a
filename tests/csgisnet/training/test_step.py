"""One optimizer step: what it adds up, and how long it may be."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import torch
from batches import random_batch
from torch import nn

from csgisnet.checkpoints.states import load_state, save_state
from csgisnet.device import place
from csgisnet.errors import ConfigError
from csgisnet.networks.features import SegmenterFeatures
from csgisnet.networks.own import OwnNetwork
from csgisnet.networks.segmenter import Segmenter
from csgisnet.networks.smoothing import SmoothingNetwork
from csgisnet.networks.symmetry import Symmetry, is_symmetric
from csgisnet.objective.config import LossConfig
from csgisnet.objective.losses import Batch, Teachers, total_loss
from csgisnet.training.config import Config
from csgisnet.training.distributed import Processes
from csgisnet.training.step import Training, new_network

ALONE = Processes(device=torch.device("cpu"))


@pytest.fixture
def plain(config: Config) -> Config:
    """Only the terms that need no teacher."""
    return dataclasses.replace(config, losses=LossConfig(contrast=0, semantic=0))


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


def test_the_gradient_of_a_step_is_that_of_the_loss(plain: Config) -> None:
    """Though the losses are differentiated apart from the network."""
    batch = random_batch()
    network = place(new_network(plain), torch.device("cpu")).train()
    torch.autograd.backward(total_loss(network(batch.input), batch, Teachers(), plain.losses)[0])
    norm = torch.stack([p.grad.norm() for p in network.parameters() if p.grad is not None]).norm()
    taken = Training(plain, Teachers(), ALONE).advance(iter([batch]))
    torch.testing.assert_close(taken["grad_norm"], norm)


def test_a_network_in_bfloat16_is_judged_in_float32(config: Config) -> None:
    run = dataclasses.replace(config.run, precision="bfloat16")
    segmenter, learner = Segmenter(config.segmenter.network), SmoothingNetwork(config.network)
    teachers = Teachers(segmenter=segmenter, features=SegmenterFeatures(segmenter))
    training = Training(dataclasses.replace(config, run=run), teachers, ALONE, learner)
    types: dict[str, set[torch.dtype]] = {"teacher": set(), "learner": set()}
    layers = [m for m in segmenter.modules() if isinstance(m, nn.Conv2d)]
    for found, convolutions in (("teacher", layers), ("learner", [learner.descriptor.conv_in])):
        for layer in convolutions:
            layer.register_forward_hook(lambda _, x, y, found=found: types[found].add(y.dtype))
    training.advance(iter([random_batch()]))
    assert types == {"teacher": {torch.float32}, "learner": {torch.bfloat16}}
    assert {w.dtype for w in training.state()["network"].values()} == {torch.float32, torch.int64}


def test_cudnn_searches_for_algorithms_in_training_only(plain: Config) -> None:
    found = []

    def batches() -> Iterator[Batch]:
        while True:
            found.append(torch.backends.cudnn.benchmark)
            yield random_batch()

    Training(plain, Teachers(), ALONE).advance(batches())
    assert found == [True]
    assert not torch.backends.cudnn.benchmark


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_restored_training_goes_on_exactly(
    plain: Config,
    kind: Literal["adamw", "muon"],
    precision: Literal["float32", "bfloat16"],
    tmp_path: Path,
) -> None:
    optimizer = dataclasses.replace(plain.optimizer, kind=kind)
    run = dataclasses.replace(plain.run, precision=precision)
    config = dataclasses.replace(plain, optimizer=optimizer, run=run)
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


def test_steps_of_a_symmetric_run_stay_symmetric(plain: Config) -> None:
    run = dataclasses.replace(plain.run, symmetric=True)
    training = Training(dataclasses.replace(plain, run=run), Teachers(), ALONE)
    first = {name: value.clone() for name, value in training.average.state_dict().items()}
    for _ in range(3):
        training.advance(iter([random_batch()]))
    assert isinstance(training.average, SmoothingNetwork)
    assert is_symmetric(training.average)
    weight = "descriptor.conv_in.weight"
    assert not torch.equal(training.average.state_dict()[weight], first[weight])


def test_a_symmetric_run_begins_with_a_symmetric_network(plain: Config) -> None:
    config = dataclasses.replace(plain, run=dataclasses.replace(plain.run, symmetric=True))
    network = new_network(config)
    with pytest.raises(ConfigError, match="those of this one are not: leave it out"):
        Training(config, Teachers(), ALONE, network)
    Symmetry(network).impose()
    Training(config, Teachers(), ALONE, network)


def test_a_network_of_ones_own_cannot_be_kept_symmetric(plain: Config) -> None:
    config = dataclasses.replace(plain, run=dataclasses.replace(plain.run, symmetric=True))
    own = OwnNetwork(nn.Conv2d(3, 3, 3, padding=1))
    with pytest.raises(ConfigError, match="is for networks of this package"):
        Training(config, Teachers(), ALONE, own)
