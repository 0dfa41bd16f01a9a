"""Contrast by direction: the result must not move from the label towards a negative.

Distances reward a result for leaving a negative in any direction. The difference between result
and label is split here into the part that points to the negative and the rest, and only that part
costs. Differences are those of image gradients at three scales, where over-smoothing and texture
left behind show, so no pretrained network is needed. The term is 0 at the label, where its gradient
vanishes too.

References
----------
.. [1] J. Wang et al., "Contrastive Semantic-Guided Image Smoothing Network", Computer Graphics
       Forum 41(7), 2022, section 3: the negatives, and what the contrast is for. The form is ours.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

SCALES = 3

_CELL = 8
"""Side of the windows in which a direction is measured, in pixels of each scale."""

_FLOOR = 1e-4
"""Mean squared gradient that counts as no difference: a hundredth of the range, squared."""


def contrast_directional(
    result: Tensor, label: Tensor, negatives: Tensor, gate: Tensor | None = None
) -> Tensor:
    """Mean of max(0, t)^2 with t = <r - l, n - l> / |n - l|^2 over windows of image gradients.

    t is 0 at the label l, and 1 where the result r equals the negative n. The windows are of 8
    pixels at each of three scales, each half the last.

    Parameters
    ----------
    result, label : Tensor
        Images (B, 3, H, W).
    negatives : Tensor
        N >= 1 negatives for each sample, (B, N, 3, H, W).
    gate : Tensor, optional
        Whether each negative counts, (B, N).

    Returns
    -------
    Tensor
        A scalar, at least 0.
    """
    apart, away = (result - label)[:, None], negatives - label[:, None]
    total = result.new_zeros(())
    for scale in range(SCALES):
        if scale:
            apart, away = _halve(apart), _halve(away)
        if min(apart.shape[-2:]) < 2:
            break  # one line of pixels has no gradient
        (a_down, a_right), (b_down, b_right) = _gradients(apart), _gradients(away)
        along = _windows((a_down * b_down + a_right * b_right).sum(dim=2))
        length = _windows((b_down.square() + b_right.square()).sum(dim=2))
        share = functional.relu(along / (length + _FLOOR)).square().mean(dim=(2, 3))
        total = total + (share if gate is None else share * gate).mean()
    return total / SCALES


def _halve(images: Tensor) -> Tensor:
    """Average 2 x 2 pixels of images (B, N, C, H, W); pixels left over at the border stay."""
    flat = functional.avg_pool2d(images.flatten(0, 1), 2, ceil_mode=True)
    return flat.reshape(*images.shape[:2], *flat.shape[1:])


def _gradients(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the changes to the neighbour below and to the right, both of one size."""
    corner = images[..., :-1, :-1]
    return images[..., 1:, :-1] - corner, images[..., :-1, 1:] - corner


def _windows(maps: Tensor) -> Tensor:
    """Return the mean of maps (B, N, H, W) over windows of `_CELL` pixels, fewer at the border."""
    side = [min(_CELL, n) for n in maps.shape[-2:]]
    return functional.avg_pool2d(maps, side, ceil_mode=True, count_include_pad=False)


def closer_than(result: Tensor, label: Tensor, negatives: Tensor) -> Tensor:
    """Return (B, N): 1.0 where the result is closer to the label than the negative is, else 0.0.

    Distances are mean absolute differences of pixels; no gradient flows through the answer. C2PNet
    lets a negative count in the same way, once the network's best PSNR exceeds the negative's [1]_.

    References
    ----------
    .. [1] Y. Zheng et al., "Curricular Contrastive Regularization for Physics-aware Single Image
           Dehazing", CVPR 2023, section 3.3.
    """
    with torch.no_grad():
        mine = (result - label).abs().mean(dim=(1, 2, 3))
        theirs = (negatives - label[:, None]).abs().mean(dim=(2, 3, 4))
        return (mine[:, None] < theirs).to(result.dtype)
