"""A network whose convolutions are our own, in the order in which `SmoothingNetwork` has them.

Between the convolutions of torch passes over memory add, concatenate, convert and move pixels. Here
a convolution does all of that to its results: it writes them where the next one reads, be it the
last channels of features that others share, or the pixels of its cells. How it is computed says a
`Unit`: `csgisnet.prediction.matrix` in bfloat16, `csgisnet.prediction.winograd` in float32.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from csgisnet.networks.layers import Block
from csgisnet.networks.smoothing import GREY, NetworkConfig, SmoothingNetwork, fitted
from csgisnet.prediction.compiled_layers import Convolution, Target, Unit, Workspace
from csgisnet.prediction.matrix import MATRIX_UNIT, has_matrix_unit
from csgisnet.prediction.winograd import WINOGRAD, pays


def unit_for(config: NetworkConfig, precision: str) -> Unit | None:
    """Return how this processor computes a network's convolutions best in a precision.

    None means that those of torch are to be used.
    """
    if precision == "bfloat16" and has_matrix_unit() and _fills(config, MATRIX_UNIT):
        return MATRIX_UNIT
    if precision == "float32" and pays() and _fills(config, WINOGRAD):
        return WINOGRAD
    return None


def _fills(config: NetworkConfig, unit: Unit) -> bool:
    """Return whether a network's features are multiples of what a unit computes side by side."""
    return not config.width % unit.group and not config.finish % unit.group and config.shuffle <= 4


class Maps(NamedTuple):
    """What is predicted for a batch of images."""

    result: Tensor
    """Smoothed image (B, 3, H, W), float32, not clamped."""
    edge: Tensor
    """Edge logits (B, 1, H, W), of the type of features."""


class CompiledNetwork(nn.Module):
    """What a network computes; its images and all sums are in float32, whatever its features are.

    Parameters
    ----------
    network : SmoothingNetwork
        On the CPU, with its normalisation folded.
    unit : Unit
        What `unit_for` returns for it.
    """

    def __init__(self, network: SmoothingNetwork, unit: Unit) -> None:
        super().__init__()
        self.unit = unit
        first: Any = network.descriptor.conv_in
        self.config = config = network.config
        width, step = config.width, config.shuffle
        cells = step**2
        self._seen = unit.rounded_up(3 * cells + config.level)
        self._shared = unit.rounded_up(width + 4 * cells)
        self._pixels = [divmod(cell, step) for cell in range(cells)]
        # torch has the cells of one colour side by side, this module the colours of one cell.
        colours = torch.arange(3 * cells).view(3, cells).T
        image = colours.flatten().tolist()
        self._first = Convolution(unit, first, inputs=image + [3 * cells] * config.level)
        self._describe = _chain(unit, network.descriptor.res16)
        self._find_edges = _chain(unit, network.interpreter1, shared=self._shared)
        self._estimate = _chain(unit, network.interpreter2, shared=self._shared, image=colours)
        joined = [*range(width + cells), *(width + cells + channel for channel in image)]
        self._refine = _chain(
            unit, network.refine, shared=self._shared, inputs=joined, image=colours
        )
        if network.finish is not None:
            finish: Any = network.finish
            channels = config.finish
            order = torch.arange(channels * cells).view(channels, cells).T
            self._details = Convolution(unit, finish.details[0], relu=True)
            self._guide = Convolution(unit, finish.guide, outputs=order.reshape(-1, unit.group))
            self._correct = _chain(unit, finish.layers, image=torch.arange(3)[None])

    def forward(self, image: Tensor, level: Tensor | None = None) -> Maps:
        """Smooth images (B, 3, H, W) in [0, 1]; see `SmoothingNetwork.forward`."""
        if level is not None and not self.config.level:
            raise ValueError("This network takes no level.")
        height, width = image.shape[-2:]
        step = self.config.shuffle
        levels = [self.config.default_level] * len(image) if level is None else level.tolist()
        zero = GREY if self.config.grey_outside else 0.0
        pixels = (fitted(image.float(), step) - zero).permute(0, 2, 3, 1).contiguous()
        maps = [self._maps(one, value) for one, value in zip(pixels, levels, strict=True)]
        if zero:
            maps = [(result.add_(zero), edge) for result, edge in maps]
        whole = (
            kind[0][None] if len(kind) == 1 else torch.stack(kind)
            for kind in zip(*maps, strict=True)
        )
        return Maps(*(m.permute(0, 3, 1, 2)[..., :height, :width] for m in whole))

    def _maps(self, image: Tensor, level: float) -> tuple[Tensor, Tensor]:
        """Return the result (H, W, 3) and the edges (H, W, 1) of an image (H, W, 3)."""
        step, channels, unit = self.config.shuffle, self.config.width, self.unit
        space = Workspace(unit, image.shape[0] // step, image.shape[1] // step)
        pixels = [(*pixel, 0) for pixel in self._pixels]
        cells = len(pixels)
        shared = space.take(self._shared)
        edges = shared[..., channels:]
        edges.zero_()

        own = space.take(channels)
        source = space.take(self._seen)
        unit.spread(image, source, step, level if self.config.level else 0.0)
        self._first(source, unit.all_of(own))
        for block in self._describe[:-1]:
            block(own, unit.all_of(own), space)
        self._describe[-1](own, unit.all_of(shared[..., :channels]), space)
        own = _run(unit, self._find_edges[:-1], shared, own, space)
        self._find_edges[-1](own, unit.all_of(edges[..., : unit.rounded_up(cells)]))
        in_cells = edges[..., :cells].reshape(*edges.shape[:2], step, step)
        edge = in_cells.transpose(1, 2).reshape(*image.shape[:2], 1)

        own = _run(unit, self._estimate[:-1], shared, own, space)
        coarse = torch.empty_like(image)
        copy = Target(edges[..., cells:], [(0, 0, 3 * cell) for cell in range(cells)])
        base = image if self.config.skip else None
        self._estimate[-1].to_image(own, Target(coarse, pixels, step), base=base, copy=copy)
        own = _run(unit, self._refine[:-1], shared, own, space)
        refined = coarse  # in place: each value is read before it is written
        if not self.config.finish:
            target = Target(refined, pixels, step)
            self._refine[-1].to_image(own, target, base=coarse, copy=None)
            return refined, edge
        full = Workspace(unit, *image.shape[:2])
        seen = full.take(unit.rounded_up(6))
        unit.spread(image, seen, 1, 0.0)
        copy = Target(seen[..., 3:], pixels, step)
        self._refine[-1].to_image(own, Target(refined, pixels, step), base=coarse, copy=copy)
        self._finish(own, seen, refined, full)
        return refined, edge

    def _finish(self, own: Tensor, seen: Tensor, refined: Tensor, space: Workspace) -> None:
        """Correct a refined image (H, W, 3) in place, as the head at full resolution does.

        Parameters
        ----------
        own : Tensor
            The features of the refine head.
        seen : Tensor
            (H, W, C) features: the image, the refined image and zeros.
        """
        channels, unit = self.config.finish, self.unit
        joined = space.take(2 * channels)
        self._details(seen, unit.all_of(joined[..., :channels]))
        firsts = range(channels, 2 * channels, unit.group)
        places = [(*pixel, first) for pixel in self._pixels for first in firsts]
        self._guide(own, Target(joined, places, self.config.shuffle))
        own = _run(unit, self._correct[:-1], joined, space.take(channels), space)
        self._correct[-1].to_image(own, Target(refined, [(0, 0, 0)]), base=refined, copy=None)


class _Block:
    """What a `Block` computes; its target may be what it reads."""

    def __init__(self, unit: Unit, block: Block) -> None:
        convs = (block.conv_3x3_1, block.conv_3x3_2, block.conv_3x3_3)
        self._unit = unit
        self._convs = [Convolution(unit, conv, relu=True) for conv in convs]

    def __call__(self, source: Tensor, target: Target, space: Workspace) -> None:
        one, two, three = self._convs
        own, other = space.take(one.outputs), space.take(one.outputs)
        one(source, self._unit.all_of(own))
        two(own, self._unit.all_of(other))
        three(other, target, added=source)
        space.give(own)
        space.give(other)


def _chain(
    unit: Unit,
    layers: Iterable[nn.Module],
    *,
    shared: int | None = None,
    inputs: Sequence[int] | None = None,
    image: Tensor | None = None,
) -> list[Any]:
    """Return the blocks and convolutions of a head, which ReLUs have become a part of.

    Parameters
    ----------
    unit : Unit
        How they are computed.
    layers : iterable of Module
        With normalisation folded.
    shared, inputs
        Of the first one, see `Convolution`.
    image : Tensor, optional
        Outputs of the last one, see `Convolution`.
    """
    kept = [layer for layer in layers if not isinstance(layer, nn.Identity)]
    chain: list[Any] = []
    for layer, following in zip(kept, [*kept[1:], None], strict=True):
        if isinstance(layer, Block):
            chain.append(_Block(unit, layer))
        elif isinstance(layer, nn.Conv2d):
            relu = isinstance(following, nn.ReLU)
            own: dict[str, Any] = {} if chain else {"shared": shared, "inputs": inputs}
            outputs = image if following is None else None
            chain.append(Convolution(unit, layer, **own, outputs=outputs, relu=relu))
    return chain


def _run(unit: Unit, chain: Iterable[Any], source: Tensor, own: Tensor, space: Workspace) -> Tensor:
    """Return what layers make of features, in `own` or in other memory of that size."""
    for layer in chain:
        if isinstance(layer, _Block):
            layer(source, unit.all_of(source), space)
            continue
        target = space.take(own.shape[2]) if source is own else own
        layer(source, unit.all_of(target))
        if source is own:
            space.give(own)
        source = own = target
    return own
