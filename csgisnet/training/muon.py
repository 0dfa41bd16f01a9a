"""Muon: each step moves a convolution along the orthogonal matrix nearest to its momentum.

All directions of a layer's output move equally far, even those whose gradients are small.
On our data, 500 steps end 0.5 dB above 500 of AdamW, about where 1000 of those end
(`benchmarks/ablation.py optimizers`, ``benchmarks/results/optimizers.json``).

``torch.optim.Muon`` takes only matrices and rounds them to bfloat16; this one takes convolutions,
computes in float32, and handles all weights of one shape at once.

References
----------
.. [1] K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
.. [2] J. Liu et al., "Muon is Scalable for LLM Training", arXiv 2502.16982, 2025, section 2.2.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

_ITERATIONS = 5

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)

_RMS = 0.2  # of AdamW's steps, as [2] measured it


class Muon(torch.optim.Optimizer):
    """Orthogonalised momentum with decoupled weight decay.

    A step's root mean square is about 0.2 `lr`, as with AdamW, so both can share a rate [2]_.

    Parameters
    ----------
    parameters : iterable of Tensor
        Weights of at least two dimensions; the first gives a matrix's rows, the rest its columns.
    lr : float
        Learning rate.
    momentum : float
        Decay of the gradient's moving average, which is used in Nesterov's form.
    weight_decay : float
        Each step shrinks the weights by `lr` times this share.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step."""
        if closure is not None:
            raise ValueError("Muon does not support closures.")
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    alike[weight.shape].append(weight)
            for weights in alike.values():
                self._step_alike(weights, group)

    def _step_alike(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        """Move weights of one shape."""
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        for weight in weights:
            if not self.state[weight]:
                self.state[weight]["momentum"] = torch.zeros_like(weight)
        momenta = [self.state[weight]["momentum"] for weight in weights]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        ahead = torch._foreach_lerp(gradients, momenta, group["momentum"])
        matrices = torch.stack([step.flatten(1) for step in ahead])
        steps = orthogonalise(matrices).reshape(-1, *weights[0].shape)
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        size = group["lr"] * _RMS * max(matrices.shape[1:]) ** 0.5
        torch._foreach_add_(weights, list(steps.unbind()), alpha=-size)


def orthogonalise(matrices: Tensor) -> Tensor:
    """Return matrices (N, R, C) with their singular values moved close to 1, most to 0.7 to 1.2.

    Takes five steps of a quintic Newton-Schulz iteration [1]_ that trades accuracy at one for a
    steep start at zero; values below about a thousandth of the largest stay smaller.
    """
    a, b, c = _COEFFICIENTS
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    x: Tensor = wide / wide.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if wide is matrices else x.mT
