"""Small networks that behave as trained ones do."""

from __future__ import annotations

import torch

from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork

SMALL = NetworkConfig(width=12, blocks=2, coarse_blocks=1, refine_blocks=1)


def trained_network(config: NetworkConfig = SMALL) -> SmoothingNetwork:
    """A network whose layers and batch statistics are far from those of a fresh one."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = SmoothingNetwork(config)
        for name, value in network.state_dict().items():
            if name.endswith(("running_mean", "bias")):
                value.normal_(std=0.3)
            elif name.endswith("running_var"):
                value.uniform_(0.5, 2)
            elif value.is_floating_point() and value.ndim > 1:
                value.normal_(std=1.2 / (9 * value.shape[1]) ** 0.5)
    return network.eval()
