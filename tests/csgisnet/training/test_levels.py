"""Labels of levels: the exact label at 0, a simpler one at 1; without a network there are none."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from batches import draw_batch
from torch import nn

from csgisnet.errors import ConfigError
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from csgisnet.objective.config import LossConfig
from csgisnet.objective.losses import Teachers
from csgisnet.training.config import Config, RunConfig
from csgisnet.training.data import DataConfig
from csgisnet.training.distributed import Processes
from csgisnet.training.levels import LevelLabels
from csgisnet.training.step import Training

SMALL = NetworkConfig(
    width=8, blocks=1, coarse_blocks=1, refine_blocks=1, shuffle=2, skip=True, level=True, finish=4
)
CPU = torch.device("cpu")
CONFIG = Config(
    network=SMALL,
    losses=LossConfig(contrast=0, semantic=0),
    data=DataConfig(level_passes=1),
    run=RunConfig(freeze_statistics=True),
)


def test_levels_mix_the_label_with_its_simpler_version() -> None:
    torch.manual_seed(1)
    labels = LevelLabels(SmoothingNetwork(SMALL), 2, CPU, "float32")
    batch = draw_batch(3)._replace(level=torch.tensor([0.0, 1.0, 0.25]))
    simple, mixed = labels.simplify(batch.label), labels(batch)
    torch.testing.assert_close(mixed.label[0], batch.label[0], rtol=0, atol=0)
    torch.testing.assert_close(mixed.label[1], simple[1])
    torch.testing.assert_close(mixed.label[2], 0.75 * batch.label[2] + 0.25 * simple[2])
    assert torch.equal(mixed.input, batch.input)
    assert (simple[1] - batch.label[1]).abs().mean() > 0.01


def test_the_teacher_of_levels_does_not_change_while_the_network_learns() -> None:
    torch.manual_seed(1)
    training = Training(CONFIG, Teachers(), Processes(device=CPU), SmoothingNetwork(SMALL))
    assert training._levels is not None
    label = draw_batch().label
    before = training._levels.simplify(label)
    training.advance(iter([draw_batch(), draw_batch()]))
    torch.testing.assert_close(training._levels.simplify(label), before, rtol=0, atol=0)


def test_frozen_statistics_stay_and_the_weights_learn() -> None:
    torch.manual_seed(1)
    training = Training(CONFIG, Teachers(), Processes(device=CPU), SmoothingNetwork(SMALL))
    before = {name: value.clone() for name, value in training._network.state_dict().items()}
    training.advance(iter([draw_batch()]))
    after = training._network.state_dict()
    statistics = [name for name in before if "running" in name]
    assert statistics
    assert all(torch.equal(before[name], after[name]) for name in statistics)
    assert not torch.equal(before["finish.guide.weight"], after["finish.guide.weight"])
    assert isinstance(training._network, nn.Module)


@pytest.mark.parametrize("level", [True, False])
def test_levels_need_a_network_to_begin_with_that_takes_them(level: bool) -> None:
    network = dataclasses.replace(SMALL, level=level)
    initial = None if level else SmoothingNetwork(network)
    config = dataclasses.replace(CONFIG, network=network)
    with pytest.raises(ConfigError, match=r"level_passes needs a network with a level"):
        Training(config, Teachers(), Processes(device=CPU), initial)
