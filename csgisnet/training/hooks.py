"""What a caller of `train` may add: a loss and a network of their own, and a callback."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from csgisnet.errors import ConfigError
from csgisnet.networks.own import OwnNetwork
from csgisnet.networks.smoothing import Smoothing, SmoothingNetwork
from csgisnet.objective.losses import Batch, total_loss
from csgisnet.training.config import Config

Loss: TypeAlias = Callable[[Smoothing, Batch], "Tensor | tuple[Tensor, Mapping[str, Tensor]]"]
"""Judges what the network made of a batch: the value to minimise, alone or with terms to log."""

Callback: TypeAlias = Callable[[int, Mapping[str, float]], "bool | None"]
"""Called with the step and values of each record of the log; returning True ends the run."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Own:
    """What no file of a run can hold, and a resume needs again."""

    loss: Loss | None = None
    network: OwnNetwork | None = None

    @property
    def names(self) -> list[str]:
        """What there is of it."""
        given = {"loss": self.loss, "network": self.network}
        return [name for name, value in given.items() if value is not None]

    def check(self, config: Config) -> None:
        """Raise ConfigError if the network cannot be trained with these settings."""
        if self.network is None:
            return
        if config.data.level_passes:
            raise ConfigError("network takes no level: data.level_passes must be 0.")
        side = config.data.patch
        try:
            complete = self.network.returns_smoothing(side + 1, side + 3)
        except ValueError as error:
            raise ConfigError(
                "network must map images (B, 3, H, W) to images of that shape, or to a "
                f"csgisnet.networks.smoothing.Smoothing, but {error}."
            ) from error
        losses = config.losses
        needed = {"edge": losses.edge, "coarse": losses.coarse * (losses.l1 + losses.structure)}
        missing = [f"losses.{name}" for name, weight in needed.items() if weight > 0]
        if missing and not complete and self.loss is None:
            raise ConfigError(
                f"network returns images only, which is not enough for {' and '.join(missing)} "
                "(edges, a coarse image). Set these to 0, or return a "
                "csgisnet.networks.smoothing.Smoothing."
            )


def own_network(network: nn.Module | None) -> OwnNetwork | None:
    """Wrap a network of the caller's own.

    Raises
    ------
    ConfigError
        It is one of ours, is not a module, has no weights, or uses one weight twice.
    """
    if network is None:
        return None
    if not isinstance(network, nn.Module) or isinstance(network, SmoothingNetwork):
        raise ConfigError(
            f"network must be a torch.nn.Module of your own, got a {type(network).__name__}. A "
            "SmoothingNetwork to begin with is given as initial."
        )
    if any(map(is_lazy, network.parameters())):
        raise ConfigError("network has lazy layers without sizes: call it once on an image first.")
    if not any(p.requires_grad for p in network.parameters()):
        raise ConfigError("network has no weights to train.")
    tensors = [t for t in network.state_dict().values() if isinstance(t, Tensor) and t.numel()]
    if len({t.data_ptr() for t in tensors}) < len(tensors):
        raise ConfigError(
            "network has one weight under two names, and the average of the weights would count it "
            "twice. Keep it in one module, and call that twice."
        )
    return OwnNetwork(network)


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
