"""The network in bfloat16 on Intel's matrix unit (AMX), with convolutions of our own.

Those of oneDNN, which torch calls, reach a quarter of what the unit multiplies with as few channels
as these networks have (48 x 48: 38 to 52 us for 1,000 pixels), and between them passes over memory
add, concatenate, convert and move pixels. Here a convolution does all of that to its results, see
`vocsmooth/operators/csrc/convolution.c` (31 to 39 us with the sum): it writes them where the next
one reads, be it the last channels of features that others share, or the pixels of its cells. The
bundled network takes 0.60 to 0.66 of the time, the full one 0.72 to 0.87, and is a little closer to
float32, as sums are not rounded twice (benchmarks/results/matrix_unit.json).

What bounds it: tiles are loaded from the second cache and the third, as a convolution's weights (54
kB) and three rows of features do not fit the first. The unit alone would take 16 cycles for a
product that takes 30: without any loads a picture takes half of the time, with features that stay
in the first cache 0.93. These were measured and gain nothing, or lose: 64 channels instead of 48
with oneDNN, weights packed beforehand, weights and features fetched ahead, 16 outputs, or half of
the channels, at a time with weights that stay in the first cache, and the three convolutions of a
block in turns of a few rows.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from csgisnet.networks.layers import Block
from csgisnet.networks.smoothing import GREY, NetworkConfig, SmoothingNetwork, fitted
from csgisnet.prediction.matrix_layers import (
    GROUP,
    Convolution,
    Target,
    Workspace,
    rounded_up,
    spread,
)
from vocsmooth.operators import kernels


@functools.cache
def has_matrix_unit() -> bool:
    """Return whether the kernels were built for the matrix unit, and the system lets it be used."""
    capable: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if not (capable.get("amx_bf16") and capable.get("avx512_bf16")):
        return False
    return kernels.library is not None and kernels.library.convolution_allow() == 0


def fits_matrix_unit(config: NetworkConfig) -> bool:
    """Return whether there is one and a network's features fill its tiles."""
    fits = config.width % GROUP == 0 and config.finish % GROUP == 0 and config.shuffle <= 4
    return fits and has_matrix_unit()


class Maps(NamedTuple):
    """What is predicted for a batch of images."""

    result: Tensor
    """Smoothed image (B, 3, H, W), float32, not clamped."""
    edge: Tensor
    """Edge logits (B, 1, H, W), bfloat16."""


class MatrixNetwork(nn.Module):
    """What a network computes, its features in bfloat16, its images and all sums in float32.

    Parameters
    ----------
    network : SmoothingNetwork
        On the CPU, with its normalisation folded, and of a size that `fits_matrix_unit`.
    """

    def __init__(self, network: SmoothingNetwork) -> None:
        super().__init__()
        first: Any = network.descriptor.conv_in
        self.config = config = network.config
        width, step = config.width, config.shuffle
        cells = step**2
        self._seen = rounded_up(3 * cells + config.level)
        self._shared = rounded_up(width + 4 * cells)
        self._pixels = [divmod(cell, step) for cell in range(cells)]
        # torch has the cells of one colour side by side, this module the colours of one cell.
        colours = torch.arange(3 * cells).view(3, cells).T
        image = colours.flatten().tolist()
        self._first = Convolution(first, inputs=image + [3 * cells] * config.level)
        self._describe = _chain(network.descriptor.res16)
        self._find_edges = _chain(network.interpreter1, shared=self._shared)
        self._estimate = _chain(network.interpreter2, shared=self._shared, image=colours)
        joined = [*range(width + cells), *(width + cells + channel for channel in image)]
        self._refine = _chain(network.refine, shared=self._shared, inputs=joined, image=colours)
        if network.finish is not None:
            finish: Any = network.finish
            channels = config.finish
            order = torch.arange(channels * cells).view(channels, cells).T
            self._details = Convolution(finish.details[0], relu=True)
            self._guide = Convolution(finish.guide, outputs=order.reshape(-1, GROUP))
            self._correct = _chain(finish.layers, image=torch.arange(3)[None])

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
        step, channels = self.config.shuffle, self.config.width
        space = Workspace(image.shape[0] // step, image.shape[1] // step)
        pixels = [(*pixel, 0) for pixel in self._pixels]
        cells = len(pixels)
        shared = space.take(self._shared)
        edges = shared[..., channels:]
        edges.zero_()

        own = space.take(channels)
        source = space.take(self._seen)
        spread(image, source, step, level if self.config.level else 0.0)
        self._first(source, Target.of(own))
        for block in self._describe[:-1]:
            block(own, Target.of(own), space)
        self._describe[-1](own, Target.of(shared[..., :channels]), space)
        own = _run(self._find_edges[:-1], shared, own, space)
        self._find_edges[-1](own, Target.of(edges[..., :GROUP]))
        in_cells = edges[..., :cells].reshape(*edges.shape[:2], step, step)
        edge = in_cells.transpose(1, 2).reshape(*image.shape[:2], 1)

        own = _run(self._estimate[:-1], shared, own, space)
        coarse = torch.empty_like(image)
        copy = Target(edges[..., cells:], [(0, 0, 3 * cell) for cell in range(cells)])
        base = image if self.config.skip else None
        self._estimate[-1].to_image(own, Target(coarse, pixels, step), base=base, copy=copy)
        own = _run(self._refine[:-1], shared, own, space)
        refined = coarse  # in place: each value is read before it is written
        if not self.config.finish:
            target = Target(refined, pixels, step)
            self._refine[-1].to_image(own, target, base=coarse, copy=None)
            return refined, edge
        full = Workspace(*image.shape[:2])
        seen = full.take(GROUP)
        spread(image, seen, 1, 0.0)
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
            (H, W, 16) bfloat16: the image, the refined image and zeros.
        """
        channels, step = self.config.finish, self.config.shuffle
        joined = space.take(2 * channels)
        self._details(seen, Target.of(joined[..., :channels]))
        firsts = range(channels, 2 * channels, GROUP)
        places = [(*pixel, first) for pixel in self._pixels for first in firsts]
        self._guide(own, Target(joined, places, step))
        own = _run(self._correct[:-1], joined, space.take(channels), space)
        self._correct[-1].to_image(own, Target(refined, [(0, 0, 0)]), base=refined, copy=None)


class _Block:
    """What a `Block` computes; its target may be what it reads."""

    def __init__(self, block: Block) -> None:
        convs = (block.conv_3x3_1, block.conv_3x3_2, block.conv_3x3_3)
        self._convs = [Convolution(conv, relu=True) for conv in convs]

    def __call__(self, source: Tensor, target: Target, space: Workspace) -> None:
        one, two, three = self._convs
        own, other = space.take(one.outputs), space.take(one.outputs)
        one(source, Target.of(own))
        two(own, Target.of(other))
        three(other, target, added=source)
        space.give(own)
        space.give(other)


def _chain(
    layers: Iterable[nn.Module],
    *,
    shared: int | None = None,
    inputs: Sequence[int] | None = None,
    image: Tensor | None = None,
) -> list[Any]:
    """Return the blocks and convolutions of a head, which ReLUs have become a part of.

    Parameters
    ----------
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
            chain.append(_Block(layer))
        elif isinstance(layer, nn.Conv2d):
            relu = isinstance(following, nn.ReLU)
            own: dict[str, Any] = {} if chain else {"shared": shared, "inputs": inputs}
            outputs = image if following is None else None
            chain.append(Convolution(layer, **own, outputs=outputs, relu=relu))
    return chain


def _run(chain: Iterable[Any], source: Tensor, own: Tensor, space: Workspace) -> Tensor:
    """Return what layers make of features, in `own` or in other memory of that size."""
    for layer in chain:
        if isinstance(layer, _Block):
            layer(source, Target.of(source), space)
            continue
        target = space.take(own.shape[2]) if source is own else own
        layer(source, Target.of(target))
        if source is own:
            space.give(own)
        source = own = target
    return own
