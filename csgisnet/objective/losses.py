"""The training objective: one pure function for each term, each a mean of per-sample losses.

So no term depends on the batch size, and every term moves the network's weights.

References
----------
.. [1] J. Wang et al., "Contrastive Semantic-Guided Image Smoothing Network", Computer Graphics
       Forum 41(7), 2022, section 3.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from csgisnet.device import place
from csgisnet.networks.features import LAYERS, SegmenterFeatures
from csgisnet.networks.segmenter import Segmenter
from csgisnet.networks.smoothing import Smoothing, SmoothingNetwork
from csgisnet.objective.authors import edge_of_authors
from csgisnet.objective.config import LossConfig
from csgisnet.objective.forms import contrast_loss
from csgisnet.objective.regions import region_loss
from csgisnet.objective.structure import structure_loss
from csgisnet.objective.targets import targets_of, weights_of_targets
from vocsmooth.classes import VOID

UNKNOWN = -1.0
"""In maps of edges, where nobody knows whether there is one."""


class Batch(NamedTuple):
    """Aligned maps of B training patches."""

    input: Tensor
    """Textured image (B, 3, H, W) in [0, 1]."""
    label: Tensor
    """Structure image (B, 3, H, W) in [0, 1]."""
    edge: Tensor
    """Edges of the label (B, 1, H, W), 0.0 or 1.0, or `UNKNOWN`."""
    mask: Tensor
    """Class indices (B, H, W) int64, `VOID` where unknown."""
    negatives: Tensor
    """Images (B, N, 3, H, W) in [0, 1] that the result must not look like."""
    level: Tensor
    """Level (B,) in [0, 1] to which the label belongs, for networks that take one."""

    def arguments(self, network: nn.Module, image: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return what `network` takes: the input or another image, and the level if it has one."""
        image = self.input if image is None else image
        takes_level = isinstance(network, SmoothingNetwork) and network.config.level
        return (image, self.level) if takes_level else (image,)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Teachers:
    """Networks that judge results; they are put into eval mode, and their weights are frozen."""

    segmenter: nn.Module | None = None
    """Class logits (B, K, H, W) of images in [0, 1]."""
    features: nn.Module | None = None
    """Tuple of feature maps, from shallow to deep, of images in [0, 1]."""
    average: nn.Module | None = None
    """Moving average of the network in training, which smooths the inverted texture."""
    copies: tuple[nn.Module, ...] = ()
    """Slow copies of the network in training, whose results are negatives."""

    def __post_init__(self) -> None:
        for teacher in self._all():
            teacher.eval().requires_grad_(False)

    def to(self, device: torch.device | str) -> Teachers:
        """Move all networks to `device`."""
        for teacher in self._all():
            place(teacher, torch.device(device))
        return self

    def _all(self) -> list[nn.Module]:
        """Return the networks that are present."""
        given = (self.segmenter, self.features, self.average, *self.copies)
        return [teacher for teacher in given if teacher is not None]


def total_loss(
    smoothing: Smoothing,
    batch: Batch,
    teachers: Teachers,
    config: LossConfig,
    weights: Mapping[str, float] | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the weighted sum of the terms, and each term detached, without its own weight.

    `weights` has a weight for each term in use, where shares have been calibrated; by default they
    are ``config.weights``.

    All is computed in float32, teachers included, whatever the precision of the network: in
    bfloat16 the gradient that a teacher sends back has another direction.

    Raises
    ------
    ValueError
        A term whose weight is not 0 needs a teacher that `teachers` lacks.
    """
    weights = config.weights if weights is None else weights
    values = term_values(smoothing, batch, teachers, config)
    total = torch.stack([weights[name] * value for name, value in values.items()])
    return total.sum(), {name: value.detach() for name, value in values.items()}


def term_values(
    smoothing: Smoothing, batch: Batch, teachers: Teachers, config: LossConfig
) -> dict[str, Tensor]:
    """Return the terms in use, without their weights; see `total_loss`."""
    with torch.autocast(smoothing.result.device.type, enabled=False):
        result, coarse, edge = (
            m.float() for m in (smoothing.result, smoothing.coarse, smoothing.edge)
        )
        seen = _Seen(result, teachers)
        images = torch.stack([result, coarse] if config.coarse > 0 else [result])
        structure = functools.partial(
            structure_loss, pool=config.structure_pool, border=config.structure_border
        )
        on_edges = edge_of_authors if config.edge_form == "authors" else edge_loss
        terms: dict[str, Callable[[], Tensor]] = {
            "l1": lambda: _of_both(l1_loss(images, batch.label), config.coarse),
            "structure": lambda: _of_both(structure(images, batch.label), config.coarse),
            "edge": lambda: on_edges(edge, batch.edge),
            "contrast": lambda: _contrast(seen, batch, teachers, config),
            "semantic": lambda: _semantic(seen.logits(), batch.mask),
            "inversion": lambda: inversion_loss(result, batch, teachers.average),
            "region": lambda: region_loss(result, batch.label, batch.mask),
            "tv": lambda: distinctive_tv(result, batch.edge),
        }
        return {name: terms[name]() for name in config.terms}


def l1_loss(image: Tensor, label: Tensor) -> Tensor:
    """Mean absolute difference of images (B, 3, H, W), or of each batch of (N, B, 3, H, W)."""
    return (image - label).abs().mean(dim=(-4, -3, -2, -1))


def edge_loss(logits: Tensor, edge: Tensor, min_share: float = 0.01) -> Tensor:
    """Cross-entropy of edges (B, 1, H, W), balanced by each sample's share of edge pixels.

    Edge pixels weigh as much as the share of the other pixels, and the other way round. Neither
    weight falls below `min_share`, so that false edges also cost in patches without any edge.
    Unknown pixels weigh nothing.
    """
    known, edge = (edge != UNKNOWN).float(), edge.clamp(min=0)
    share = edge.mean(dim=(1, 2, 3), keepdim=True).clamp(min_share, 1 - min_share)
    weight = torch.where(edge > 0.5, 1 - share, share) * known
    return functional.binary_cross_entropy_with_logits(logits, edge, weight)


def semantic_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of class logits (B, K, H, W) and a mask (B, H, W) over its known pixels.

    A sample whose mask is all void counts as 0. Boundaries weigh more than the inside, see
    `csgisnet.objective.targets.weights_of_targets`.
    """
    weight = weights_of_targets(logits)
    loss = functional.cross_entropy(logits, mask, weight, ignore_index=VOID, reduction="none")
    known = (mask != VOID).sum(dim=(1, 2)).clamp(min=1)
    return (loss.sum(dim=(1, 2)) / known).mean()


def inversion_loss(result: Tensor, batch: Batch, average: nn.Module | None) -> Tensor:
    """Mean absolute difference between the results for S + T and for S - T, S being the label.

    The two inputs have one structure and opposite textures, so results that differ still hold
    texture: the observation behind texture inversion (SIGGRAPH Asia 2025), with the exact texture
    of the data. The second result is that of the network's moving average, as a target without
    gradient, which costs a forward pass and no backward pass.
    """
    if average is None:
        raise ValueError(
            "The inversion term needs the network's moving average, and the teachers have none."
        )
    with torch.no_grad():
        inverted = (2 * batch.label - batch.input).clamp(0, 1)
        other: Smoothing = average(*batch.arguments(average, inverted))
    return (result - other.result.float()).abs().mean()


def distinctive_tv(image: Tensor, edge: Tensor) -> Tensor:
    """Mean absolute difference of neighbours (B, 3, H, W) where neither is on an edge (B, 1, H, W).

    Only neighbours inside the image count, and only where the edges are known; its borders do not
    wrap around.
    """
    flat = (edge == 0).float()
    rows, columns = flat[..., 1:, :] * flat[..., :-1, :], flat[..., 1:] * flat[..., :-1]
    change = (rows * image.diff(dim=-2).abs()).mean(dim=1).sum(dim=(1, 2))
    change = change + (columns * image.diff(dim=-1).abs()).mean(dim=1).sum(dim=(1, 2))
    pairs = rows.sum(dim=(1, 2, 3)) + columns.sum(dim=(1, 2, 3))
    return (change / pairs.clamp(min=1)).mean()


def _of_both(losses: Tensor, coarse: float) -> Tensor:
    """Add the loss of the result, and `coarse` times that of the coarse image if it counts."""
    return losses[0] + coarse * losses[1] if len(losses) == 2 else losses[0]


class _Seen:
    """What the teachers see in a result; a backbone they share runs only once."""

    def __init__(self, result: Tensor, teachers: Teachers) -> None:
        self.result, self._teachers = result, teachers
        extractor, segmenter = teachers.features, teachers.segmenter
        shared = isinstance(extractor, SegmenterFeatures) and extractor.segmenter is segmenter
        self._segmenter = segmenter if shared and isinstance(segmenter, Segmenter) else None
        self._levels: tuple[Tensor, ...] | None = None

    def _shared_levels(self, segmenter: Segmenter) -> tuple[Tensor, ...]:
        """Return the maps of the shared backbone."""
        if self._levels is None:
            self._levels = segmenter.levels(self.result)
        return self._levels

    def features(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the feature maps of an image, the result's from the shared backbone."""
        if self._teachers.features is None:
            raise ValueError(
                "The contrast term needs a feature extractor, and the teachers have none."
            )
        if self._segmenter is not None and image is self.result:
            return self._shared_levels(self._segmenter)[:LAYERS]
        maps: tuple[Tensor, ...] = self._teachers.features(image)
        return maps

    def logits(self) -> Tensor:
        """Return the segmenter's logits for the result; gradients flow back to the network."""
        if self._segmenter is not None:
            levels = self._shared_levels(self._segmenter)
            return self._segmenter.classify(levels, self.result.shape[-2:])
        if self._teachers.segmenter is None:
            raise ValueError("The semantic term needs a segmenter, and the teachers have none.")
        logits: Tensor = self._teachers.segmenter(self.result)
        return logits


def _semantic(logits: Tensor, mask: Tensor) -> Tensor:
    """Return the semantic term of a segmenter of classes, or of boundaries."""
    return semantic_loss(logits, targets_of(mask, logits.shape[1]))


def _contrast(seen: _Seen, batch: Batch, teachers: Teachers, config: LossConfig) -> Tensor:
    """Return the contrast term in the form that `config` names."""
    negatives = batch.negatives
    if config.contrast_copies:
        if len(teachers.copies) != len(config.contrast_copies):
            raise ValueError(
                f"contrast_copies asks for {len(config.contrast_copies)} slow copies of the "
                f"network, and the teachers have {len(teachers.copies)}."
            )
        with torch.no_grad():
            smoothings = [copy(*batch.arguments(copy)) for copy in teachers.copies]
            results = [smoothing.result.float() for smoothing in smoothings]
        negatives = torch.stack(results, dim=1)
    return contrast_loss(seen.result, batch.label, negatives, seen.features, config)
