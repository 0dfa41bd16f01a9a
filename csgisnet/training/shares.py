"""Measure how much each loss term moves the network, relative to L1 and structure."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from csgisnet.networks.smoothing import Smoothing
from csgisnet.objective.config import BASE, PRIORS, LossConfig
from csgisnet.objective.losses import Batch, Teachers, term_values

CALIBRATED_ON = 16
"""Batches on which shares are turned into weights. The gradients of some terms are a few hundred
times smaller on one batch than on the next, as hinges and negatives that are far away make them."""


class Share(NamedTuple):
    """A term's gradient in the weights of a network, beside that of L1 and structure."""

    norm: float
    """Norm relative to theirs, for a term of weight 1."""
    cosine: float
    """Cosine of the angle between the two; 0 if either vanishes."""


def measure_shares(
    network: nn.Module, batch: Batch, teachers: Teachers, config: LossConfig
) -> dict[str, Share]:
    """Measure the gradient of every term but L1 and structure, each as if its weight were 1.

    The network's running statistics are left as they are, and so are the gradients that its
    parameters hold.

    Parameters
    ----------
    network : Module
        In training mode, on the device of the batch.
    batch : Batch
        What it is measured on.
    teachers : Teachers
        What the terms in use need.
    config : LossConfig
        The terms; L1 and structure have the weights that it gives them.

    Returns
    -------
    dict of str to Share
        By name, in the order of `csgisnet.objective.config.TERMS`. Empty if neither L1 nor
        structure is in use.
    """
    with _kept_buffers(network), torch.enable_grad():
        smoothing = network(*batch.arguments(network))
        judged = Smoothing(*(m.detach().float().requires_grad_() for m in smoothing))
        values = term_values(judged, batch, teachers, config)
        base = [getattr(config, name) * values.pop(name) for name in BASE if name in values]
        if not base:
            return {}
        theirs = _in_weights(network, smoothing, judged, torch.stack(base).sum())
        return {
            name: _share_of(_in_weights(network, smoothing, judged, value), theirs)
            for name, value in values.items()
        }


def calibrated(config: LossConfig, norms: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the weights with which every term that has a share in `config` has it on average.

    A term without gradient, as a gated contrast may begin, keeps the weight that `config` gives
    it: no weight would give it a share.

    Parameters
    ----------
    config : LossConfig
        The shares.
    norms : dict of str to list of float
        `Share.norm` of each of these terms on some batches.
    """
    weights = config.weights
    for name in PRIORS:
        share = config.shares[name]
        if share:
            norm = statistics.fmean(norms[name])
            weights[name] = share / norm if norm > 0 else getattr(config, name)
    return weights


def described(shares: Mapping[str, Share], weights: Mapping[str, float]) -> dict[str, float]:
    """Return shares as they are logged: ``NAME_share`` at its weight, and ``NAME_cosine``."""
    figures = {}
    for name, share in shares.items():
        figures[f"{name}_share"] = weights[name] * share.norm
        figures[f"{name}_cosine"] = share.cosine
    return figures


def _in_weights(
    network: nn.Module, smoothing: Smoothing, judged: Smoothing, value: Tensor
) -> Tensor:
    """Return the gradient of a value in all parameters, as one vector; the graphs are kept."""
    at_maps = torch.autograd.grad(value, tuple(judged), retain_graph=True, allow_unused=True)
    reached = [(m, g.to(m.dtype)) for m, g in zip(smoothing, at_maps, strict=True) if g is not None]
    maps, gradients = zip(*reached, strict=True)
    parameters = list(network.parameters())
    found = torch.autograd.grad(
        maps, parameters, grad_outputs=gradients, retain_graph=True, allow_unused=True
    )
    filled = [
        torch.zeros_like(p) if g is None else g for g, p in zip(found, parameters, strict=True)
    ]
    return torch.cat([g.flatten().float() for g in filled])


def _share_of(mine: Tensor, theirs: Tensor) -> Share:
    """Compare a term's gradient with that of L1 and structure."""
    norm, other = float(mine.norm()), float(theirs.norm())
    if norm == 0 or other == 0:
        return Share(0.0, 0.0)
    return Share(norm / other, float(mine @ theirs) / (norm * other))


@contextlib.contextmanager
def _kept_buffers(network: nn.Module) -> Iterator[None]:
    """Restore batch statistics afterwards, as measuring must not train the network."""
    kept = [(buffer, buffer.clone()) for buffer in network.buffers()]
    try:
        yield
    finally:
        for buffer, value in kept:
            buffer.copy_(value)
