"""Permuting or inverting colours of an image does the same to a symmetric network's result."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from csgisnet.checkpoints.networks import load_network
from csgisnet.networks.channels import MEMBERS, hidden, orbits
from csgisnet.networks.growing import grow
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from csgisnet.networks.symmetry import Symmetry, is_symmetric

PLAIN = NetworkConfig(width=13, blocks=1, coarse_blocks=1, refine_blocks=1)
RELEASED = NetworkConfig(
    width=24,
    blocks=1,
    coarse_blocks=1,
    refine_blocks=1,
    shuffle=2,
    skip=True,
    finish=12,
    level=True,
)
CONFIGS = {"plain": PLAIN, "released": RELEASED}

BORDER = 20
"""Of inverted images, whose surroundings are black before and after."""


def random_network(config: NetworkConfig) -> SmoothingNetwork:
    """Return a network whose weights and statistics are far from those it is created with."""
    torch.manual_seed(3)
    network = SmoothingNetwork(config).eval()
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = 0.1 * torch.randn(module.num_features)
            module.running_var = 0.5 + torch.rand(module.num_features)
    return network


def acted_on(image: Tensor, permutation: tuple[int, ...], sign: int) -> Tensor:
    moved = torch.empty_like(image)
    moved[:, list(permutation)] = image
    return moved if sign == 1 else 1 - moved


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize(("permutation", "sign"), MEMBERS)
def test_what_is_done_to_the_image_is_done_to_the_result(
    config: NetworkConfig, permutation: tuple[int, ...], sign: int
) -> None:
    network = random_network(config)
    Symmetry(network).impose()
    image = torch.rand(1, 3, 64, 64)
    level = torch.tensor([0.6]) if config.level else None
    with torch.no_grad():
        one = network(image, level)
        other = network(acted_on(image, permutation, sign), level)
    rim = BORDER if sign == -1 else 0
    inside = (..., slice(rim, 64 - rim), slice(rim, 64 - rim))
    for name in ("result", "coarse"):
        expected = acted_on(getattr(one, name), permutation, sign)
        torch.testing.assert_close(
            getattr(other, name)[inside], expected[inside], rtol=0, atol=2e-5, msg=name
        )
    torch.testing.assert_close(other.edge[inside], one.edge[inside], rtol=0, atol=2e-5)
    assert one.result.std() > 1e-3


def test_weights_that_are_not_symmetric_are_found_out() -> None:
    network = random_network(RELEASED)
    assert not is_symmetric(network)
    Symmetry(network).impose()
    assert is_symmetric(network)
    network.descriptor.conv_in.weight.data[0, 0, 1, 1] += 0.1
    assert not is_symmetric(network)


def test_weights_stored_in_half_precision_are_still_symmetric() -> None:
    path = Path(__file__).parents[3] / "benchmarks/results/symmetric.safetensors"
    assert is_symmetric(load_network(path))  # whose weights are float16


def test_symmetric_weights_stay_as_they_are() -> None:
    network = random_network(RELEASED)
    Symmetry(network).impose()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    Symmetry(network).impose()
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=1e-6)


def test_the_nearest_symmetric_weights_are_at_right_angles() -> None:
    """A projection: what it takes away has no share in what it leaves."""
    network = random_network(RELEASED)
    given = network.descriptor.conv_in.weight.detach().clone()
    Symmetry(network).impose()
    left = network.descriptor.conv_in.weight.detach()
    assert (given - left).norm() > 0.1
    assert abs(((given - left) * left).sum()) < 1e-4


def test_a_step_along_symmetric_gradients_keeps_the_symmetry() -> None:
    network = random_network(dataclasses.replace(RELEASED, level=False))
    symmetry = Symmetry(network)
    symmetry.impose()
    network(torch.rand(2, 3, 24, 24)).result.square().mean().backward()
    gradients = {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}
    symmetry.impose_on_gradients()
    biases = {"descriptor.conv_in.bias", "refine.0.bias", "finish.details.0.bias"}
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.grad is not None and name not in biases:  # these follow the weights
                assert (parameter.grad * gradients[name]).sum() >= 0
                parameter.sub_(0.1 * parameter.grad)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    symmetry.impose()
    for name, value in network.state_dict().items():
        if name not in biases:
            torch.testing.assert_close(value, before[name], rtol=0, atol=1e-5, msg=name)


@pytest.mark.parametrize("width", [1, 2, 5, 12, 13, 48, 64])
def test_any_width_is_divided_into_channels_that_members_permute(width: int) -> None:
    moves = hidden(width).moves
    assert moves.shape == (len(MEMBERS), width)
    assert all(sorted(row) == list(range(width)) for row in moves.tolist())
    assert int(orbits(hidden(width)).size.sum()) == width


def test_twelve_channels_have_an_orbit_of_each_kind() -> None:
    assert sorted(orbits(hidden(12)).size.tolist()) == [1, 2, 3, 6]


def test_what_is_added_to_a_symmetric_network_is_symmetric() -> None:
    small = dataclasses.replace(RELEASED, level=False, finish=0)
    network = random_network(small)
    assert not is_symmetric(grow(network, RELEASED))
    Symmetry(network).impose()
    assert is_symmetric(grow(network, RELEASED))


def test_to_ask_for_the_symmetry_draws_no_random_numbers() -> None:
    network = random_network(RELEASED)
    before = torch.random.get_rng_state()
    is_symmetric(network)
    assert torch.equal(torch.random.get_rng_state(), before)
