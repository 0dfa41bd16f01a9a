"""Grown networks give the results of the smaller one, and every new part can learn."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from csgisnet.errors import ConfigError
from csgisnet.networks.growing import grow
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from csgisnet.networks.symmetry import Symmetry, is_symmetric

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
    assert grow(network, dataclasses.replace(GROWN, skip=False, shuffle=1)) is network


def test_new_weights_depend_on_the_seed_alone() -> None:
    small = network_of(SMALL)
    grown = [grow(small, GROWN, seed).state_dict() for seed in (1, 1, 2)]
    same = [torch.equal(grown[0][name], grown[1][name]) for name in grown[0]]
    name = "finish.guide.weight"
    assert all(same)
    assert not torch.equal(grown[0][name], grown[2][name])


WIDER = dataclasses.replace(GROWN, width=20, finish=12)
DEEPER = dataclasses.replace(GROWN, blocks=3, coarse_blocks=2, refine_blocks=3)


def busy_network_of(config: NetworkConfig) -> SmoothingNetwork:
    """Return a network whose normalisations all differ."""
    network = network_of(config)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                for value in module.state_dict().values():
                    if value.is_floating_point():
                        value.add_(0.2 * torch.rand_like(value))
    return network


@pytest.mark.parametrize("symmetric", [False, True])
def test_more_channels_change_no_result(symmetric: bool) -> None:
    network = busy_network_of(GROWN)
    if symmetric:
        Symmetry(network).impose()
    grown = grow(network, WIDER)
    assert grown.config == WIDER
    assert is_symmetric(grown) == symmetric
    image, level = torch.rand(2, 3, 19, 24).double(), torch.tensor([0.2, 0.9]).double()
    with torch.no_grad():
        both = grown.double()(image, level), network.double()(image, level)
    for found, expected in zip(*both, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5 if symmetric else 1e-12, atol=1e-4)


def test_more_blocks_change_results_a_little() -> None:
    network = busy_network_of(GROWN)
    image, level = torch.rand(2, 3, 19, 24), torch.tensor([0.2, 0.9])
    grown = grow(network, DEEPER)
    with torch.no_grad():
        change = (grown(image, level).result - network(image, level).result).abs()
    assert grown.config == DEEPER
    assert 0 < change.max() < 0.05


@pytest.mark.parametrize("config", [WIDER, DEEPER])
def test_every_new_weight_can_learn(config: NetworkConfig) -> None:
    grown = grow(busy_network_of(GROWN), config)
    optimizer = torch.optim.SGD(grown.parameters(), lr=1e-3)
    image, level = torch.rand(4, 3, 16, 16), torch.rand(4)
    for _ in range(2):  # what the others do not read yet learns once they do
        optimizer.zero_grad()
        sum(m.square().mean() for m in grown(image, level)).backward()
        optimizer.step()
    for name, parameter in grown.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_a_width_that_lacks_kinds_of_channels_is_refused() -> None:
    with pytest.raises(ConfigError, match="9 channels do not include all kinds of channels of 4"):
        grow(network_of(GROWN), dataclasses.replace(GROWN, finish=9))


def test_new_channels_differ_from_those_they_resemble() -> None:
    network = busy_network_of(GROWN)
    grown = grow(network, WIDER)
    weight, old = (n.descriptor.conv_in.weight.detach() for n in (grown, network))
    same = [next((i for i, row in enumerate(weight) if torch.equal(row, one)), -1) for one in old]
    assert sorted(set(same)) == sorted(same)
    assert -1 not in same
    apart = (weight[:, None] - weight[None]).abs().amax(dim=(2, 3, 4))
    assert (apart + torch.eye(len(weight)) > 1e-3).all()
