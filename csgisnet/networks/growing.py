"""Make a trained network larger: its results stay, and training goes on from them.

New channels and blocks reach nothing that the network already computes, or nearly nothing, until
training lets them [1]_.

References
----------
.. [1] T. Chen, I. Goodfellow, J. Shlens, "Net2Net: Accelerating Learning via Knowledge Transfer",
       ICLR 2016.
"""

from __future__ import annotations

import copy
import dataclasses

import torch
from torch import Tensor, nn

from csgisnet.errors import ConfigError
from csgisnet.networks.channels import kin
from csgisnet.networks.layers import Block, conv_bn_relu
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from csgisnet.networks.symmetry import Layer, Symmetry, is_symmetric, layers_of

_QUIET = 0.1
"""What a new block's output is multiplied by: without any, its last ReLU would let no gradient
through."""

_HEAD = len(conv_bn_relu(1, 1))  # layers of a head that come before its blocks


def grow(network: SmoothingNetwork, config: NetworkConfig, seed: int = 0) -> SmoothingNetwork:
    """Return a network with these weights that is as large as `config` wherever that is larger.

    Parameters
    ----------
    network : SmoothingNetwork
        Trained weights; it is not modified.
    config : NetworkConfig
        Its width, numbers of blocks, `finish` and `level` are looked at, the last only if the
        network takes no level.
    seed : int
        Decides the new weights.

    Returns
    -------
    SmoothingNetwork
        Its results are those of `network` at every level, but for a correction close to zero by a
        new finish and by new blocks. It is symmetric if `network` is, see
        `csgisnet.networks.symmetry`.

    Raises
    ------
    ConfigError
        The wider layers would lack channels of a kind, see `csgisnet.networks.channels.hidden`.

    Examples
    --------
    >>> small = NetworkConfig(width=4, blocks=1, shuffle=2)
    >>> grown = grow(SmoothingNetwork(small), dataclasses.replace(small, width=12, level=True))
    >>> grown.config.width, grown.config.level
    (12, True)
    """
    old = network.config
    sizes = ("width", "blocks", "coarse_blocks", "refine_blocks", "finish")
    larger = {name: max(getattr(old, name), getattr(config, name)) for name in sizes}
    wanted = dataclasses.replace(old, level=old.level or config.level, **larger)
    if wanted == old:
        return network
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        narrow = dataclasses.replace(wanted, width=old.width, finish=old.finish or wanted.finish)
        grown = _deepened(network, narrow)
        if narrow != wanted:
            grown = _widened(grown, wanted)
    if is_symmetric(network):
        Symmetry(grown).impose()
    return grown.train(network.training)


def _deepened(network: SmoothingNetwork, config: NetworkConfig) -> SmoothingNetwork:
    """Add blocks, and the level and the finish that a network lacks."""
    deeper = copy.deepcopy(network)
    ours = deeper.config
    for stage, first, before, after in (
        (deeper.descriptor.res16, 0, ours.blocks, config.blocks),
        (deeper.interpreter2, _HEAD, ours.coarse_blocks, config.coarse_blocks),
        (deeper.refine, _HEAD, ours.refine_blocks, config.refine_blocks),
    ):
        for number in range(before, after):
            block = Block(config.width)
            nn.init.constant_(block.bn_conv_3x3_3.weight, _QUIET)
            stage.insert(first + number, block)
    weights = deeper.state_dict()
    if config.level and not ours.level:
        name = "descriptor.conv_in.weight"
        plane = torch.zeros_like(weights[name][:, :1])
        weights[name] = torch.cat([weights[name], plane], dim=1)
    grown = SmoothingNetwork(config)
    grown.load_state_dict({**grown.state_dict(), **weights})
    return grown


@torch.no_grad()
def _widened(network: SmoothingNetwork, config: NetworkConfig) -> SmoothingNetwork:
    """Add channels that start as noisy copies of the others, and that none of these reads."""
    wider = SmoothingNetwork(config)
    for new, old in zip(layers_of(wider), layers_of(network), strict=True):
        if not set(old.written.names) <= set(new.written.names):
            raise ConfigError(
                f"{len(new.written.names)} channels do not include all kinds of channels of "
                f"{len(old.written.names)}: give `width` and `finish` as multiples of 12."
            )
        rows, columns = kin(new.written, old.written), kin(new.read, old.read)
        added = torch.tensor([name not in old.written.names for name in new.written.names])
        kept = torch.tensor([name in old.read.names for name in new.read.names])
        weight = old.conv.weight
        noise = weight.std() * torch.randn_like(new.conv.weight)
        noise[~added] = 0
        new.conv.weight.zero_()
        copied, read = torch.from_numpy(rows), torch.from_numpy(columns)
        known = (copied >= 0).nonzero().flatten()
        inner = kept.nonzero().flatten()
        new.conv.weight[known[:, None], inner] = weight[copied[known, None], read[inner]]
        new.conv.weight += noise
        for mine, theirs in _values(new, old):
            mine[known] = theirs[copied[known]]
    return wider


def _values(new: Layer, old: Layer) -> list[tuple[Tensor, Tensor]]:
    """Return the values for each written channel of two layers, in pairs."""
    pairs: list[tuple[Tensor | None, Tensor | None]] = [(new.conv.bias, old.conv.bias)]
    if new.norm is not None and old.norm is not None:
        pairs += zip(new.norm.state_dict().values(), old.norm.state_dict().values(), strict=True)
    return [(n, o) for n, o in pairs if n is not None and o is not None and n.ndim]
