"""Pictures of validation samples for TensorBoard."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from csgisnet.predict import Smoother
from vocsmooth.shards import Split

_ROWS = 3
_SIDE = 192


def draw_panel(
    smoother: Smoother, split: Split, samples: list[int], negatives: tuple[str, ...]
) -> Tensor:
    """Return a picture (3, H, W) uint8: a row a sample of input, result, label and negatives."""
    names = ("input", "label", *(n for n in negatives if n != "input"))
    rows = []
    for index in samples[:: max(1, len(samples) // _ROWS)][:_ROWS]:
        maps = {name: _centre(pixels) for name, pixels in split.read(index, names).items()}
        result = smoother.smooth(maps["input"].astype(np.float32) / np.float32(255))
        first, *others = maps.values()
        rows.append(np.hstack([first, np.rint(result * 255).astype(np.uint8), *others]))
    return torch.from_numpy(np.vstack(rows)).permute(2, 0, 1)


def _centre(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut the middle out of an image; a smaller one is filled up with black."""
    top, left = (max(0, (side - _SIDE) // 2) for side in pixels.shape[:2])
    part = pixels[top : top + _SIDE, left : left + _SIDE]
    return np.pad(part, [(0, _SIDE - n) for n in part.shape[:2]] + [(0, 0)])
