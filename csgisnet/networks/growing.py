"""Change a trained network: add parts that it lacks, or fix the level at which it smooths."""

from __future__ import annotations

import dataclasses

import torch

from csgisnet.errors import ConfigError
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork


def grow(network: SmoothingNetwork, config: NetworkConfig, seed: int = 0) -> SmoothingNetwork:
    """Return a network with these weights, and the level and finish that `config` adds.

    Parameters
    ----------
    network : SmoothingNetwork
        Trained weights; it is not modified.
    config : NetworkConfig
        Only its `level` and `finish` are looked at, and only where the network lacks them.
    seed : int
        Decides the weights of a new finish.

    Returns
    -------
    SmoothingNetwork
        Its results are those of `network` at every level, but for a correction close to zero.

    Examples
    --------
    >>> small = NetworkConfig(width=4, blocks=1, shuffle=2)
    >>> grown = grow(SmoothingNetwork(small), dataclasses.replace(small, level=True))
    >>> grown.config.level
    True
    """
    old = network.config
    wanted = dataclasses.replace(
        old, level=old.level or config.level, finish=old.finish or config.finish
    )
    if wanted == old:
        return network
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        grown = SmoothingNetwork(wanted)
    weights = network.state_dict()
    if wanted.level and not old.level:
        name = "descriptor.conv_in.weight"
        plane = torch.zeros_like(weights[name][:, :1])
        weights[name] = torch.cat([weights[name], plane], dim=1)
    grown.load_state_dict({**grown.state_dict(), **weights})
    return grown


def at_level(network: SmoothingNetwork, level: float) -> SmoothingNetwork:
    """Return a network that smooths at another level and shares its weights with this one.

    Parameters
    ----------
    network : SmoothingNetwork
        It is not modified.
    level : float
        0 keeps what an exact label keeps, 1 what people draw as boundaries.

    Raises
    ------
    ConfigError
        The network takes no level.
    ValueError
        The level is not from 0 to 1.

    Examples
    --------
    >>> with_level = NetworkConfig(width=4, blocks=1, shuffle=2, level=True)
    >>> at_level(SmoothingNetwork(with_level), 0.5).config.default_level
    0.5
    """
    if not network.config.level:
        raise ConfigError("This network takes no level: leave it out.")
    with torch.device("meta"):
        changed = SmoothingNetwork(dataclasses.replace(network.config, default_level=level))
    weights = {**network.state_dict(keep_vars=True), "level": torch.tensor([level])}
    changed.load_state_dict(weights, assign=True)
    changed.train(network.training)
    return changed
