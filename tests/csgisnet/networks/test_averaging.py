"""The mean of two networks lies halfway between them; they have to be of one training."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from csgisnet.errors import ConfigError
from csgisnet.networks.averaging import average
from csgisnet.networks.smoothing import SmoothingNetwork
from tests.csgisnet.networks.test_growing import GROWN, network_of


def trained_on(network: SmoothingNetwork) -> SmoothingNetwork:
    """A network whose every weight and statistic has moved."""
    other = network_of(dataclasses.replace(network.config, default_level=0.5))
    with torch.no_grad():
        for name, value in other.state_dict().items():
            if value.is_floating_point() and name != "level":
                value.add_(torch.rand_like(value))
    return other


def test_every_weight_and_statistic_is_halfway() -> None:
    one = network_of(dataclasses.replace(GROWN, default_level=0.25))
    before = {name: value.clone() for name, value in one.state_dict().items()}
    other = trained_on(one)
    mean = average(one, other)
    far = other.state_dict()
    for name, value in mean.state_dict().items():
        if name == "level":
            assert float(value) == 0.25
        elif value.is_floating_point():
            assert not torch.equal(value, before[name])
            torch.testing.assert_close(value, (before[name] + far[name]) / 2)
        assert torch.equal(one.state_dict()[name], before[name])
    assert mean.config == one.config


def test_the_mean_of_a_network_with_itself_is_this_network() -> None:
    network = network_of(GROWN)
    state = average(network, network).state_dict()
    assert all(map(torch.equal, state.values(), network.state_dict().values()))


def test_networks_of_other_configurations_are_refused() -> None:
    other = network_of(dataclasses.replace(GROWN, blocks=GROWN.blocks + 1))
    with pytest.raises(ConfigError, match=r"differ in blocks; give two of one training"):
        average(network_of(GROWN), other)
