"""SSIM's mean and its derivative, computed together: each step of a training needs both.

What autograd would do one small operation at a time, through four moments of sums and differences
that it keeps, is here a formula: the moments of the label are shared between the images that are
compared with it, results overwrite what is not needed any more, and both filters are one large
product each. On processors a kernel takes one plane after the other, which then stays in the cache
(`vocsmooth/operators/csrc/similarity.c`).
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

from vocsmooth.operators import interface, kernels

C1, C2 = 0.01**2, 0.03**2
"""The constants of SSIM for values in [0, 1]."""


_LARGEST_WINDOW = 16
"""Pixels of a window for which the kernel has room; it needs two, all inside the image."""

_GAIN = 4
"""How many of torch's threads the kernel's one makes up for."""


def mean_similarity(
    image: Tensor, label: Tensor, rows: Tensor, columns: Tensor, middle: float = 0.0
) -> Tensor:
    """Return the mean SSIM of each batch of images.

    Parameters
    ----------
    image : Tensor
        (N, B, C, H, W), values in [0, 1]. The gradient flows to it once.
    label : Tensor
        (B, C, H, W); no gradient flows to it.
    rows, columns : Tensor
        Matrices (H', H) and (W', W) whose rows are windows.
    middle : float
        Taken off all values at first, which leaves more digits of their variances. The windows must
        sum to 1 if it is not 0.

    Returns
    -------
    Tensor
        (N,).
    """
    function: Any = _MeanSimilarity.apply
    means: Tensor = function(image, label, rows, columns, middle)
    return means


class _MeanSimilarity(torch.autograd.Function):
    """See `mean_similarity`.

    Planes lie as (H, planes, W) in memory: then the filter along columns is one product, and that
    along rows another.
    """

    @staticmethod
    def forward(
        ctx: Any, image: Tensor, label: Tensor, rows: Tensor, columns: Tensor, middle: float
    ) -> Tensor:
        if _fits_kernel(image, label, rows, columns):
            compared, kept = _compare(image, label, rows, columns, middle, ctx.needs_input_grad[0])
            ctx.save_for_backward(*kept)
            return compared
        several, batch, channels, height, width = image.shape
        own = batch * channels
        # x, x^2 + y^2 and xy of each image x, and the label y itself: all whose means SSIM needs.
        maps = image.new_empty(height, 3 * several + 1, own, width)
        x, squares, product = maps[:, :-1].view(height, 3, several, own, width).unbind(1)
        y = maps[:, -1:]
        rows_of = (several, own, height, width)
        torch.sub(image.reshape(rows_of).permute(2, 0, 1, 3), middle, out=x)
        torch.sub(label.reshape(1, *rows_of[1:]).permute(2, 0, 1, 3), middle, out=y)
        torch.mul(x, y, out=product)
        torch.mul(x, x, out=squares).add_(y.square())
        means = _filtered(maps, rows, columns)
        mean_x, both, cross = means[:, :-1].view(len(rows), 3, several, own, len(columns)).unbind(1)
        mean_y = means[:, -1:]
        # SSIM is the product of two fractions, a / b of the means and c / d of the deviations.
        mixed, pure = mean_x * mean_y, mean_x.square().add_(mean_y.square())
        c = cross.sub_(mixed).mul_(2).add_(C2)
        d = both.sub_(pure).add_(C2)
        more = (mean_x + mean_y).mul_(2 * middle).add_(2 * middle**2 + C1)
        a, b = mixed.mul_(2).add_(more), pure.add_(more)
        inverse = (b * d).reciprocal_()
        at_c = a * inverse
        similarity = at_c * c
        count = similarity[:, 0].numel()
        if ctx.needs_input_grad[0]:
            gradient = _gradient(mean_x, mean_y, (a, b, c, d), (at_c, inverse), similarity, middle)
            at_x, at_squares, at_product = _filtered(gradient, rows.T, columns.T).unbind(1)
            at_x.addcmul_(x, at_squares, value=-1).addcmul_(y, at_product).mul_(2 / count)
            ctx.save_for_backward(at_x.permute(1, 2, 0, 3).reshape(image.shape))
        total: Tensor = similarity.sum(dim=(0, 2, 3))
        return total / count

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (at_image,) = ctx.saved_tensors
        return at_image * gradient[:, None, None, None, None], None, None, None, None


def _fits_kernel(image: Tensor, label: Tensor, rows: Tensor, columns: Tensor) -> bool:
    """Tell whether the kernel takes these images and is faster: it has one thread, torch many."""
    return (
        kernels.library is not None
        and image.device.type == "cpu"
        and image.dtype == label.dtype == torch.float32
        and torch.get_num_threads() <= _GAIN
        and all(1 < m.shape[1] - m.shape[0] + 1 <= _LARGEST_WINDOW for m in (rows, columns))
    )


def _compare(
    image: Tensor, label: Tensor, rows: Tensor, columns: Tensor, middle: float, derive: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return the means with the kernel, and the derivative if it is wanted."""
    image, label = image.contiguous(), label.contiguous()
    several, batch, channels, height, width = image.shape
    windows = [m[0, : m.shape[1] - m.shape[0] + 1].contiguous() for m in (rows, columns)]
    count = batch * channels * len(rows) * len(columns)
    sums = torch.empty(several, batch * channels, dtype=torch.float64)
    gradient = torch.empty_like(image) if derive else None
    work = torch.zeros(kernels.required().similarity_floats(height, width))
    call = interface.Similarity(
        height=height,
        width=width,
        planes=several * batch * channels,
        labels=batch * channels,
        row_window=len(windows[0]),
        column_window=len(windows[1]),
        middle=middle,
        share=2 / count,
        row_taps=windows[0].data_ptr(),
        column_taps=windows[1].data_ptr(),
        image=image.data_ptr(),
        label=label.data_ptr(),
        gradient=None if gradient is None else gradient.data_ptr(),
        sums=sums.data_ptr(),
        work=work.data_ptr(),
    )
    kernels.required().compare_planes(ctypes.byref(call))
    return (sums.sum(dim=1) / count).to(image.dtype), () if gradient is None else (gradient,)


def _gradient(
    mean_x: Tensor,
    mean_y: Tensor,
    terms: tuple[Tensor, Tensor, Tensor, Tensor],
    known: tuple[Tensor, Tensor],
    similarity: Tensor,
    middle: float,
) -> Tensor:
    """Return half the derivatives by the means of x and xy, and minus that by x^2 + y^2.

    They are (H', 3, N, planes, W'). With S = ac / bd, the derivatives by a to d are c / bd,
    -S / b, a / bd and -S / d.
    """
    (a, b, c, d), (at_c, inverse) = terms, known
    found = c.new_empty(len(c), 3, *c.shape[1:])
    at_mean, at_squares, at_product = found.unbind(1)
    scaled = similarity * inverse
    torch.sub(c, a, out=at_mean).mul_(mean_y).add_(c, alpha=middle).mul_(inverse)
    at_mean.addcmul_((b - d).mul_(mean_x).sub_(d, alpha=middle), scaled)
    torch.mul(scaled, b, out=at_squares)
    at_product.copy_(at_c)
    return found


def _filtered(maps: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return maps (H, ..., W), multiplied by matrices (H', H) and (W', W) on both sides."""
    narrowed = rows @ maps.flatten(1)
    result = narrowed.view(-1, maps.shape[-1]) @ columns.T
    return result.view(len(rows), *maps.shape[1:-1], len(columns))
