"""Folded networks compute what the network computes, without its normalisation layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from csgisnet.networks.folding import fold_batch_norm
from csgisnet.networks.segmenter import Segmenter, SegmenterConfig
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork

SMOOTHERS = [
    NetworkConfig(width=8, blocks=2, coarse_blocks=1, refine_blocks=1),
    NetworkConfig(width=8, blocks=1, coarse_blocks=1, refine_blocks=1, shuffle=2, skip=True),
]


def randomise(network: nn.Module) -> None:
    """Give normalisation statistics and weights that a new network does not have."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            for value in (module.running_mean, module.bias):
                value.data.normal_(std=0.3)
            for value in (module.running_var, module.weight):
                value.data.uniform_(0.5, 2)


@pytest.mark.parametrize("config", SMOOTHERS)
def test_a_smoother_keeps_every_output(config: NetworkConfig) -> None:
    network = SmoothingNetwork(config)
    randomise(network)
    folded, x = fold_batch_norm(network), torch.rand(1, 3, 21, 34)
    assert not [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        for mine, theirs in zip(folded(x), network.eval()(x), strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


def test_a_segmenter_keeps_its_logits_and_levels() -> None:
    network = Segmenter(SegmenterConfig(width=0.25, head_width=16))
    randomise(network)
    folded, x = fold_batch_norm(network), torch.rand(2, 3, 64, 48)
    assert not [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    with torch.no_grad():
        torch.testing.assert_close(folded(x), network.eval()(x), atol=1e-3, rtol=1e-3)
        for mine, theirs in zip(folded.levels(x), network.levels(x), strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-3, rtol=1e-3)


def test_the_network_itself_stays_as_it_is() -> None:
    network = SmoothingNetwork(SMOOTHERS[0]).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fold_batch_norm(network)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
