"""Terms exactly as the paper's authors compute them, for comparisons with `configs/paper.toml`.

They are sums or hinges over the batch, so they depend on its size.

References
----------
.. [1] J. Wang et al., "Contrastive Semantic-Guided Image Smoothing Network", Computer Graphics
       Forum 41(7), 2022, section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from csgisnet.networks.segmenter import denormalise
from csgisnet.objective.contrast import Features, gram_matrices

LAYERS = 2
"""Feature layers whose Gram matrices are compared, the shallowest ones."""


def triplet_of_authors(
    result: Tensor,
    label: Tensor,
    negatives: Tensor,
    features: Features,
    *,
    image_margin: float = 0.3,
    gram_margin: float = 0.04,
) -> Tensor:
    """Hinges max(0, d(result, label) - d(result, negative) + margin) over the whole batch.

    d is the mean absolute difference of the images' channel means, and the squared difference of
    the Gram matrices of two feature layers, summed over layers and batch; the features see images
    that are not normalised. The authors draw one of the negatives by a coin for each batch; this
    is the mean over the negatives, which is what the coin gives on average.

    Parameters
    ----------
    result, label : Tensor
        Images (B, 3, H, W).
    negatives : Tensor
        N >= 1 negatives for each sample, (B, N, 3, H, W).
    features : callable
        Returns at least two feature maps, from shallow to deep, and normalises inside.
    image_margin, gram_margin : float
        The two margins.
    """
    grey = result.mean(dim=1)
    positive = (grey - label.mean(dim=1)).abs().mean()
    apart = (grey[:, None] - negatives.mean(dim=2)).abs().mean(dim=(0, 2, 3))
    on_images = functional.relu(positive - apart + image_margin).mean()

    mine = _grams(result, features)
    with torch.no_grad():
        theirs = _grams(label, features)
        others = [_grams(negative, features) for negative in negatives.unbind(dim=1)]
    near = _distance(mine, theirs)
    far = torch.stack([_distance(mine, other) for other in others])
    return on_images + functional.relu(near - far + gram_margin).mean()


def edge_of_authors(logits: Tensor, edge: Tensor) -> Tensor:
    """Cross-entropy of edges (B, 1, H, W), balanced within each sample and summed over all pixels.

    Samples without an edge cost nothing, whatever is predicted.
    """
    edge = edge.clamp(min=0)  # where they are unknown, as if there were none
    share = edge.mean(dim=(1, 2, 3), keepdim=True)
    weight = torch.where(edge > 0.5, 1 - share, share)
    return functional.binary_cross_entropy_with_logits(logits, edge, weight, reduction="sum")


def _grams(image: Tensor, features: Features) -> list[Tensor]:
    """Return Gram matrices (B, 1, C, C) of the shallowest layers; the image is not normalised."""
    return [gram_matrices(m[:, None]) for m in features(denormalise(image))[:LAYERS]]


def _distance(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """Return the squared difference of Gram matrices, summed over everything."""
    return torch.stack([(x - y).square().sum() for x, y in zip(a, b, strict=True)]).sum()
