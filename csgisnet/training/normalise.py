"""Batch normalisation and its ReLU in one call, for training in bfloat16 on processors.

Between convolutions on the matrix unit, torch spends two fifths of the network's time on these two:
four passes over the features forward and four backward, where two and two do
(`vocsmooth/operators/csrc/normalisation.c`). Weights, statistics and sums are no less exact.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from csgisnet.networks.layers import Block
from csgisnet.networks.smoothing import SmoothingNetwork
from vocsmooth.operators import interface, kernels

_LANES = 16
"""Features have a multiple of as many channels."""

_LEAST = 1 << 17
"""Elements for which a thread of the kernel is worth its start."""

_GAIN = 4
"""How many of torch's threads one of the kernel's makes up for."""


class NormRelu(nn.BatchNorm2d):
    """A normalisation that also cuts off what is below 0; its weights are those of `BatchNorm2d`.

    Where the kernel does not fit the features (other precisions, channels or layouts, statistics
    that are frozen), torch computes both.
    """

    relu = True
    """What `csgisnet.networks.layers.norm_relu` asks for."""

    @classmethod
    def of(cls, norm: nn.BatchNorm2d) -> NormRelu:
        """Return one that shares its weights and statistics with `norm`."""
        made = cls(norm.num_features, norm.eps, norm.momentum, norm.affine)
        made.__dict__.update(norm.__dict__)
        return made

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape and type of `x`, at least 0."""
        threads = _threads_for(x)
        if not (self.training and threads and self.momentum and _fits(x)):
            return functional.relu(super().forward(x), inplace=True)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        function: Any = _Function.apply
        result: Tensor = function(x, self.weight, self.bias, self, threads)
        return result


class _Spared(nn.ReLU):
    """What follows a `NormRelu`: in training it has nothing to do.

    Afterwards the normalisation may have been folded into the convolution, which leaves it to this.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` in training, else what is above 0 of it."""
        return x if self.training else super().forward(x)


def has_fast_normalisation() -> bool:
    """Return whether the kernel was built, for a processor like this one."""
    library = kernels.library
    return library is not None and bool(library.normalisation_allowed())


def normalise_fast(network: nn.Module) -> None:
    """Let a network of ours normalise with the kernel in training, if there is one for it here.

    Its parameters, its state and the names in it stay as they are.
    """
    if not has_fast_normalisation() or not isinstance(network, SmoothingNetwork):
        return
    for module in list(network.modules()):
        if isinstance(module, Block):
            for _, norm in module.pairs():
                _replace(module, norm)
        elif isinstance(module, nn.Sequential):
            for number in range(len(module) - 1):
                if isinstance(module[number + 1], nn.ReLU) and _replace(module, module[number]):
                    module[number + 1] = _Spared(inplace=True)


def _replace(parent: nn.Module, norm: nn.Module) -> bool:
    """Put a `NormRelu` in the place of a normalisation of torch's; tell whether it was one."""
    if type(norm) is not nn.BatchNorm2d:  # one that is synchronised does something else
        return False
    names = {id(child): name for name, child in parent.named_children()}
    setattr(parent, names[id(norm)], NormRelu.of(norm))
    return True


def _fits(x: Tensor) -> bool:
    """Tell whether the kernel takes these features."""
    return (
        x.dtype == torch.bfloat16
        and x.device.type == "cpu"
        and x.shape[1] % _LANES == 0
        and x.numel() > x.shape[1]
        and x.is_contiguous(memory_format=torch.channels_last)
    )


def _threads_for(x: Tensor) -> int:
    """Return how many threads the kernel takes; 0 where torch's are so many that it is slower."""
    given = torch.get_num_threads()
    threads = min(given, max(1, x.numel() // _LEAST))
    return threads if given <= _GAIN * threads else 0


class _Function(torch.autograd.Function):
    """The kernel and its derivative."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, norm: Any, threads: int
    ) -> Tensor:
        statistics = torch.empty(2, x.shape[1])
        out = torch.empty_like(x)
        call = _call(x, weight, bias, statistics, threads)
        call.momentum, call.eps = norm.momentum, norm.eps
        call.running_mean = norm.running_mean.data_ptr()
        call.running_variance = norm.running_var.data_ptr()
        call.out = out.data_ptr()
        kernels.required().normalise(ctypes.byref(call))
        ctx.save_for_backward(x, weight, bias, statistics)
        ctx.threads = threads
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, statistics = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        at_x, at_weight, at_bias = (torch.empty_like(t) for t in (x, weight, bias))
        call = _call(x, weight, bias, statistics, ctx.threads)
        call.out_gradient, call.in_gradient = gradient.data_ptr(), at_x.data_ptr()
        call.weight_gradient, call.bias_gradient = at_weight.data_ptr(), at_bias.data_ptr()
        kernels.required().normalise_backward(ctypes.byref(call))
        return at_x, at_weight, at_bias, None, None


def _call(
    x: Tensor, weight: Tensor, bias: Tensor, statistics: Tensor, threads: int
) -> interface.Normalisation:
    """Return the arguments that both directions have; `statistics` is (2, channels)."""
    channels, (mean, inverse) = x.shape[1], statistics
    sums = torch.empty(threads, 2, channels, dtype=torch.float64)
    call = interface.Normalisation(
        pixels=x.numel() // channels,
        channels=channels,
        threads=threads,
        weight=weight.data_ptr(),
        bias=bias.data_ptr(),
        mean=mean.data_ptr(),
        inverse=inverse.data_ptr(),
        sums=sums.data_ptr(),
    )
    setattr(call, "in", x.data_ptr())
    call.kept = sums  # lives as long as the arguments
    return call
