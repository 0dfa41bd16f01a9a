"""Keep a network's weights symmetric: it treats red, green and blue alike, and dark as bright.

The group has twelve members: the six permutations of the channels, each with and without inverting
the colours, ``x -> 1 - x``. A network is symmetric if a member that acts on its input acts on its
result in the same way, whatever the image, the level and the place. Then it has no bias for a hue.

All this is a constraint on the weights alone. Each member permutes the channels of every hidden
layer in a fixed manner (and permutes and negates those of images, about mid-grey). A convolution is
symmetric if its weights are equal, but for their sign, wherever a member moves one to the other
[1]_; ReLU and batch normalisation respect permutations. So a symmetric network costs what any other
does, and is stored, exported and run as any other is.

The zeros outside an image count as black, which inverting it does not make white, so the results of
an inverted image differ a little along its border, unless the network has `grey_outside`.

References
----------
.. [1] T. Cohen, M. Welling, "Group Equivariant Convolutional Networks", ICML 2016.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from csgisnet.networks import channels
from csgisnet.networks.channels import Channels, Orbits
from csgisnet.networks.layers import Block
from csgisnet.networks.smoothing import SmoothingNetwork


class Layer(NamedTuple):
    """A convolution of a network, and the channels that it reads and writes."""

    conv: nn.Conv2d
    read: Channels
    written: Channels
    norm: _BatchNorm | None = None


class _Tied(NamedTuple):
    """What must be equal in a layer."""

    layer: Layer
    weights: Orbits
    """Of the convolution's weights."""
    values: Orbits
    """Of its bias and its normalisation."""
    grey: tuple[Tensor, Tensor]
    """What mid-grey is in the channels that it reads, and in those that it writes."""


class Symmetry:
    """Moves the weights of a network to symmetric ones; made once, as every step asks it.

    Parameters
    ----------
    network : SmoothingNetwork
        Of any configuration, on the device where it stays. Nothing is changed yet.

    Examples
    --------
    >>> from csgisnet.networks.smoothing import NetworkConfig
    >>> network = SmoothingNetwork(NetworkConfig(width=12, blocks=1)).eval()
    >>> Symmetry(network).impose()
    >>> image = torch.rand(1, 3, 8, 8)
    >>> torch.allclose(network(image.flip(1)).result.flip(1), network(image).result, atol=1e-5)
    True
    """

    def __init__(self, network: SmoothingNetwork) -> None:
        self._tied = tuple(
            _Tied(
                layer,
                channels.orbits_of_pairs(layer.written, layer.read).like(layer.conv.weight),
                channels.orbits(layer.written).like(layer.conv.weight),
                _grey_of(layer),
            )
            for layer in layers_of(network)
        )

    @torch.no_grad()
    def impose(self) -> None:
        """Move the weights and batch statistics, in place, to the nearest symmetric ones."""
        for layer, weights, values, (read, written) in self._tied:
            conv, bias = layer.conv, _bias(layer.conv)
            conv.weight.copy_(weights.mean(conv.weight))
            from_grey = conv.weight.sum(dim=(2, 3)) @ read - written
            bias.copy_(values.mean(bias + from_grey) - from_grey)
            for value in () if layer.norm is None else layer.norm.state_dict().values():
                if value.is_floating_point():
                    value.copy_(values.mean(value))

    @torch.no_grad()
    def impose_on_gradients(self) -> None:
        """Drop from the gradients, in place, what would make symmetric weights less symmetric."""
        for layer, weights, values, _ in self._tied:
            norm = () if layer.norm is None else tuple(layer.norm.parameters())
            for parameter in (layer.conv.weight, _bias(layer.conv), *norm):
                if parameter.grad is not None:
                    orbits = weights if parameter is layer.conv.weight else values
                    parameter.grad.copy_(orbits.mean(parameter.grad))


def is_symmetric(network: SmoothingNetwork) -> bool:
    """Tell whether the weights of a network are symmetric, up to a rounding to float16."""
    nearest = copy.deepcopy(network)
    Symmetry(nearest).impose()
    state = network.state_dict()
    # What grey adds to the bias of a layer that reads images is rounded with each of its weights.
    return all(
        torch.allclose(
            value, state[name].to(value), rtol=1e-3, atol=1e-2 if name.endswith("bias") else 1e-4
        )
        for name, value in nearest.state_dict().items()
    )


def layers_of(network: SmoothingNetwork) -> Iterator[Layer]:
    """Yield the convolutions of a network with the channels that they read and write."""
    config = network.config
    cells = config.shuffle**2
    hidden, edge = channels.hidden(config.width), channels.equal(cells)
    colours = channels.change() if config.grey_outside else channels.image()
    image, change = colours.shuffled(cells), channels.change().shuffled(cells)
    given = image.beside(channels.equal(1)) if config.level else image
    shared = hidden.beside(edge)
    yield Layer(network.descriptor.conv_in, given, hidden)
    yield from _chain(network.descriptor.res16, hidden, hidden, hidden)
    yield from _chain(network.interpreter1, hidden, hidden, edge)
    yield from _chain(network.interpreter2, shared, hidden, change if config.skip else image)
    yield from _chain(network.refine, shared.beside(image), hidden, change)
    if network.finish is not None:
        fine = channels.hidden(config.finish)
        yield from _chain(network.finish.details, colours.beside(colours), fine, fine)
        yield Layer(network.finish.guide, hidden, fine.shuffled(cells))
        yield from _chain(network.finish.layers, fine.beside(fine), fine, channels.change())


def _chain(
    layers: nn.Sequential, read: Channels, between: Channels, written: Channels
) -> Iterator[Layer]:
    """Yield the convolutions of layers in sequence."""
    found: list[tuple[nn.Conv2d, _BatchNorm | None]] = []
    for layer in layers:
        if isinstance(layer, Block):
            found += layer.pairs()
        elif isinstance(layer, nn.Conv2d):
            found.append((layer, None))
        elif isinstance(layer, _BatchNorm):
            found[-1] = (found[-1][0], layer)
    for number, (conv, norm) in enumerate(found):
        first, last = number == 0, number == len(found) - 1
        yield Layer(conv, read if first else between, written if last else between, norm)


def _grey_of(layer: Layer) -> tuple[Tensor, Tensor]:
    """Return mid-grey in the channels that a layer reads and writes, where its weights are."""
    read, written = (torch.from_numpy(c.grey).to(layer.conv.weight) for c in layer[1:3])
    return read, written


def _bias(conv: nn.Conv2d) -> Tensor:
    """Return the bias, which every convolution of a smoothing network has."""
    if conv.bias is None:
        raise TypeError("A convolution of a smoothing network has no bias.")
    return conv.bias
