"""The precision that a network predicts in: a fast one only if its results are nearly the same.

Why there is no int8, which Zen 5 multiplies four times as fast as float32: with the bundled network
OpenVINO's is 1.8 times as fast as our bfloat16 and differs from float32 by 0.8 grey levels on
average, but by more than two in one value of twenty, and by 15 at most; ONNX Runtime's likewise.
With int8 in the blocks that bear it and bfloat16 elsewhere, 0.1 % of the values differ by more than
two, for 1.4 times the speed and a dependency of 180 MB (benchmarks/results/engines.json). It also
depends on the weights: the network bundled before had a few features hundreds of times as large as
the others, and differed by 6.5 grey levels on average.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from csgisnet.device import Choice, Precision, choose_precision
from csgisnet.networks.smoothing import SmoothingNetwork
from csgisnet.prediction.fused import Image, apply_network, executable

LARGEST_MEAN = 0.25
"""Largest mean difference, in grey levels of 255, at which "auto" takes bfloat16."""

SMALLEST_SHARE = 0.999
"""Share of the values that must lie within two grey levels of those in float32."""

_SIDE = 96
"""Side of the picture on which the two are compared, which takes the bundled network 15 ms."""


class Difference(NamedTuple):
    """The difference of two results, in grey levels of 255."""

    largest: float
    mean: float
    within_two: float
    """Share of the values that differ by at most two grey levels."""


def difference(one: Image, other: Image) -> Difference:
    """Compare images in [0, 1] of one shape."""
    apart = np.abs(one.astype(np.float64) - other) * 255
    return Difference(float(apart.max()), float(apart.mean()), float((apart <= 2).mean()))


def prepare(
    network: SmoothingNetwork, precision: Precision, device: torch.device
) -> tuple[SmoothingNetwork, Choice]:
    """Return a network's executable form on a device, and the precision chosen for it.

    "auto" takes bfloat16 where `csgisnet.device.choose_precision` does, unless this network's
    results on a small picture then differ from those in float32 by more than `LARGEST_MEAN` and
    `SMALLEST_SHARE` allow. That is measured here and not kept in files, so that it holds for the
    weights at hand, whoever wrote them. On photographs the bundled network's results differ by 0.13
    on average (benchmarks/results/precision.json).
    """
    choice = choose_precision(precision, device)
    chosen = executable(network, choice.precision, device)
    if precision != "auto" or choice.precision == "float32":
        return chosen, choice
    exact = executable(network, "float32", device)
    found = _smoothed_probe(chosen, choice.precision, device)
    apart = difference(found, _smoothed_probe(exact, "float32", device))
    if apart.mean <= LARGEST_MEAN and apart.within_two >= SMALLEST_SHARE:  # False for NaN
        return chosen, choice
    reason = (
        f"{choice.precision} would change this network's results by {apart.mean:.2f} grey levels "
        f"on average and {apart.largest:.1f} at most"
    )
    return exact, Choice("float32", reason)


def _smoothed_probe(network: SmoothingNetwork, precision: Precision, device: torch.device) -> Image:
    """Return the result of an executable network on a small picture."""
    result, _ = apply_network(network, precision, device, [_probe()])[0]
    return result.clip(0, 1)


def _probe() -> Image:
    """Return a picture of slopes, a disc, stripes and grain, in colour: what networks meet."""
    y, x = np.mgrid[:_SIDE, :_SIDE] / np.float32(_SIDE)
    disc = ((y - 0.4) ** 2 + (x - 0.6) ** 2 < 0.06).astype(np.float64)
    stripes = 0.06 * np.sign(np.sin(50 * (x + y)))
    grain = np.random.default_rng(0).normal(0, 0.05, (_SIDE, _SIDE, 3))
    colours = np.stack([0.2 + 0.5 * x, 0.3 + 0.4 * y, 0.7 - 0.3 * x * y], axis=2)
    picture = colours + (0.3 * disc + stripes)[..., None] + grain
    probe: Image = picture.clip(0, 1).astype(np.float32)
    return probe
