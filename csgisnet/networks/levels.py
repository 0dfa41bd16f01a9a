"""Fix or bound the level of a trained network."""

from __future__ import annotations

import copy
import dataclasses

import torch

from csgisnet.errors import ConfigError
from csgisnet.networks.smoothing import SmoothingNetwork


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
    >>> from csgisnet.networks.smoothing import NetworkConfig
    >>> with_level = NetworkConfig(width=4, blocks=1, shuffle=2, level=True)
    >>> at_level(SmoothingNetwork(with_level), 0.5).config.default_level
    0.5
    """
    if not network.config.level:
        raise ConfigError("This network takes no level: leave it out.")
    with torch.device("meta"):
        changed = SmoothingNetwork(dataclasses.replace(network.config, default_level=level))
    state = network.state_dict(keep_vars=True)
    weights = {**state, "level": torch.tensor([level], device=state["level"].device)}
    changed.load_state_dict(weights, assign=True)
    changed.train(network.training)
    return changed


def up_to_level(network: SmoothingNetwork, highest: float) -> SmoothingNetwork:
    """Return a network whose level 1 is a level of this one, and the others in proportion.

    It is for a network that does worse above some level, such as to bring texture back.

    Parameters
    ----------
    network : SmoothingNetwork
        It is not modified.
    highest : float
        Above 0, at most 1.

    Raises
    ------
    ConfigError
        The network takes no level.
    ValueError
        The level is out of range.

    Examples
    --------
    >>> from csgisnet.networks.smoothing import NetworkConfig
    >>> with_level = NetworkConfig(width=4, blocks=1, shuffle=2, level=True)
    >>> network, image = SmoothingNetwork(with_level).eval(), torch.rand(1, 3, 8, 8)
    >>> result = up_to_level(network, 0.5)(image, torch.ones(1)).result
    >>> torch.allclose(result, network(image, torch.tensor([0.5])).result)
    True
    """
    if not network.config.level:
        raise ConfigError("This network takes no level, so it has no highest one.")
    if not 0 < highest <= 1:
        raise ValueError(f"The highest level must be above 0 and at most 1, got {highest}.")
    changed = copy.deepcopy(network)
    with torch.no_grad():
        changed.descriptor.conv_in.weight[:, -1] *= highest  # what reads the level's plane
    return changed
