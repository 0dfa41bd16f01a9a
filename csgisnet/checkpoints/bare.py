"""State dicts without a header: networks that the paper's authors released, or our own.

Their names and shapes tell the configuration, but not the order of channels. The authors trained on
RGB, though their test script feeds BGR; their predecessor Easy2Hard trained networks of the same
names on BGR. Ours all take RGB.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from csgisnet.checkpoints.recognise import find_weight
from csgisnet.errors import CheckpointError
from csgisnet.networks.smoothing import NetworkConfig


def config_of(tensors: Mapping[str, Any], path: Path) -> NetworkConfig:
    """Infer a network's configuration from the names and shapes in its state dict.

    Parameters
    ----------
    tensors : mapping
        A state dict of a `SmoothingNetwork`. Ours from before networks had `marks` are taken for
        networks without `skip`.
    path : Path
        The file that the state dict comes from, for the error.

    Raises
    ------
    CheckpointError
        The state dict is not that of a smoothing network; the message names `path`.
    """
    first = find_weight(
        tensors,
        "descriptor.conv_in.weight",
        "a smoothing network",
        "Give a file of `csgisnet train`, or a .pth that the paper's authors released.",
        path,
    )
    blocks = {
        stage: sum(
            re.fullmatch(rf"{stage}\.\d+\.conv_3x3_1\.weight", name) is not None for name in tensors
        )
        for stage in ("descriptor.res16", "interpreter2", "refine")
    }
    without = [stage for stage, number in blocks.items() if number == 0]
    if without and ("skip" not in tensors or "descriptor.res16" in without):
        raise CheckpointError(
            f"{path} holds another variant of the smoothing network, without residual blocks of "
            f"dilated convolutions in {' and '.join(without)} (they have names such as "
            f"'{without[0]}.3.conv_3x3_1.weight'). Of the authors' and Easy2Hard's networks, only "
            "HDC_edge_refine can be loaded."
        )
    edge = tensors.get("interpreter1.6.bias")  # one channel for each pixel of a cell
    cells = edge.numel() if isinstance(edge, Tensor) else 1
    guide, level = tensors.get("finish.guide.weight"), tensors.get("level")
    try:
        return NetworkConfig(
            width=first.shape[0],
            blocks=blocks["descriptor.res16"],
            coarse_blocks=blocks["interpreter2"],
            refine_blocks=blocks["refine"],
            shuffle=math.isqrt(cells),
            skip="skip" in tensors,
            finish=len(guide) // cells if isinstance(guide, Tensor) else 0,
            level=isinstance(level, Tensor),
            # Six digits: as float32, 0.6 is 0.60000002.
            default_level=round(float(level), 6) if isinstance(level, Tensor) else 0.0,
            grey_outside="grey_outside" in tensors,
        )
    except ValueError as error:
        raise CheckpointError(f"{path} holds no smoothing network of ours: {error}") from None


def could_be_released(config: NetworkConfig) -> bool:
    """Tell whether the authors, or Easy2Hard, have networks of this variant."""
    ours = config.skip or config.level or config.finish or config.grey_outside
    return config.shuffle == 1 and not ours


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
