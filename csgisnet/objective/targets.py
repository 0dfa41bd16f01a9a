"""What a segmenter should answer: the classes of a mask, or where they meet."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from csgisnet.device import constant
from csgisnet.networks.segmenter import BOUNDARIES
from vocsmooth.classes import VOC_CLASSES, VOID

INSIDE, BOUNDARY = 0, 1

_WEIGHTS = (1.0, 3.4)  # of inside and boundary: the root of 92 % over 8 %

_REACH = 2  # pixels to either side of a change of class that count as boundary


def targets_of(mask: Tensor, num_classes: int) -> Tensor:
    """Return what a segmenter of so many classes should answer for a mask.

    Parameters
    ----------
    mask : Tensor
        Class indices (..., H, W), `VOID` where unknown.
    num_classes : int
        That of `csgisnet.networks.segmenter.SegmenterConfig`. With `BOUNDARIES`, the answer is 1
        within two pixels of another class or of void, and 0 elsewhere; with more, the mask itself.

    Returns
    -------
    Tensor
        Of the mask's shape and type; `VOID` where the mask is.
    """
    if num_classes != BOUNDARIES:
        return mask
    planes = mask.reshape(-1, 1, *mask.shape[-2:]).float()
    window = 2 * _REACH + 1
    highest, lowest = (
        sign * functional.max_pool2d(sign * planes, window, 1, _REACH) for sign in (1, -1)
    )
    changes = (highest != lowest).reshape(mask.shape).to(mask.dtype)
    return torch.where(mask == VOID, mask, changes)


def weights_of_targets(logits: Tensor) -> Tensor | None:
    """Return the weight of each class in the cross-entropy of logits (B, K, ...); None if equal.

    Boundaries are 8 % of the pixels of photographs. Unweighted, a segmenter learns where they may
    be, yet calls hardly any pixel one, as the other answer is right more often. Weighted by the
    inverse of their share, it would call a third of the inside boundary; by the root, which is
    taken here, it has nearly the largest mean IoU.
    """
    return constant(_WEIGHTS, logits) if logits.shape[1] == BOUNDARIES else None


def target_names(num_classes: int) -> tuple[str, ...]:
    """Return the names of what a segmenter of so many classes answers."""
    return ("inside", "boundary") if num_classes == BOUNDARIES else VOC_CLASSES
