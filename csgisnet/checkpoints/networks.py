"""Smoothing networks as files: saved, published, and loaded, ours or the paper's authors'."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from csgisnet.checkpoints.format import (
    Weights,
    is_safetensors,
    load_into,
    load_weights,
    read_pickled,
    save_weights,
)
from csgisnet.checkpoints.released import config_of, reverse_channels
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from vocsmooth import settings
from vocsmooth.files import AnyPath, as_path


def save_network(
    path: AnyPath, network: SmoothingNetwork, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a network's weights and configuration, and `metadata` (JSON values) beside them."""
    path = as_path(path, "path")
    weights = Weights(
        kind="network",
        config=settings.to_dict(network.config),
        metadata=dict(metadata or {}),
        tensors=network.state_dict(),
    )
    save_weights(path, weights)


def publish_network(
    source: AnyPath, path: AnyPath, *, description: str, half: bool = False
) -> None:
    """Write a network for others to use: its weights, what training recorded, a description.

    Parameters
    ----------
    source : str or path-like
        Any checkpoint that `load_network` reads.
    path : str or path-like
        Safetensors file to write.
    description : str
        What the network was trained on and is good for; `csgisnet models` shows it.
    half : bool
        Whether to round convolution weights to bfloat16: half the size, at a relative error of at
        most 1/256 each.

    Raises
    ------
    CheckpointError
        `source` cannot be read.
    """
    source = as_path(source, "source")
    path = as_path(path, "path")
    network = load_network(source)
    recorded = load_weights(source, "network").metadata if is_safetensors(source) else {}
    tensors = network.state_dict()
    if half:
        tensors = {name: t.bfloat16() if t.ndim > 1 else t for name, t in tensors.items()}
    weights = Weights(
        kind="network",
        config=settings.to_dict(network.config),
        metadata={**recorded, "description": description},
        tensors=tensors,
    )
    save_weights(path, weights)


def load_network(path: AnyPath, channel_order: Literal["rgb", "bgr"] = "rgb") -> SmoothingNetwork:
    """Read a network that we saved, or a `.pth` released by the paper's authors.

    Parameters
    ----------
    path : str or path-like
        Safetensors file of `save_network`, or a pickled state dict, either bare or under the key
        "net".
    channel_order : {"rgb", "bgr"}
        Order of the channels that a pickled network was trained on. With "bgr" the first and
        last layers are reordered, so that the network takes and returns RGB like any other. The
        authors trained on RGB, and their predecessors on BGR; their test script feeds BGR to both.

    Returns
    -------
    SmoothingNetwork
        In eval mode on the CPU.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or not a smoothing network.
    """
    path = as_path(path, "path")
    if is_safetensors(path):
        weights = load_weights(path, "network")
        return _build(weights.config_as(NetworkConfig, path), weights.tensors, path)
    tensors = read_pickled(path, "net")
    network = _build(config_of(tensors, path), tensors, path)
    if channel_order == "bgr":
        network.load_state_dict(reverse_channels(network.state_dict()))
    return network


def _build(config: NetworkConfig, tensors: Mapping[str, Any], path: Path) -> SmoothingNetwork:
    """Return a network with these weights, in eval mode."""
    with torch.device("meta"):
        network = SmoothingNetwork(config)
    load_into(network, tensors, path)
    return network.eval()
