"""Let the outside of an image count as mid-grey instead of black.

Convolutions read zeros outside an image. Where an image is counted from 0, that is black, which a
network has to learn to ignore, and which differs from the outside of the image's negative. Counted
from mid-grey, it is the same for both, so a symmetric network treats them alike up to the border.
"""

from __future__ import annotations

import dataclasses

import torch

from csgisnet.networks.smoothing import SmoothingNetwork
from csgisnet.networks.symmetry import layers_of


def with_grey_outside(network: SmoothingNetwork) -> SmoothingNetwork:
    """Return a network whose images are counted from mid-grey.

    Parameters
    ----------
    network : SmoothingNetwork
        It is not modified; returned as it is if its images are counted so already.

    Returns
    -------
    SmoothingNetwork
        Its results are those of `network` wherever these do not depend on what is outside.

    Examples
    --------
    >>> from csgisnet.networks.smoothing import NetworkConfig, receptive_radius
    >>> black = SmoothingNetwork(NetworkConfig(width=4, blocks=1, coarse_blocks=0, refine_blocks=0))
    >>> grey = with_grey_outside(black.eval())
    >>> image, reach = torch.rand(1, 3, 48, 48), receptive_radius(black.config)
    >>> inner = (..., slice(reach, -reach), slice(reach, -reach))
    >>> torch.allclose(grey(image).result[inner], black(image).result[inner], atol=1e-5)
    True
    """
    if network.config.grey_outside:
        return network
    config = dataclasses.replace(network.config, grey_outside=True)
    changed = SmoothingNetwork(config).train(network.training)
    changed.load_state_dict(network.state_dict())
    with torch.no_grad():
        for layer, theirs in zip(layers_of(changed), layers_of(network), strict=True):
            if layer.conv.bias is not None:
                read, written = (
                    torch.from_numpy(c.grey).to(layer.conv.weight) for c in theirs[1:3]
                )
                layer.conv.bias += layer.conv.weight.sum(dim=(2, 3)) @ read - written
    return changed
