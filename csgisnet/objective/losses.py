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
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from csgisnet.device import place
from csgisnet.networks.features import LAYERS, SegmenterFeatures
from csgisnet.networks.segmenter import Segmenter
from csgisnet.networks.smoothing import Smoothing
from csgisnet.objective.contrast import contrast_ratio, contrast_triplet
from csgisnet.objective.structure import structure_loss
from vocsmooth.classes import VOID

TERMS = ("l1", "structure", "edge", "contrast", "semantic", "tv")
"""Names of the terms: the weights in `LossConfig`, and what `total_loss` logs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights and forms of the terms; a term of weight 0 is left out."""

    l1: float = 1.0
    """Mean absolute error of result and coarse image."""
    structure: float = 0.1
    """SSIM loss over four scales, of result and coarse image."""
    coarse: float = 1.0
    """Weight of the coarse image in these two terms, relative to the result's."""
    structure_pool: Literal["max", "average"] = "max"
    """How the scales are computed; the paper's code pools by maximum."""
    edge: float = 131.072
    """Balanced cross-entropy of the edges; equals the authors' 0.001 x sum over 8 x 128 x 128."""
    contrast: float = 0.1
    """Closeness to the label as against closeness to the negatives."""
    contrast_form: Literal["ratio", "triplet"] = "ratio"
    """Ratio of distances of deep features, or hinges on images and Gram matrices."""
    contrast_layers: tuple[float, ...] = (1 / 16, 1 / 8, 1 / 4, 1.0)
    """Weight of each feature layer in the ratio, from shallow to deep."""
    contrast_eps: float = 0.01
    """Feature distance below which a negative counts as the label itself, in the ratio."""
    image_margin: float = 0.3
    """Largest margin of the triplet on images."""
    gram_margin: float = 0.04
    """Largest margin of the triplet on Gram matrices."""
    semantic: float = 0.01
    """Cross-entropy of a frozen segmenter fed the result."""
    tv: float = 0.0
    """Total variation of the result away from edges."""

    def __post_init__(self) -> None:
        weights = [getattr(self, term) for term in TERMS]
        if min(weights) < 0 or max(weights) == 0:
            raise ValueError(f"the weights {', '.join(TERMS)} must be >= 0, and one of them > 0.")
        if not self.coarse >= 0:
            raise ValueError(f"coarse must be at least 0, got {self.coarse}.")
        if not self.contrast_eps > 0:
            raise ValueError(f"contrast_eps must be greater than 0, got {self.contrast_eps}.")


class Batch(NamedTuple):
    """Aligned maps of B training patches."""

    input: Tensor
    """Textured image (B, 3, H, W) in [0, 1]."""
    label: Tensor
    """Structure image (B, 3, H, W) in [0, 1]."""
    edge: Tensor
    """Edges of the label (B, 1, H, W), 0.0 or 1.0."""
    mask: Tensor
    """Class indices (B, H, W) int64, `VOID` where unknown."""
    negatives: Tensor
    """Images (B, N, 3, H, W) in [0, 1] that the result must not look like."""
    level: Tensor
    """Level (B,) in [0, 1] that the label is that of, for networks that take one."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Teachers:
    """Frozen networks that judge results; they are put into eval mode, their weights frozen."""

    segmenter: nn.Module | None = None
    """Class logits (B, K, H, W) of images in [0, 1]."""
    features: nn.Module | None = None
    """Tuple of feature maps, from shallow to deep, of images in [0, 1]."""

    def __post_init__(self) -> None:
        for teacher in (self.segmenter, self.features):
            if teacher is not None:
                teacher.eval().requires_grad_(False)

    def to(self, device: torch.device | str) -> Teachers:
        """Move both networks to `device`."""
        for teacher in (self.segmenter, self.features):
            if teacher is not None:
                place(teacher, torch.device(device))
        return self


def total_loss(
    smoothing: Smoothing, batch: Batch, teachers: Teachers, config: LossConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the weighted sum of the terms, and each term detached, without its own weight.

    All is computed in float32, teachers included, whatever the precision of the network: in
    bfloat16 the gradient that a teacher sends back has another direction.

    Raises
    ------
    ValueError
        A term whose weight is not 0 needs a teacher that `teachers` lacks.
    """
    with torch.autocast(smoothing.result.device.type, enabled=False):
        result, coarse, edge = (
            m.float() for m in (smoothing.result, smoothing.coarse, smoothing.edge)
        )
        seen = _Seen(result, teachers)
        images = torch.stack([result, coarse] if config.coarse > 0 else [result])
        structure = functools.partial(structure_loss, pool=config.structure_pool)
        terms: dict[str, Callable[[], Tensor]] = {
            "l1": lambda: _of_both(l1_loss(images, batch.label), config.coarse),
            "structure": lambda: _of_both(structure(images, batch.label), config.coarse),
            "edge": lambda: edge_loss(edge, batch.edge),
            "contrast": lambda: _contrast(seen, batch, config),
            "semantic": lambda: semantic_loss(seen.logits(), batch.mask),
            "tv": lambda: distinctive_tv(result, batch.edge),
        }
        values = {name: term() for name, term in terms.items() if getattr(config, name) > 0}
        total = torch.stack([getattr(config, name) * value for name, value in values.items()])
    return total.sum(), {name: value.detach() for name, value in values.items()}


def l1_loss(image: Tensor, label: Tensor) -> Tensor:
    """Mean absolute difference of images (B, 3, H, W), or of each batch of (N, B, 3, H, W)."""
    return (image - label).abs().mean(dim=(-4, -3, -2, -1))


def edge_loss(logits: Tensor, edge: Tensor, min_share: float = 0.01) -> Tensor:
    """Cross-entropy of edges (B, 1, H, W), balanced by each sample's share of edge pixels.

    Edge pixels weigh as much as the share of the other pixels, and the other way round. Neither
    weight falls below `min_share`, so that false edges also cost in patches without any edge.
    """
    share = edge.mean(dim=(1, 2, 3), keepdim=True).clamp(min_share, 1 - min_share)
    weight = torch.where(edge > 0.5, 1 - share, share)
    return functional.binary_cross_entropy_with_logits(logits, edge, weight)


def semantic_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of class logits (B, K, H, W) and a mask (B, H, W) over its known pixels.

    A sample whose mask is all void counts as 0.
    """
    loss = functional.cross_entropy(logits, mask, ignore_index=VOID, reduction="none")
    known = (mask != VOID).sum(dim=(1, 2)).clamp(min=1)
    return (loss.sum(dim=(1, 2)) / known).mean()


def distinctive_tv(image: Tensor, edge: Tensor) -> Tensor:
    """Mean absolute difference of neighbours (B, 3, H, W) of which neither is an edge (B, 1, H, W).

    Only neighbours inside the image count; its borders do not wrap around.
    """
    flat = 1 - edge
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


def _contrast(seen: _Seen, batch: Batch, config: LossConfig) -> Tensor:
    """Return the contrast term in the form that `config` names."""
    images = (seen.result, batch.label, batch.negatives, seen.features)
    if config.contrast_form == "triplet":
        return contrast_triplet(
            *images, image_margin=config.image_margin, gram_margin=config.gram_margin
        )
    return contrast_ratio(*images, layers=config.contrast_layers, eps=config.contrast_eps)
