"""Find the convolutions followed by batch normalisation, and fold the two into one."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

Net = TypeVar("Net", bound=nn.Module)


class Normalised(NamedTuple):
    """A convolution, the batch normalisation right after it, and the module that holds both."""

    parent: nn.Module
    conv: nn.Conv2d
    norm: _BatchNorm


def normalised_convolutions(network: nn.Module) -> Iterator[Normalised]:
    """Yield each convolution of a network that is followed by batch normalisation."""
    for module in list(network.modules()):
        for conv, norm in itertools.pairwise(list(module.children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, _BatchNorm):
                yield Normalised(module, conv, norm)


def fold_batch_norm(network: Net) -> Net:
    """Return a frozen copy in eval mode whose convolutions include their batch normalisation."""
    folded = copy.deepcopy(network).eval().requires_grad_(False)
    for parent, conv, norm in normalised_convolutions(folded):
        names = {id(child): name for name, child in parent.named_children()}
        setattr(parent, names[id(conv)], fuse_conv_bn_eval(conv, norm))
        setattr(parent, names[id(norm)], nn.Identity())
    return folded
