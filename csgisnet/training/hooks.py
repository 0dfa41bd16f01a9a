"""What a caller of `train` may add: a loss of their own, and a callback."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

from csgisnet.errors import ConfigError
from csgisnet.networks.smoothing import Smoothing
from csgisnet.objective.losses import Batch, total_loss

Loss: TypeAlias = Callable[[Smoothing, Batch], "Tensor | tuple[Tensor, Mapping[str, Tensor]]"]
"""Judges what the network made of a batch: the value to minimise, alone or with terms to log."""

Callback: TypeAlias = Callable[[int, Mapping[str, float]], "bool | None"]
"""Called with the step and values of each record of the log; returning True ends the run."""


def objective_of(loss: Loss | None) -> Callable[..., tuple[Tensor, dict[str, Tensor]]]:
    """Return what `Training` minimises: the caller's loss, or our own terms if there is none.

    Raises
    ------
    ConfigError
        At the first step: the loss does not return a number to differentiate.
    """
    if loss is None:
        return total_loss

    def objective(smoothing: Smoothing, batch: Batch, *_: Any) -> tuple[Tensor, dict[str, Tensor]]:
        found = loss(smoothing, batch)
        total, terms = found if isinstance(found, tuple) else (found, {})
        if not isinstance(total, Tensor) or total.ndim or not total.requires_grad:
            raise ConfigError(
                "loss must return a tensor without dimensions that depends on what the network "
                f"made, alone or before a dict of terms to log; got {_shown(total)}."
            )
        return total, {name: torch.as_tensor(term).detach() for name, term in terms.items()}

    return objective


def _shown(value: object) -> str:
    """Describe a value in an error message."""
    if isinstance(value, Tensor):
        kind = "with" if value.requires_grad else "without"
        return f"one of shape {tuple(value.shape)} {kind} a gradient"
    return f"{type(value).__name__} {value!r}"
