"""What a segmenter should answer: the classes of a mask, or where they meet."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from csgisnet.networks.segmenter import BOUNDARIES
from vocsmooth.classes import VOC_CLASSES, VOID

INSIDE, BOUNDARY = 0, 1

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


def target_names(num_classes: int) -> tuple[str, ...]:
    """Return the names of what a segmenter of so many classes answers."""
    return ("inside", "boundary") if num_classes == BOUNDARIES else VOC_CLASSES
