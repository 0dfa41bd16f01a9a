"""Networks that the paper's authors released: a bare state dict, which records no configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from csgisnet.errors import CheckpointError
from csgisnet.networks.smoothing import NetworkConfig


def config_of(tensors: Mapping[str, Any], path: Path) -> NetworkConfig:
    """Read the width and the numbers of blocks off the names and shapes of a state dict.

    Raises
    ------
    CheckpointError
        The state dict is not that of a smoothing network; the message names `path`.
    """
    first = tensors.get("descriptor.conv_in.weight")
    if not isinstance(first, Tensor) or first.dim() != 4:
        raise CheckpointError(
            f"{path} holds no smoothing network: it lacks 'descriptor.conv_in.weight'. Give a "
            "file of `csgisnet train`, or a .pth that the paper's authors released."
        )
    blocks = {
        stage: sum(
            re.fullmatch(rf"{stage}\.\d+\.conv_3x3_1\.weight", name) is not None for name in tensors
        )
        for stage in ("descriptor.res16", "interpreter2", "refine")
    }
    try:
        return NetworkConfig(
            width=first.shape[0],
            blocks=blocks["descriptor.res16"],
            coarse_blocks=blocks["interpreter2"],
            refine_blocks=blocks["refine"],
        )
    except ValueError as error:
        raise CheckpointError(f"{path} holds no smoothing network of ours: {error}") from None


def reverse_channels(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Reverse the image channels of every layer that reads or writes an image."""
    swapped = dict(tensors)
    for last in ("interpreter2", "refine"):
        number = max(int(name.split(".")[1]) for name in tensors if name.startswith(f"{last}."))
        for kind in ("weight", "bias"):
            swapped[f"{last}.{number}.{kind}"] = tensors[f"{last}.{number}.{kind}"].flip(0)
    swapped["descriptor.conv_in.weight"] = tensors["descriptor.conv_in.weight"].flip(1)
    features, coarse = tensors["refine.0.weight"].tensor_split([-3], dim=1)
    swapped["refine.0.weight"] = torch.cat([features, coarse.flip(1)], dim=1)
    return swapped
