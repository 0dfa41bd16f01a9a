"""Optimizer, learning rate as a function of the step, and the moving average of the weights."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Sequence
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from csgisnet.networks.folding import normalised_convolutions
from csgisnet.training.muon import Muon

Net = TypeVar("Net", bound=nn.Module)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """The optimizer, gradient clipping and weight averaging."""

    kind: Literal["adamw", "muon"] = "adamw"
    """Muon moves the convolutions followed by normalisation, and AdamW the rest."""
    lr: float = 1e-3
    """Peak learning rate of the schedule."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of AdamW's two moments."""
    weight_decay: float = 0.0
    """Decoupled decay of convolution weights; biases and normalisation have none."""
    clip_norm: float = 1.0
    """Largest norm of the gradient over all parameters."""
    ema_decay: float = 0.999
    """Decay of the averaged weights, which validation and checkpoints use; 0 uses the latest."""

    def __post_init__(self) -> None:
        for name in ("lr", "clip_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}.")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must be in [0, 1), got {self.ema_decay}.")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be in [0, 1), got {self.betas}.")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay must be at least 0, got {self.weight_decay}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """How the learning rate changes over a run."""

    kind: Literal["cosine", "multistep"] = "cosine"
    """Fall along half a cosine, or in steps."""
    warmup: int = 500
    """Steps of linear rise at the start."""
    floor: float = 0.01
    """Where the cosine ends, as a share of the peak."""
    milestones: tuple[float, ...] = (40 / 218, 80 / 218, 120 / 218, 150 / 218, 190 / 218)
    """Shares of the run after which the rate falls; the defaults are the authors'."""
    factor: float = 0.5
    """What each fall multiplies the rate by."""

    def __post_init__(self) -> None:
        if self.warmup < 0:
            raise ValueError(f"warmup must be at least 0, got {self.warmup}.")
        if not 0 <= self.floor <= 1:
            raise ValueError(f"floor must be in [0, 1], got {self.floor}.")
        if not all(0 <= milestone <= 1 for milestone in self.milestones):
            raise ValueError(f"milestones must be in [0, 1], got {self.milestones}.")
        if not 0 < self.factor <= 1:
            raise ValueError(f"factor must be above 0 and at most 1, got {self.factor}.")

    def share(self, step: int, steps: int) -> float:
        """Return the learning rate of `step` (from 0) of `steps`, as a share of the peak."""
        rise = min(1.0, (step + 1) / (self.warmup + 1))
        if self.kind == "multistep":
            return rise * self.factor ** sum(step >= m * steps for m in self.milestones)
        progress = max(0, step - self.warmup) / max(1, steps - self.warmup)
        return rise * (self.floor + (1 - self.floor) * (1 + math.cos(math.pi * progress)) / 2)


def make_optimizers(network: nn.Module, config: OptimizerConfig) -> list[torch.optim.Optimizer]:
    """Divide a network's parameters among optimizers; one-dimensional parameters never decay.

    Muon takes the convolutions followed by normalisation, which undoes their scale; the first
    layer, the output layers and depthwise convolutions stay with AdamW (fused).
    """
    found = normalised_convolutions(network) if config.kind == "muon" else ()
    hidden = [conv.weight for _, conv, _ in found if conv.groups == 1]
    taken = {id(weight) for weight in hidden}
    rest = [p for p in network.parameters() if id(p) not in taken]
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)
    if not hidden:
        return [adamw]
    return [Muon(hidden, config.lr, weight_decay=config.weight_decay), adamw]


def set_learning_rate(optimizers: Sequence[torch.optim.Optimizer], lr: float) -> None:
    """Set the learning rate of every parameter group of every optimizer."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = lr


def take_step(optimizers: Sequence[torch.optim.Optimizer]) -> None:
    """Let every optimizer take a step, then drop the gradients."""
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def averaged_copy(network: Net) -> Net:
    """Return a copy for evaluation, which `update_average` moves after each step."""
    return copy.deepcopy(network).eval().requires_grad_(False)


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, step: int, decay: float) -> None:
    """Move `average` towards `network`, including batch statistics; early steps move it further.

    `step` counts from 0. Integer buffers are copied.
    """
    weight = 1 - min(decay, (1 + step) / (10 + step))
    averages, currents = average.state_dict().values(), network.state_dict().values()
    pairs = list(zip(averages, currents, strict=True))
    floating: list[tuple[Tensor, Tensor]] = [(a, c) for a, c in pairs if a.is_floating_point()]
    torch._foreach_lerp_([a for a, _ in floating], [c for _, c in floating], weight)
    for kept, current in pairs:
        if not kept.is_floating_point():
            kept.copy_(current)
