"""Grown networks give the results of the smaller one; a level is taken, or refused by name."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import nn

from csgisnet.errors import ConfigError
from csgisnet.networks.growing import at_level, grow, prune, up_to_level
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork, receptive_radius

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


def silence(block: nn.Module) -> None:
    """Make a block add nothing to any image: its last ReLU is never above zero."""
    with torch.no_grad():
        block.get_parameter("bn_conv_3x3_3.weight").zero_()
        block.get_parameter("bn_conv_3x3_3.bias").fill_(-0.5)


def test_idle_blocks_are_dropped_and_nothing_changes() -> None:
    config = dataclasses.replace(GROWN, blocks=3, coarse_blocks=2, refine_blocks=2)
    network = network_of(config)
    idle = (
        network.descriptor.res16[1],
        network.interpreter2[3],
        network.refine[3],
        network.refine[4],
    )
    for block in idle:
        silence(block)
    images = [torch.rand(1, 3, 19, 24), torch.rand(1, 3, 8, 8)]
    smaller = prune(network, images)
    assert smaller.config == dataclasses.replace(config, blocks=2, coarse_blocks=1, refine_blocks=0)
    assert receptive_radius(smaller.config) == receptive_radius(config) - 4 * 12
    image, level = torch.rand(2, 3, 21, 30), torch.tensor([0.3, 0.8])
    with torch.no_grad():
        for found, expected in zip(smaller(image, level), network(image, level), strict=True):
            assert torch.equal(found, expected)


def test_a_network_without_idle_blocks_is_kept_whole() -> None:
    network = network_of(SMALL)
    for block in network.descriptor.res16:
        silence(block)  # the only one of a sequence stays
    whole = prune(network, [torch.rand(1, 3, 16, 16)])
    assert whole.config == SMALL
    assert all(map(torch.equal, whole.state_dict().values(), network.state_dict().values()))


def test_the_highest_level_can_be_lowered() -> None:
    network = network_of(GROWN)
    bounded = up_to_level(network, 0.75)
    image = torch.rand(2, 3, 20, 22)
    with torch.no_grad():
        for level in (0.0, 0.4, 1.0):
            expected = network(image, torch.full((2,), 0.75 * level)).result
            found = bounded(image, torch.full((2,), level)).result
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
        assert not torch.equal(network(image, torch.ones(2)).result, found)
    assert bounded.config == network.config


def test_a_highest_level_needs_a_level_and_a_number() -> None:
    with pytest.raises(ConfigError, match="takes no level"):
        up_to_level(network_of(SMALL), 0.5)
    for highest in (0.0, 1.5):
        with pytest.raises(ValueError, match="highest level"):
            up_to_level(network_of(GROWN), highest)
