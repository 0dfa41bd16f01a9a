"""The precision that a network predicts in: a fast one only if its results are nearly the same."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import nn

from csgisnet.device import (
    Precision,
    PredictionPrecision,
    bfloat16_instructions,
    choose_precision,
    int8_instructions,
)
from csgisnet.errors import ConfigError
from csgisnet.networks.quantising import Calibration, fits
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from csgisnet.prediction.fused import Image, apply_network, executable
from csgisnet.prediction.int8 import has_int8_convolution

LARGEST_MEAN = 0.25
"""Largest mean difference, in grey levels of 255, at which "auto" takes bfloat16."""

SMALLEST_SHARE = 0.999
"""Share of the values that must lie within two grey levels of those in float32."""

_USELESS = 2.0
"""Mean difference at which int8 is refused even if asked for: its ranges are of something else."""

_SIDE = 96
"""Side of the picture on which the two are compared, which takes the bundled network 15 ms."""


class Choice(NamedTuple):
    """A precision, and why it was chosen."""

    precision: Literal["float32", "tf32", "bfloat16", "int8"]
    reason: str
    """A clause such as "this processor multiplies int8 in hardware (AVX-512 VNNI)"."""


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
    network: SmoothingNetwork,
    precision: PredictionPrecision,
    device: torch.device,
    calibration: Calibration | None = None,
) -> tuple[nn.Module, Choice]:
    """Return a network's executable form on a device, and the precision chosen for it.

    "auto" takes what `choose` says, unless this network's results on a small picture then differ
    from those in float32 by more than `LARGEST_MEAN` and `SMALLEST_SHARE` allow. That is measured
    here and not kept in files, so that it holds for the weights at hand, whoever wrote them. On
    photographs the bundled network's results differ by 0.2 on average
    (benchmarks/results/precision-zen4.json). It never takes int8, whose results are 0.8 grey levels
    off on photographs and 1.2 on noise, and single values up to twenty.

    Raises
    ------
    ConfigError
        The device does not multiply like that, or int8 is asked for without ranges that suit the
        network.
    """
    if precision == "int8":
        return _prepare_int8(network, device, calibration), Choice("int8", "as asked for")
    choice = choose(precision, network.config, device)
    chosen = executable(network, choice.precision, device)
    if precision != "auto" or choice.precision == "float32":
        return chosen, choice
    exact = executable(network, "float32", device)
    expected = _smoothed_probe(exact, "float32", device)
    apart = difference(_smoothed_probe(chosen, choice.precision, device), expected)
    if apart.mean <= LARGEST_MEAN and apart.within_two >= SMALLEST_SHARE:  # False for NaN
        return chosen, choice
    reason = (
        f"{choice.precision} would change this network's results by {apart.mean:.2f} grey levels "
        f"on average and {apart.largest:.1f} at most"
    )
    return exact, Choice("float32", reason)


def choose(precision: Precision, config: NetworkConfig, device: torch.device) -> Choice:
    """Return the precision that a name means for networks of a form, whatever their weights.

    "auto" is what `csgisnet.device.choose_precision` says, but float32 where its convolutions are
    our own and faster than those in bfloat16: on processors without AMX (Zen 4: 1.30 s a megapixel
    and 1.59, benchmarks/results/engines-zen4.json). Training is faster in bfloat16 there.
    """
    choice = Choice(*choose_precision(precision, device))
    if precision != "auto" or choice.precision != "bfloat16" or device.type != "cpu":
        return choice
    # Imported here, as the library of the operators is loaded with it.
    from csgisnet.prediction import compiled

    if "AMX" in bfloat16_instructions() or compiled.unit_for(config, "float32") is None:
        return choice
    return Choice("float32", "Winograd's method makes it faster than bfloat16 on this processor")


def _prepare_int8(
    network: SmoothingNetwork, device: torch.device, calibration: Calibration | None
) -> nn.Module:
    """Return a network's executable form in int8.

    Its results on a small picture are compared with those in float32: whole numbers are never NaN,
    so that ranges, or weights, which are of no use would not show otherwise.
    """
    missing = missing_for_int8(device)
    if not missing and calibration is None:
        missing = "a calibration, which the network's file lacks"
    elif not missing and calibration is not None and not fits(network, calibration):
        missing = "a calibration of this network, and was given that of another"
    if missing or calibration is None:
        raise ConfigError(_REFUSAL.format(missing))
    chosen = executable(network, "int8", device, calibration)
    expected = _smoothed_probe(executable(network, "float32", device), "float32", device)
    apart = difference(_smoothed_probe(chosen, "int8", device), expected)
    if not apart.mean <= _USELESS:  # so that NaN fails too
        reason = f"other ranges: with these, results are {apart.mean:.1f} grey levels off"
        raise ConfigError(_REFUSAL.format(reason))
    return chosen


_REFUSAL = (
    "Precision int8 needs {}. Take auto, float32 or bfloat16, or measure ranges with `csgisnet "
    "export --calibrate PHOTOGRAPHS --out NETWORK.safetensors`."
)


def missing_for_int8(device: torch.device) -> str | None:
    """Say what prediction in int8 lacks on a device, if anything."""
    if device.type != "cpu":
        return f"a processor, and runs on {device}"
    if not int8_instructions():
        return "a processor with AVX-512 VNNI, AVX-VNNI or AMX, and torch finds none of them"
    if not has_int8_convolution():
        return f"another build of torch than {torch.__version__}, which lacks the operator"
    return None


def _smoothed_probe(
    network: nn.Module, precision: PredictionPrecision, device: torch.device
) -> Image:
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
