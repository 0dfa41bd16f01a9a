"""What changes from step to step: weights, their average, and the optimizers' moments."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from csgisnet.device import place, use_precision
from csgisnet.errors import ConfigError
from csgisnet.networks.own import OwnNetwork
from csgisnet.networks.smoothing import Smoothing, SmoothingNetwork
from csgisnet.networks.symmetry import Symmetry, is_symmetric
from csgisnet.objective.losses import Batch, Teachers, total_loss
from csgisnet.training.config import Config
from csgisnet.training.convolve import use_kernels
from csgisnet.training.distributed import Processes, distribute, synchronise
from csgisnet.training.levels import LevelLabels
from csgisnet.training.optimise import (
    averaged_copy,
    make_optimizers,
    set_learning_rate,
    take_step,
    update_average,
)
from csgisnet.training.shares import CALIBRATED_ON, Share, calibrated, described, measure_shares

Objective: TypeAlias = Callable[..., tuple[Tensor, dict[str, Tensor]]]
"""Of smoothing, batch, teachers, settings and weights; see `total_loss`."""

_COPY_DECAY = 0.1
"""Share of a slow copy that remains after an update, as in SPN."""

_SETTLED = 10**9
"""A step late enough for `update_average` to use the full decay."""


class Training:
    """A network in training.

    Parameters
    ----------
    config : Config
        Settings of the run.
    teachers : Teachers
        Networks that judge the results, already on the device.
    processes : Processes
        Who shares each batch, and on which device.
    initial : SmoothingNetwork or OwnNetwork, optional
        Network to begin with, trained in place; by default one with random weights.
    objective : callable
        What to minimise, called as `csgisnet.objective.losses.total_loss` is.
    simplifier : SmoothingNetwork, optional
        Makes the labels of level 1; needed if ``config.data.level_passes`` is above 0.
    """

    def __init__(
        self,
        config: Config,
        teachers: Teachers,
        processes: Processes,
        initial: SmoothingNetwork | OwnNetwork | None = None,
        objective: Objective = total_loss,
        simplifier: SmoothingNetwork | None = None,
    ) -> None:
        self.step = 0
        self._config, self._processes, self._device = config, processes, processes.device
        network = place(initial or new_network(config), processes.device)
        if config.run.symmetric:
            _make_symmetric(_our_own(network), begins=initial is None)
        self.average = averaged_copy(network)
        """The network to validate and save: a moving average of the trained one."""
        copies = tuple(averaged_copy(network) for _ in config.losses.contrast_copies)
        self._teachers = dataclasses.replace(teachers, average=self.average, copies=copies)
        self.weights = config.losses.weights
        """The terms' weights; those given as shares are 0 until they have been calibrated."""
        self._shares: dict[str, float] = {}
        self._norms: dict[str, list[float]] = {}
        """Of each term, on the batches on which the shares have been calibrated so far."""
        self._network = synchronise(network, processes).train()
        use_kernels(self._network, config, processes.device)
        # Only now, as what synchronises puts other normalisations in place.
        self._symmetry = Symmetry(_our_own(self._network)) if config.run.symmetric else None
        if config.run.freeze_statistics:
            for module in self._network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        self._optimizers = make_optimizers(self._network, config.optimizer)
        self._losses = objective
        self._levels = _level_labels(config, processes.device, simplifier)
        if config.run.compile:
            self._network.compile()
            self._losses = torch.compile(objective)
        self._forward = distribute(self._network, processes)

    def advance(self, batches: Iterator[Batch]) -> dict[str, Tensor]:
        """Take one optimizer step; return the loss, its terms and the gradient's norm.

        Nothing here waits for the device, but for steps that measure the terms' gradients.
        """
        optimizer = self._config.optimizer
        count = self._config.run.accumulate
        batches = map(self._labelled, batches)
        if self._measures:
            first = next(batches)
            self._measure(first)
            batches = itertools.chain([first], batches)
        with _one_shape():
            terms = [self._backward(next(batches), last=i + 1 == count) for i in range(count)]
        if self._symmetry is not None:
            self._symmetry.impose_on_gradients()
        norm = nn.utils.clip_grad_norm_(self._network.parameters(), optimizer.clip_norm)
        set_learning_rate(self._optimizers, self.learning_rate)
        take_step(self._optimizers)
        if self._symmetry is not None:
            self._symmetry.impose()
        update_average(self.average, self._network, self.step, optimizer.ema_decay)
        self.step += 1
        self._update_copies()
        means = {name: torch.stack([t[name] for t in terms]).mean() for name in terms[0]}
        shares = {name: means["loss"].new_full((), value) for name, value in self._shares.items()}
        return {**means, "grad_norm": norm.detach(), **shares}

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        share = self._config.schedule.share(self.step, self._config.run.steps)
        return self._config.optimizer.lr * share

    def state(self) -> dict[str, Any]:
        """Return all that an exact resume needs; data and schedule follow from the step."""
        return {
            "step": self.step,
            "network": self._network.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "weights": dict(self.weights),
            "shares": dict(self._shares),
            "norms": {name: list(norms) for name, norms in self._norms.items()},
            "copies": [copy.state_dict() for copy in self._teachers.copies],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from where `state` was taken."""
        self.step = state["step"]
        self._network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        for optimizer, kept in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        # States of earlier versions lack these, and their configurations do not use them.
        self.weights |= state.get("weights", {})
        self._shares = dict(state.get("shares", {}))
        self._norms = {name: list(norms) for name, norms in state.get("norms", {}).items()}
        for copy, kept in zip(self._teachers.copies, state.get("copies", ()), strict=True):
            copy.load_state_dict(kept)

    @property
    def _measures(self) -> bool:
        """Whether the terms' gradients are due: now and then, or to calibrate the shares."""
        every = self._config.run.shares_every
        return (every > 0 and self.step % every == 0) or self.step in self._calibration

    @property
    def _calibration(self) -> range:
        """The steps that turn shares into weights: the first ones after the warm-up.

        In a run that ends in its warm-up it is the last one.
        """
        if not any(self._config.losses.shares.values()):
            return range(0)
        steps = self._config.run.steps
        first = min(self._config.schedule.warmup, steps - 1)
        return range(first, min(first + CALIBRATED_ON, steps))

    def _measure(self, batch: Batch) -> None:
        """Measure the terms' gradients on a batch, and calibrate the shares if it is time."""
        losses, processes = self._config.losses, self._processes
        with use_precision("float32", self._device):
            found = measure_shares(self._network, batch, self._teachers, losses)
        shares = {
            name: Share(*processes.mean(torch.tensor(share, device=self._device)).tolist())
            for name, share in found.items()
        }
        steps = self._calibration
        # A state of an earlier version, calibrated on the first of these batches, has no norms.
        if self.step in steps and (self._norms or self.step == steps[0]):
            for name, share in shares.items():
                self._norms.setdefault(name, []).append(share.norm)
            if self.step == steps[-1]:
                self.weights = calibrated(losses, self._norms)
        if self._config.run.shares_every:
            self._shares = described(shares, self.weights)

    def _update_copies(self) -> None:
        """Move the slow copies towards the network, each after so many steps of its own."""
        for copy, every in zip(
            self._teachers.copies, self._config.losses.contrast_copies, strict=True
        ):
            if self.step % every == 0:
                update_average(copy, self._network, _SETTLED, _COPY_DECAY)

    def _labelled(self, batch: Batch) -> Batch:
        """Return a batch with the labels of its levels, or else at the network's own level."""
        if self._levels is not None:
            return self._levels(batch)
        own = self._config.network.default_level
        return batch._replace(level=torch.full_like(batch.level, own))

    def _backward(self, batch: Batch, *, last: bool) -> dict[str, Tensor]:
        """Add a batch's share of the gradient; processes exchange theirs after the last batch."""
        run = self._config.run
        with contextlib.ExitStack() as stack:
            if isinstance(self._forward, DistributedDataParallel) and not last:
                stack.enter_context(self._forward.no_sync())
            with use_precision(run.precision_on(self._device), self._device):
                smoothing = self._forward(*batch.arguments(self._network))
            # The losses are differentiated apart from the network: whatever its precision, theirs
            # and the teachers' is float32, and torch knows only one precision at a time.
            judged = Smoothing(*(m.detach().requires_grad_() for m in smoothing))
            with use_precision("float32", self._device):
                loss, terms = self._losses(
                    judged, batch, self._teachers, self._config.losses, self.weights
                )
                (loss / run.accumulate).backward()  # type: ignore[no-untyped-call]
            reached = [(m, j.grad) for m, j in zip(smoothing, judged, strict=True)]
            maps, gradients = zip(*((m, g) for m, g in reached if g is not None), strict=True)
            with (
                use_precision(run.precision_on(self._device), self._device),
                torch.autocast(self._device.type, enabled=False),
            ):
                torch.autograd.backward(maps, gradients)
        return {"loss": loss.detach(), **terms}


def _level_labels(
    config: Config, device: torch.device, simplifier: SmoothingNetwork | None
) -> LevelLabels | None:
    """Return what makes the labels of levels, for a network that takes one."""
    data = config.data
    if not data.level_passes:
        return None
    if simplifier is None or not config.network.level:
        raise ConfigError(
            "data.level_passes needs a network with a level (network.level = true) and one that "
            "makes the labels of level 1: give it with --simplifier, or one to begin with (--init)."
        )
    precision = config.run.precision_on(device)
    return LevelLabels(simplifier, data.level_passes, data.one_pass_level, device, precision)


def _make_symmetric(network: SmoothingNetwork, *, begins: bool) -> None:
    """Make random weights symmetric; refuse given ones that are not."""
    if begins:
        Symmetry(network).impose()
    elif not is_symmetric(network):
        raise ConfigError(
            "run.symmetric needs a network to begin with whose weights are symmetric, and those of "
            "this one are not: leave it out (--init), or set run.symmetric to false."
        )


def _our_own(network: SmoothingNetwork | OwnNetwork) -> SmoothingNetwork:
    """Refuse a network of somebody else's."""
    if not isinstance(network, SmoothingNetwork):
        raise ConfigError(
            "run.symmetric is for networks of this package, and cannot hold for one of your own: "
            "set it to false."
        )
    return network


@contextlib.contextmanager
def _one_shape() -> Iterator[None]:
    """Let cuDNN search for the fastest algorithms: all batches have the same shape."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def new_network(config: Config) -> SmoothingNetwork:
    """Return a fresh network whose weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return SmoothingNetwork(config.network)
