"""Change a trained network: add what it lacks, drop what is idle, fix or bound its level."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from csgisnet.errors import ConfigError
from csgisnet.networks.layers import Block
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from csgisnet.networks.symmetry import Symmetry, is_symmetric


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
        Its results are those of `network` at every level, but for a correction close to zero. It
        is symmetric if `network` is, see `csgisnet.networks.symmetry`.

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
    if is_symmetric(network):
        Symmetry(grown).impose()
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


def prune(network: SmoothingNetwork, images: Iterable[Tensor]) -> SmoothingNetwork:
    """Return a network without the residual blocks that add nothing to any of these images.

    Training can leave a block with an output of zero everywhere: its last ReLU is never above zero,
    and receives no gradient that would change it. Such a block only costs time.

    Parameters
    ----------
    network : SmoothingNetwork
        It is not modified.
    images : iterable of Tensor
        Images (1, 3, H, W) in [0, 1] of every kind that the network is made for; a network that
        takes a level smooths each at levels 0 and 1.

    Returns
    -------
    SmoothingNetwork
        In eval mode; its results for these images are the same.

    Examples
    --------
    >>> network = SmoothingNetwork(NetworkConfig(width=4, blocks=2, coarse_blocks=1))
    >>> _ = nn.init.constant_(network.interpreter2[3].bn_conv_3x3_3.weight, 0)
    >>> _ = nn.init.constant_(network.interpreter2[3].bn_conv_3x3_3.bias, -1)
    >>> prune(network, [torch.rand(1, 3, 8, 8)]).config.coarse_blocks
    0
    """
    pruned = copy.deepcopy(network).eval()
    busy: set[nn.Module] = set()

    def note(block: nn.Module, given: tuple[Tensor], result: Tensor) -> None:
        if not torch.equal(given[0], result):
            busy.add(block)

    hooks = [b.register_forward_hook(note) for b in pruned.modules() if isinstance(b, Block)]
    with torch.no_grad():
        for image in images:
            for level in (0.0, 1.0) if network.config.level else (None,):
                pruned(image, None if level is None else torch.full((len(image),), level))
    for hook in hooks:
        hook.remove()
    for stage in (pruned.descriptor.res16, pruned.interpreter2, pruned.refine):
        for number, layer in reversed(list(enumerate(stage))):
            if isinstance(layer, Block) and layer not in busy and len(stage) > 1:
                del stage[number]  # which numbers the layers after it anew
    config = dataclasses.replace(
        network.config,
        blocks=_count_blocks(pruned.descriptor.res16),
        coarse_blocks=_count_blocks(pruned.interpreter2),
        refine_blocks=_count_blocks(pruned.refine),
    )
    smaller = SmoothingNetwork(config)
    smaller.load_state_dict(pruned.state_dict())
    return smaller.eval()


def _count_blocks(layers: nn.Sequential) -> int:
    """Return how many of these layers are residual blocks."""
    return sum(isinstance(layer, Block) for layer in layers)
