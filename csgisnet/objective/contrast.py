"""Contrastive terms: the result should look like the label, and unlike the negatives.

As published, they also reward a result for moving away from the negatives in any direction.
Here the distance to a negative counts no more than the label's distance to it, so that no result
is better than the label itself.

References
----------
.. [1] J. Wang et al., "Contrastive Semantic-Guided Image Smoothing Network", Computer Graphics
       Forum 41(7), 2022, section 3.
.. [2] H. Wu et al., "Contrastive Learning for Compact Single Image Dehazing", CVPR 2021, eq. 3.
.. [3] G. Wu et al., "Learning from History: Task-agnostic Model Contrastive Learning for Image
       Restoration", AAAI 2024: self-promoted negatives (SPN).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

Features: TypeAlias = Callable[[Tensor], tuple[Tensor, ...]]
"""Feature maps, from shallow to deep, of a batch of images."""

Distances: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""d(result, label) (B,), d(result, negatives) and d(label, negatives) (B, N)."""

_SURELY = 1 - 1e-6
"""Share of the label's distance to a negative that counts as all of it: at the label itself two
passes of the same features differ in their last bits, which must not pull the result away."""


def contrast_ratio(
    result: Tensor,
    label: Tensor,
    negatives: Tensor,
    features: Features,
    *,
    layers: tuple[float, ...] = (1 / 16, 1 / 8, 1 / 4, 1.0),
    eps: float = 0.01,
    gate: Tensor | None = None,
) -> Tensor:
    """Weighted sum over feature layers of d(result, label) / (mean d(result, negative) + eps).

    d is the mean absolute difference of the layer's features [2]_; d(result, negative) counts up
    to d(label, negative).

    Parameters
    ----------
    result, label : Tensor
        Images (B, 3, H, W).
    negatives : Tensor
        N >= 1 negatives for each sample, (B, N, 3, H, W).
    features : callable
        Returns one feature map for each layer, from shallow to deep.
    layers : tuple of float
        Weight of each layer.
    eps : float
        Bounds the ratio where the negatives equal the label.
    gate : Tensor, optional
        Whether each negative counts, (B, N), as `csgisnet.objective.directional.closer_than`
        returns it; the distance to one that does not is taken to be the label's.

    Raises
    ------
    ValueError
        There is no negative, or `layers` does not have one weight for each layer.
    """
    total = result.new_zeros(())
    for weight, distances in _weighted(result, label, negatives, features, layers):
        positive, negative, bound = distances
        least = torch.minimum(negative, bound)
        if gate is not None:
            least = torch.where(gate > 0, least, bound)
        total = total + weight * (positive / (least.mean(dim=1) + eps)).mean()
    return total


def contrast_push(
    result: Tensor,
    label: Tensor,
    negatives: Tensor,
    features: Features,
    *,
    layers: tuple[float, ...] = (1 / 16, 1 / 8, 1 / 4, 1.0),
    gate: Tensor | None = None,
) -> Tensor:
    """Weighted sum over layers of max(0, d(label, negative) - d(result, negative)).

    It pushes the result away from the negatives until it is as far from them as the label is: the
    negative half of SPN's loss [3]_, which has no such end, and whose negatives are the results of
    slow copies of the network (`LossConfig.contrast_copies`).

    The parameters are those of `contrast_ratio`.
    """
    total = result.new_zeros(())
    for weight, (_, negative, bound) in _weighted(result, label, negatives, features, layers):
        near = functional.relu(_SURELY * bound - negative)
        total = total + weight * (near if gate is None else near * gate).mean()
    return total


def contrast_positive(
    result: Tensor,
    label: Tensor,
    features: Features,
    *,
    layers: tuple[float, ...] = (1 / 16, 1 / 8, 1 / 4, 1.0),
) -> Tensor:
    """Weighted sum over feature layers of d(result, label): the contrast without its negatives.

    What a contrast gains beyond this, it owes to the negatives. The parameters are those of
    `contrast_ratio`.
    """
    total = result.new_zeros(())
    pairs = _weighted(result, label, label[:, None], features, layers)
    for weight, (positive, _, _) in pairs:
        total = total + weight * positive.mean()
    return total


def contrast_triplet(
    result: Tensor,
    label: Tensor,
    negatives: Tensor,
    features: Features,
    *,
    image_margin: float = 0.3,
    gram_margin: float = 0.04,
    gate: Tensor | None = None,
) -> Tensor:
    """Hinges max(0, d(result, label) - d(result, negative) + margin) on images and on textures.

    d is the mean absolute difference of pixels, and the squared Frobenius distance of the Gram
    matrices summed over feature layers. A margin counts up to d(label, negative), and a hinge only
    where `gate` is not 0.

    The parameters are those of `contrast_ratio`, and the two margins.
    """
    maps = _reference_maps(result, label, negatives, features)
    pixels = torch.cat([label[:, None], negatives], dim=1)
    on_images = _hinge(_distances(result[:, None], pixels, _mean_absolute), image_margin, gate)
    by_layer = [_distances(gram_matrices(a), gram_matrices(b), _squared) for a, b in maps]
    positive, negative, bound = (torch.stack(d).sum(dim=0) for d in zip(*by_layer, strict=True))
    return on_images + _hinge((positive, negative, bound), gram_margin, gate)


def gram_matrices(maps: Tensor) -> Tensor:
    """Gram matrices (B, N, C, C) of maps (B, N, C, H, W), divided by C H W."""
    flat = maps.flatten(3)
    return flat @ flat.transpose(2, 3) / (flat.shape[2] * flat.shape[3])


def _weighted(
    result: Tensor,
    label: Tensor,
    negatives: Tensor,
    features: Features,
    layers: tuple[float, ...],
) -> list[tuple[float, Distances]]:
    """Return each layer's weight and its mean absolute distances."""
    maps = _reference_maps(result, label, negatives, features)
    if len(maps) != len(layers):
        raise ValueError(
            f"layers has length {len(layers)}, and the features {len(maps)}: "
            "give one weight for each."
        )
    distances = [_distances(mine, references, _mean_absolute) for mine, references in maps]
    return list(zip(layers, distances, strict=True))


def _reference_maps(
    result: Tensor, label: Tensor, negatives: Tensor, features: Features
) -> list[tuple[Tensor, Tensor]]:
    """Return each layer's maps of result (B, 1, ...) and of label and negatives (B, 1 + N, ...)."""
    if negatives.shape[1] == 0:
        raise ValueError("The contrast term needs at least one negative, got none.")
    references = torch.cat([label[:, None], negatives], dim=1)
    with torch.no_grad():
        theirs = features(references.flatten(0, 1))
    shape = references.shape[:2]
    pairs = zip(features(result), theirs, strict=True)
    return [(_widen(a)[:, None], _widen(b).reshape(*shape, *b.shape[1:])) for a, b in pairs]


def _widen(maps: Tensor) -> Tensor:
    """Convert feature maps in half precision to float32, and leave others alone."""
    return maps.to(torch.promote_types(maps.dtype, torch.float32))


def _distances(mine: Tensor, references: Tensor, distance: Callable[[Tensor], Tensor]) -> Distances:
    """Return d(result, label) (B,), d(result, negatives) and d(label, negatives) (B, N)."""
    apart = distance(mine - references)
    bound = distance(references[:, :1] - references[:, 1:])
    return apart[:, 0], apart[:, 1:], bound


def _hinge(distances: Distances, margin: float, gate: Tensor | None) -> Tensor:
    """Return the mean hinge over samples and negatives, its margin at most d(label, negative)."""
    positive, negative, bound = distances
    cost = functional.relu(positive[:, None] - negative + (_SURELY * bound).clamp(max=margin))
    return (cost if gate is None else cost * gate).mean()


def _mean_absolute(difference: Tensor) -> Tensor:
    """Return the mean absolute value (B, N) of maps (B, N, C, H, W)."""
    return difference.abs().mean(dim=(2, 3, 4))


def _squared(difference: Tensor) -> Tensor:
    """Return the squared Frobenius norm (B, N) of matrices (B, N, C, C)."""
    return difference.square().sum(dim=(2, 3))
