"""Save, publish and load smoothing networks, our own and those of the paper's authors.

Every network in memory, and every file of ours, takes and returns RGB; others are turned round
when they are loaded.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from csgisnet.checkpoints import calibrations
from csgisnet.checkpoints.bare import config_of, could_be_released, reverse_channels
from csgisnet.checkpoints.fitting import load_into
from csgisnet.checkpoints.foreign import read_foreign
from csgisnet.checkpoints.format import Weights, is_ours, load_weights, save_weights
from csgisnet.errors import ChannelOrderWarning, CheckpointError
from csgisnet.networks.averaging import average
from csgisnet.networks.levels import at_level, up_to_level
from csgisnet.networks.outside import with_grey_outside
from csgisnet.networks.pruning import prune
from csgisnet.networks.quantising import calibrate
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork, marks
from csgisnet.networks.symmetry import Symmetry, is_symmetric
from vocsmooth import settings
from vocsmooth.errors import UnknownNameError
from vocsmooth.files import AnyPath, as_path, sha256_file

ChannelOrder: TypeAlias = Literal["rgb", "bgr"]
"""Order in which a network takes and returns the channels of an image."""


_ORDER = "channel_order"
"""Key of the channel order in the metadata of our files; older files lack it, and are RGB."""

_OF_ONE = {"scores", "step"}
"""Keys of the metadata that a mean of networks has not: they are of the first alone."""


def save_network(
    path: AnyPath, network: SmoothingNetwork, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a network's weights and configuration, and `metadata` (JSON values) beside them."""
    path = as_path(path, "path")
    weights = Weights(
        kind="network",
        config=settings.to_dict(network.config),
        metadata={_ORDER: "rgb", **(metadata or {})},
        tensors=network.state_dict(),
    )
    save_weights(path, weights)


def publish_network(
    source: AnyPath,
    path: AnyPath,
    *,
    description: str,
    half: bool = False,
    channel_order: ChannelOrder | None = None,
    average_with: AnyPath | None = None,
    level: float | None = None,
    highest_level: float | None = None,
    grey_outside: bool = False,
    pictures: Sequence[Tensor] = (),
    calibration_pictures: Iterable[Tensor] | None = None,
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
    channel_order : {"rgb", "bgr"}, optional
        See `load_network`. What is written takes RGB, and records what it was made from.
    average_with : str or path-like, optional
        Checkpoint from which the network was trained on: what is written lies halfway between the
        two, see `csgisnet.networks.averaging.average`.
    level : float, optional
        Level where users give none, of a network that takes one; by default the network's own.
    highest_level : float, optional
        Level of the network that becomes level 1, see `csgisnet.networks.levels.up_to_level`;
        `level` counts as users do.
    grey_outside : bool
        Whether to make the outside of images count as grey, see
        `csgisnet.networks.outside.with_grey_outside`.
    pictures : sequence of Tensor
        If there are any, residual blocks that add nothing to one of them are left out, see
        `csgisnet.networks.pruning.prune`.
    calibration_pictures : iterable of Tensor, optional
        The file gets the ranges that prediction in int8 needs, measured on these, see
        `csgisnet.networks.quantising.calibrate`. Without them it has none, as those of `source`
        are of other weights.

    Raises
    ------
    CheckpointError
        `source` or `average_with` cannot be read.
    ConfigError
        They are not networks of one training.
    """
    source = as_path(source, "source")
    path = as_path(path, "path")
    network = load_network(source, channel_order)
    if average_with is not None:
        other = as_path(average_with, "average_with")
        network = average(network, load_network(other, None if is_ours(other) else channel_order))
    network = network if highest_level is None else up_to_level(network, highest_level)
    network = network if level is None else at_level(network, level)
    network = with_grey_outside(network) if grey_outside else network
    if pictures:
        network = prune(network, pictures)
    if is_ours(source):
        recorded = load_weights(source, "network").metadata
    else:
        recorded = {
            "converted_from": {
                "file": source.name,
                "sha256": sha256_file(source),
                _ORDER: channel_order or "rgb",
            }
        }
    tensors = network.state_dict()
    if half:
        symmetric = is_symmetric(network)
        network.load_state_dict(_rounded(tensors))
        if symmetric:  # what grey adds to a bias has to fit the rounded weights
            Symmetry(network).impose()
        tensors = _rounded(network.state_dict())
    gone = {calibrations.KEY} | (_OF_ONE if average_with is not None else set())
    recorded = {key: value for key, value in recorded.items() if key not in gone}
    if average_with is not None:
        recorded["averaged_with"] = {"file": other.name, "sha256": sha256_file(other)}
    if calibration_pictures is not None:
        measured = calibrate(network, calibration_pictures)
        recorded[calibrations.KEY] = calibrations.calibration_to_json(measured)
    weights = Weights(
        kind="network",
        config=settings.to_dict(network.config),
        metadata={_ORDER: "rgb", **recorded, "description": description},
        tensors=tensors,
    )
    save_weights(path, weights)


def _rounded(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return convolution weights as bfloat16, and the rest as it is."""
    return {name: t.bfloat16() if t.ndim > 1 else t for name, t in tensors.items()}


def load_network(path: AnyPath, channel_order: ChannelOrder | None = None) -> SmoothingNetwork:
    """Read a network that we saved, or a `.pth` released by the paper's authors.

    Parameters
    ----------
    path : str or path-like
        File of `save_network`, or another project's state dict (torch.save or safetensors),
        either bare or under a key such as "net".
    channel_order : {"rgb", "bgr"}, optional
        Order of the channels that another project's network expects, which its file does not
        record. With "bgr" the first and last layers are reordered, so that the network takes and
        returns RGB like any other. The authors trained on RGB, and their predecessors
        (Easy2Hard) on BGR; their test script feeds BGR to both. Without it RGB is taken, and a
        `ChannelOrderWarning` says so.

    Returns
    -------
    SmoothingNetwork
        In eval mode on the CPU.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, not a smoothing network, or records another order than
        `channel_order`.
    UnknownNameError
        There is no such order.
    """
    path = as_path(path, "path")
    if channel_order not in (*get_args(ChannelOrder), None):
        raise UnknownNameError(f'channel_order must be "rgb" or "bgr", got {channel_order!r}.')
    if is_ours(path):
        weights = load_weights(path, "network")
        _expect_rgb(path, channel_order, weights.metadata.get(_ORDER))
        return build_network(weights.config_as(NetworkConfig, path), weights.tensors, path)
    tensors = read_foreign(path, "net").tensors
    network = build_network(config_of(tensors, path), tensors, path)
    if not could_be_released(network.config):
        _expect_rgb(path, channel_order)
        return network
    if channel_order is None:
        warnings.warn(
            f"{path} holds a network as the paper's authors and Easy2Hard save theirs, without its "
            "channel order; RGB is taken. The authors' test script and all of Easy2Hard use BGR: "
            "say which with --channel-order (channel_order= in Python).",
            ChannelOrderWarning,
            stacklevel=2,
        )
    if channel_order == "bgr":
        network.load_state_dict(reverse_channels(network.state_dict()))
    return network


def _expect_rgb(path: Path, *orders: str | None) -> None:
    """Raise CheckpointError if one of these is "bgr", as our own networks take RGB only."""
    if "bgr" in orders:
        raise CheckpointError(
            f"{path} is a file of csgisnet, whose networks take RGB. Leave the channel order "
            "out; if it was converted in the wrong order, convert the original file again."
        )


def build_network(
    config: NetworkConfig, tensors: Mapping[str, Any], path: Path
) -> SmoothingNetwork:
    """Return a network with these weights, in eval mode on the CPU.

    Raises
    ------
    CheckpointError
        The weights do not fit the configuration, or are not finite; the message names `path`.
    """
    with torch.device("meta"):
        network = SmoothingNetwork(config)
    load_into(network, {**marks(config), **tensors}, path)  # older files of ours lack the marks
    return network.eval()
