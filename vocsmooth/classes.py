"""The classes of PASCAL VOC: their names, their colours, and void."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

VOID = 255
"""Mask value of pixels that belong to no class and count in no loss: object outlines, and what was
not annotated."""

VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)  # fmt: skip
"""Names of the classes 0..20."""


def _palette() -> NDArray[np.uint8]:
    """Return VOC's colour map: the bits of an index dealt out to R, G, B from the top bit down."""
    index = np.arange(256)
    colors = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colors[:, channel] |= ((index >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
    return colors


VOC_PALETTE = _palette()
"""(256, 3) uint8 RGB colours of the mask values."""
