"""ComfyUI's images are tensors (B, H, W, C) in [0, 1]; ours are arrays (H, W) or (H, W, 3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float32]


def for_each_image(function: Callable[..., Any], *batches: Tensor) -> Tensor:
    """Apply a function of images to every image of one or more batches.

    Parameters
    ----------
    function : callable
        Maps as many float32 arrays (H, W) or (H, W, 3) in [0, 1] as there are batches to one.
    *batches : Tensor
        Batches (B, H, W, C) of one size, where C is 1, 3, or 4 with alpha, and (B, H, W) masks. A
        batch of one image serves every image of the others.

    Returns
    -------
    Tensor
        Results (B, H, W, C) or (B, H, W), of the type of the first batch and on its device, with
        its alpha.

    Raises
    ------
    ValueError
        The batches have different numbers of images.
    """
    first = batches[0]
    count = max(len(batch) for batch in batches)
    if any(len(batch) not in (1, count) for batch in batches):
        numbers = ", ".join(str(len(batch)) for batch in batches)
        raise ValueError(f"Batches must have the same number of images, or one; got {numbers}.")
    results = [
        torch.from_numpy(
            np.ascontiguousarray(function(*(_to_array(b[i % len(b)]) for b in batches)), np.float32)
        )
        for i in range(count)
    ]
    smoothed = torch.stack(results).to(first)
    if first.ndim == 4 and smoothed.ndim == 3 and first.shape[-1] == 1:
        return smoothed[..., None]
    if first.ndim == 4 and smoothed.ndim == 4 and first.shape[-1] == 4:
        return torch.cat([smoothed, first[..., 3:].expand(count, -1, -1, -1)], dim=-1)
    return smoothed


def _to_array(image: Tensor) -> Array:
    """Return an image without its alpha; other nodes may leave values a little out of range."""
    array: Array = image.float().clamp(0, 1).cpu().numpy()
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    return array[..., :3] if array.ndim == 3 else array
