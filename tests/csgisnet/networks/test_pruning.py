"""Idle blocks are dropped, and nothing changes."""

from __future__ import annotations

import dataclasses

import torch
from torch import nn

from csgisnet.networks.pruning import prune
from csgisnet.networks.smoothing import receptive_radius
from tests.csgisnet.networks.test_growing import GROWN, SMALL, network_of


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
