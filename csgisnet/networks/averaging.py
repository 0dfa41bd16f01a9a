"""Average two networks, one of which was trained on from the other.

What training on adds and what it forgets lie on the way from one to the other; between them a
network often has most of the first without the second (M. Wortsman et al.: Robust Fine-Tuning of
Zero-Shot Models, CVPR 2022).
"""

from __future__ import annotations

import copy
import dataclasses

import torch

from csgisnet.errors import ConfigError
from csgisnet.networks.smoothing import SmoothingNetwork


def average(network: SmoothingNetwork, other: SmoothingNetwork) -> SmoothingNetwork:
    """Return the network halfway between two, with the level of the first where users give none.

    Parameters
    ----------
    network, other : SmoothingNetwork
        Of the same configuration but for the default level, one trained on from the other: the mean
        of networks that were trained apart is of no use. Neither is modified.

    Raises
    ------
    ConfigError
        The configurations differ.

    Examples
    --------
    >>> from csgisnet.networks.smoothing import NetworkConfig
    >>> one = SmoothingNetwork(NetworkConfig(width=4, blocks=1))
    >>> two = copy.deepcopy(one)
    >>> _ = two.descriptor.conv_in.weight.data.add_(1)
    >>> moved = average(one, two).descriptor.conv_in.weight - one.descriptor.conv_in.weight
    >>> torch.allclose(moved, torch.tensor(0.5))
    True
    """
    config, theirs = (
        dataclasses.asdict(dataclasses.replace(n.config, default_level=0)) for n in (network, other)
    )
    if config != theirs:
        names = ", ".join(name for name, value in config.items() if value != theirs[name])
        raise ConfigError(f"The networks to average differ in {names}; give two of one training.")
    mean = copy.deepcopy(network)
    state, far = mean.state_dict(), other.state_dict()
    with torch.no_grad():
        for name, value in state.items():
            if value.is_floating_point() and name != "level":
                value.lerp_(far[name].to(value), 0.5)
    return mean
