"""Drop what is idle in a trained network."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from csgisnet.networks.layers import Block
from csgisnet.networks.smoothing import SmoothingNetwork


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
    >>> from csgisnet.networks.smoothing import NetworkConfig
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
