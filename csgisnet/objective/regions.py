"""A prior from the mask itself, without a segmenter: how its regions should look.

Each part compares the result with the label, so all are 0 at the label, and so is their gradient.

References
----------
.. [1] Y. Wu et al., "Learning Semantic-Aware Knowledge Guidance for Low-Light Image Enhancement",
       CVPR 2023, section 3.3: colour statistics per class, there as histograms from a segmenter.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from vocsmooth.classes import VOID

_REGIONS = 256  # values that a mask may have


def region_loss(result: Tensor, label: Tensor, mask: Tensor) -> Tensor:
    """Add differences of regions' statistics, variation inside, and contrast lost between them.

    - Statistics: mean absolute difference between the mean colours of result and label, and between
      their spreads, over a sample's regions (a region is all pixels of a class), by their size.
    - Inside: by how much neighbours of one known class differ more in the result than in the label.
    - Across: by how much neighbours of two classes, or beside void, differ less.

    Parameters
    ----------
    result, label : Tensor
        Images (B, 3, H, W).
    mask : Tensor
        Class indices (B, H, W) int64, `VOID` where unknown; a sample that is all void counts as 0.

    Returns
    -------
    Tensor
        A scalar, at least 0.
    """
    known = (mask != VOID).any(dim=2).any(dim=1).to(result.dtype)
    inside, across = _changes(result, label, mask)
    per_sample = _statistics(result, label, mask) + known * (inside + across)
    return per_sample.mean()


def _statistics(result: Tensor, label: Tensor, mask: Tensor) -> Tensor:
    """Return the difference (B,) of the regions' means and spreads, weighted by size."""
    where = mask.flatten(1)
    size = torch.zeros(len(mask), _REGIONS, dtype=result.dtype, device=result.device)
    size = size.scatter_add(1, where, torch.ones_like(where, dtype=result.dtype))
    means, label_means = _means(result, where, size), _means(label, where, size)
    spread, label_spread = (
        _means((image - _spread_over(mean, where, image)).abs(), where, size)
        for image, mean in ((result, means), (label, label_means))
    )
    apart = (means - label_means).abs() + (spread - label_spread).abs()
    weight = size * (torch.arange(_REGIONS, device=size.device) != VOID)
    return (apart.mean(dim=1) * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)


def _means(image: Tensor, where: Tensor, size: Tensor) -> Tensor:
    """Return the mean of each channel over each region, (B, C, 256); 0 for empty regions."""
    batch, channels = image.shape[:2]
    sums = image.new_zeros(batch, channels, _REGIONS)
    index = where[:, None].expand(-1, channels, -1)
    return sums.scatter_add(2, index, image.flatten(2)) / size[:, None].clamp(min=1)


def _spread_over(means: Tensor, where: Tensor, image: Tensor) -> Tensor:
    """Give each pixel of `image` the mean of its region."""
    index = where[:, None].expand(-1, means.shape[1], -1)
    return means.gather(2, index).reshape(image.shape)


def _changes(result: Tensor, label: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return excess change inside regions and change lost across their borders, both (B,)."""
    inside = across = result.new_zeros(len(result))
    for dim in (-2, -1):
        first, second = (mask.narrow(dim, start, mask.shape[dim] - 1) for start in (0, 1))
        same = ((first == second) & (first != VOID)).to(result.dtype)
        border = (first != second).to(result.dtype)
        more = (result.diff(dim=dim).abs() - label.diff(dim=dim).abs()).mean(dim=1)
        inside = inside + _mean_where(functional.relu(more), same)
        across = across + _mean_where(functional.relu(-more), border)
    return inside, across


def _mean_where(values: Tensor, where: Tensor) -> Tensor:
    """Return the mean (B,) of values (B, H, W) where `where` is 1; 0 if that is nowhere."""
    return (values * where).sum(dim=(1, 2)) / where.sum(dim=(1, 2)).clamp(min=1)
