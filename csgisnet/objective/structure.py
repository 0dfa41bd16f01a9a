"""SSIM over several scales as a training loss; reports use `csgisnet.evaluation.metrics.ssim`.

References
----------
.. [1] Z. Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity",
       IEEE Transactions on Image Processing 13(4), 2004, eq. 13.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

SCALES = 4

_WINDOW, _SIGMA = 11, 1.5

_C1, _C2 = 0.01**2, 0.03**2

_POOLS: dict[str, Callable[..., Tensor]] = {
    "max": functional.max_pool2d,
    "average": functional.avg_pool2d,
}


def structure_loss(image: Tensor, label: Tensor, pool: Literal["max", "average"] = "max") -> Tensor:
    """Return ``SCALES`` minus the sum of the mean SSIM at ``SCALES`` scales, each half the last.

    Parameters
    ----------
    image, label : Tensor
        Images (B, C, H, W) in [0, 1].
    pool : {"max", "average"}
        How 2 x 2 pixels become one.
    """
    halve = _POOLS[pool]
    loss = 1 - ssim(image, label).mean()
    for _ in range(SCALES - 1):
        image = halve(image, 2, ceil_mode=True)
        label = halve(label, 2, ceil_mode=True)
        loss = loss + 1 - ssim(image, label).mean()
    return loss


def ssim(image: Tensor, label: Tensor) -> Tensor:
    """Return SSIM maps (B, C, H', W') of images in [0, 1]: Gaussian window of 11, sigma 1.5.

    Only windows inside the image count. Sides shorter than 11 use the largest odd window that
    fits.
    """
    # bfloat16 is too coarse for the difference of E[x^2] and E[x]^2.
    with torch.autocast(image.device.type, enabled=False):
        rows, columns = (_window_means(side, image) for side in image.shape[-2:])
        moments = torch.cat([image, label, image**2, label**2, image * label], dim=1)
        means = rows @ moments @ columns.T
        mu_x, mu_y, xx, yy, xy = means.chunk(5, dim=1)
        mu_xy, mu_xx, mu_yy = mu_x * mu_y, mu_x**2, mu_y**2
        top = (2 * mu_xy + _C1) * (2 * (xy - mu_xy) + _C2)
        return top / ((mu_xx + mu_yy + _C1) * (xx - mu_xx + yy - mu_yy + _C2))


def _window_means(side: int, like: Tensor) -> Tensor:
    """Return the matrix (H', H) whose rows are Gaussian windows inside a line of `side` pixels.

    As a product with a band matrix the filter is as fast as a convolution on patches, forward and
    backward, and is not rounded to TF32 by default.
    """
    window = min(_WINDOW, side - 1 + side % 2)
    offset = torch.arange(side, device=like.device) - torch.arange(
        side - window + 1, device=like.device
    ).unsqueeze(1)
    inside = (offset >= 0) & (offset < window)
    weight = torch.exp(-((offset - window // 2) ** 2) / (2 * _SIGMA**2)).to(like.dtype) * inside
    return weight / weight.sum(dim=1, keepdim=True)
