"""A level is taken, lowered, or refused by name."""

from __future__ import annotations

import copy

import pytest
import torch

from csgisnet.errors import ConfigError
from csgisnet.networks.levels import at_level, up_to_level
from tests.csgisnet.networks.test_growing import GROWN, SMALL, network_of


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
