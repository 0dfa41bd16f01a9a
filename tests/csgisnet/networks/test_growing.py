"""Grown networks give the results of the smaller one; a level is taken, or refused by name."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

from csgisnet.errors import ConfigError
from csgisnet.networks.growing import at_level, grow
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork

SMALL = NetworkConfig(width=8, blocks=1, coarse_blocks=1, refine_blocks=1, shuffle=2, skip=True)
GROWN = dataclasses.replace(SMALL, level=True, finish=4)


def network_of(config: NetworkConfig) -> SmoothingNetwork:
    torch.manual_seed(2)
    return SmoothingNetwork(config).eval()


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_a_grown_network_gives_nearly_the_same_at_every_level(level: float) -> None:
    small, image = network_of(SMALL), torch.rand(2, 3, 19, 24)
    grown = grow(small, GROWN).eval()
    with torch.no_grad():
        expected, found = small(image), grown(image, torch.full((2,), level))
    assert grown.config == GROWN
    torch.testing.assert_close(found.coarse, expected.coarse)
    torch.testing.assert_close(found.edge, expected.edge)
    assert 0 < (found.result - expected.result).abs().max() < 0.02


def test_what_a_network_has_already_is_left_alone() -> None:
    network = network_of(GROWN)
    assert grow(network, SMALL) is network
    assert grow(network, dataclasses.replace(GROWN, finish=9)) is network


def test_new_weights_depend_on_the_seed_alone() -> None:
    small = network_of(SMALL)
    grown = [grow(small, GROWN, seed).state_dict() for seed in (1, 1, 2)]
    same = [torch.equal(grown[0][name], grown[1][name]) for name in grown[0]]
    name = "finish.guide.weight"
    assert all(same)
    assert not torch.equal(grown[0][name], grown[2][name])


def test_the_default_level_is_that_of_the_configuration() -> None:
    network, image = network_of(GROWN), torch.rand(1, 3, 16, 16)
    higher = at_level(network, 0.7)
    with torch.no_grad():
        torch.testing.assert_close(
            higher(image).result, network(image, torch.tensor([0.7])).result, rtol=0, atol=0
        )
        assert not torch.equal(higher(image).result, network(image).result)
    assert network.config.default_level == 0
    assert higher.state_dict()["level"].item() == pytest.approx(0.7)
    assert network.state_dict()["level"].item() == 0


def test_a_network_at_a_level_stands_alone_and_shares_its_weights() -> None:
    network = network_of(GROWN)
    weight = network.descriptor.conv_in.weight
    higher = at_level(network, 0.7)
    assert higher.descriptor.conv_in.weight is weight
    assert not higher.training
    del network
    assert copy.deepcopy(higher).config.default_level == 0.7


def test_a_level_is_refused_where_there_is_none_or_it_is_out_of_range() -> None:
    with pytest.raises(ConfigError, match="takes no level"):
        at_level(network_of(SMALL), 0.5)
    with pytest.raises(ValueError, match="takes no level"):
        network_of(SMALL)(torch.rand(1, 3, 8, 8), torch.zeros(1))
    with pytest.raises(ValueError, match="default_level must be 0 to 1"):
        at_level(network_of(GROWN), 1.5)
