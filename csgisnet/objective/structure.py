"""SSIM over several scales as a training loss; reports use `csgisnet.evaluation.metrics.ssim`.

References
----------
.. [1] Z. Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity",
       IEEE Transactions on Image Processing 13(4), 2004, eq. 13.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from csgisnet.objective.similarity import C1, C2, mean_similarity

Border: TypeAlias = Literal["inside", "zeros"]

SCALES = 4

_WINDOW, _SIGMA = 11, 1.5

_POOLS: dict[str, Callable[..., Tensor]] = {
    "max": functional.max_pool2d,
    "average": functional.avg_pool2d,
}


def structure_loss(
    image: Tensor,
    label: Tensor,
    pool: Literal["max", "average"] = "max",
    border: Border = "inside",
) -> Tensor:
    """Return ``SCALES`` minus the sum of the mean SSIM at ``SCALES`` scales, each half the last.

    Parameters
    ----------
    image : Tensor
        Images (B, C, H, W) in [0, 1], or several such batches (N, B, C, H, W).
    label : Tensor
        Images (B, C, H, W) in [0, 1].
    pool : {"max", "average"}
        How 2 x 2 pixels become one.
    border : {"inside", "zeros"}
        See `ssim`.

    Returns
    -------
    Tensor
        A scalar, or one value for each batch, (N,).
    """
    halve = _POOLS[pool]
    image, label = image.contiguous(), label.contiguous()  # pooling is slow in other layouts
    means = [_mean_ssim(image, label, border)]
    for _ in range(SCALES - 1):
        smaller = halve(image.flatten(0, -4), 2, ceil_mode=True)
        image = smaller.reshape(*image.shape[:-2], *smaller.shape[-2:])
        label = halve(label, 2, ceil_mode=True)
        means.append(_mean_ssim(image, label, border))
    return SCALES - torch.stack(means).sum(dim=0)


def _mean_ssim(image: Tensor, label: Tensor, border: Border) -> Tensor:
    """Return the mean of `ssim`, a scalar or (N,)."""
    if torch.compiler.is_compiling() or label.requires_grad:
        return ssim(image, label, border).mean(dim=(-4, -3, -2, -1))
    rows, columns = _windows(image, border)
    several = image if image.ndim == 5 else image[None]
    middle = 0.5 if border == "inside" else 0.0
    means = mean_similarity(several, label, rows, columns, middle)
    return means if image.ndim == 5 else means[0]


def ssim(image: Tensor, label: Tensor, border: Border = "inside") -> Tensor:
    """Return SSIM maps ([N,] B, C, H', W') of images in [0, 1]: Gaussian window of 11, sigma 1.5.

    Only windows inside the image count, or with "zeros" a window around every pixel, with zeros
    outside. Sides shorter than 11 use the largest odd window that fits. Images and labels have the
    shapes that `structure_loss` takes.
    """
    rows, columns = _windows(image, border)
    # With s = x + y and d = x - y, twice the sum and product of squares that SSIM compares are
    # s^2 + d^2 and s^2 - d^2 over 2: four moments do instead of five.
    pair = torch.stack([image + label, image - label])
    mean, mean_of_squares = (rows @ torch.stack([pair, pair.square()]) @ columns.T).unbind()
    squared_mean = mean.square()
    mean_s, mean_d = squared_mean.unbind()
    variance_s, variance_d = (mean_of_squares - squared_mean).unbind()
    mean_s, variance_s = mean_s + 2 * C1, variance_s + 2 * C2
    top = (mean_s - mean_d) * (variance_s - variance_d)
    similarity: Tensor = top / ((mean_s + mean_d) * (variance_s + variance_d))
    return similarity


def _windows(image: Tensor, border: Border) -> tuple[Tensor, Tensor]:
    """Return the matrices of `_window_means` for both sides of images (..., H, W)."""
    # torch.compile neither sees through the cache nor needs it.
    means = _window_means if torch.compiler.is_compiling() else _kept_window_means
    rows, columns = (means(side, image.dtype, image.device, border) for side in image.shape[-2:])
    return rows, columns


def _window_means(
    side: int, dtype: torch.dtype, device: torch.device, border: Border = "inside"
) -> Tensor:
    """Return the matrix (H', H) whose rows are Gaussian windows on a line of `side` pixels.

    As a product with a band matrix the filter is as fast as a convolution on patches, forward and
    backward.
    """
    window = min(_WINDOW, side - 1 + side % 2)
    outside = window // 2 if border == "zeros" else 0
    starts = torch.arange(side - window + 1 + 2 * outside, device=device) - outside
    places = torch.arange(-outside, side + outside, device=device)
    offset = places - starts.unsqueeze(1)
    inside = (offset >= 0) & (offset < window)
    weight = torch.exp(-((offset - window // 2) ** 2) / (2 * _SIGMA**2)).to(dtype) * inside
    return (weight / weight.sum(dim=1, keepdim=True))[:, outside : outside + side]


@functools.lru_cache(maxsize=32)
def _kept_window_means(
    side: int, dtype: torch.dtype, device: torch.device, border: Border = "inside"
) -> Tensor:
    """Return the matrix of `_window_means`, computed once for all steps."""
    with torch.inference_mode(False):  # so that training may use what a prediction asked for first
        return _window_means(side, dtype, device, border)
