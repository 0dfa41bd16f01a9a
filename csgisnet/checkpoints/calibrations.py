"""The ranges for prediction in int8, among the metadata of a network's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from csgisnet.checkpoints.format import is_ours, load_weights
from csgisnet.errors import CheckpointError
from csgisnet.networks.quantising import Calibration, Range, convolutions
from csgisnet.networks.smoothing import SmoothingNetwork

KEY = "int8"
"""Under which the metadata has them."""

_DIGITS = 5


def calibration_to_json(calibration: Calibration) -> dict[str, dict[str, list[float]]]:
    """Return ranges as JSON values, to five digits."""
    return {
        name: {
            field: [float(f"{value:.{_DIGITS}g}") for value in values.tolist()]
            for field, values in measured._asdict().items()
        }
        for name, measured in calibration.items()
    }


def load_calibration(path: Path, network: SmoothingNetwork) -> Calibration | None:
    """Return the ranges in the file that a network was loaded from, if it has any.

    Raises
    ------
    CheckpointError
        The file is damaged, or its ranges are not those of this network.
    """
    recorded = load_weights(path, "network").metadata.get(KEY) if is_ours(path) else None
    if recorded is None:
        return None
    convs = convolutions(network)
    try:
        calibration = {name: _range_of(values) for name, values in recorded.items()}
        sizes = {name: (len(r.low), len(r.high), len(r.shift)) for name, r in calibration.items()}
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError):
        sizes = {}
    expected = {
        name: (conv.in_channels, conv.in_channels, conv.out_channels)
        for name, conv in convs.items()
    }
    if sizes != expected:
        raise CheckpointError(
            f"{path}: the ranges for int8 are not those of this network's {len(expected)} "
            "convolutions. Write the file anew with `csgisnet export --calibrate`, or take it "
            "from where it came once more."
        )
    return calibration


def _range_of(values: dict[str, Any]) -> Range:
    """Return a range from its JSON values; ValueError if one is not a finite number."""
    found = Range(*(torch.tensor(values[field], dtype=torch.float32) for field in Range._fields))
    if not all(torch.isfinite(tensor).all() for tensor in found):
        raise ValueError("infinite")
    return found
