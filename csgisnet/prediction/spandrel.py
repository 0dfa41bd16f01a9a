"""Let programs that load models through spandrel (ComfyUI, chaiNNer, InvokeAI) load our networks.

`register` is all that they need. It makes spandrel recognise every file of weights of a smoothing
network, ours or the authors' released ones, by the names and shapes in it. Networks whose files do
not tell the order of their channels are taken for RGB: write others anew with `csgisnet export`.
A network that takes a level smooths at its own, which `csgisnet export --level` changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from csgisnet.checkpoints.bare import config_of
from csgisnet.checkpoints.networks import build_network
from csgisnet.device import default_memory
from csgisnet.errors import ConfigError
from csgisnet.networks.smoothing import SmoothingNetwork, receptive_radius
from csgisnet.prediction.fused import bytes_per_pixel
from csgisnet.prediction.tiling import spans, tile_counts

_SOURCE = Path("the state dict")
"""Used in error messages instead of the path, which spandrel does not pass on."""

NAMES = (
    "descriptor.conv_in.weight",
    "descriptor.res16.0.conv_3x3_1.weight",
    "interpreter1.6.weight",
    "interpreter2.0.weight",
    "refine.0.weight",
)
"""Names that every smoothing network has, however small, and no other one that spandrel knows."""


def register() -> None:
    """Make spandrel load smoothing networks; more than one call does no harm.

    After this, ``spandrel.ModelLoader().load_from_file("best.safetensors")`` returns a network, and
    so do the programs in whose Python it was called. The model maps images (B, 3, H, W) in [0, 1]
    of any size to smoothed ones; it cuts large images into tiles itself, and says so.

    Raises
    ------
    ConfigError
        The package spandrel is missing.
    """
    try:
        from spandrel import MAIN_REGISTRY, Architecture, ArchSupport
        from spandrel.util import KeyCondition
    except ImportError as error:
        raise ConfigError(
            f"The package spandrel cannot be imported ({error}): pip install 'csgisnet[spandrel]'."
        ) from None

    class SmoothingArchitecture(Architecture):  # type: ignore[misc]  # spandrel is optional
        def __init__(self) -> None:
            super().__init__(id="CSGISNet", name="CSGIS-Net", detect=KeyCondition.has_all(*NAMES))

        def load(self, state_dict: dict[str, Any]) -> Any:
            return _describe(state_dict, self)

    support = ArchSupport.from_architecture(SmoothingArchitecture())
    MAIN_REGISTRY.add(support, ignore_duplicates=True)


def _describe(state_dict: Mapping[str, Any], architecture: Any) -> Any:
    """Return spandrel's descriptor of the network that a state dict holds."""
    from spandrel import ImageModelDescriptor, ModelTiling

    config = config_of(state_dict, _SOURCE)
    network = build_network(config, state_dict, _SOURCE)
    return ImageModelDescriptor(
        network,
        network.state_dict(),
        architecture,
        purpose="Restoration",
        tags=[f"{config.width}nf", f"{config.blocks}nb"],
        supports_half=True,
        supports_bfloat16=False,  # its 8 significant bits would show in the image
        scale=1,
        input_channels=3,
        output_channels=3,
        tiling=ModelTiling.INTERNAL,
        call_fn=smooth_in_tiles,
    )


def smooth_in_tiles(network: SmoothingNetwork, images: Tensor, pixels: int | None = None) -> Tensor:
    """Smooth images (B, 3, H, W) in [0, 1] with the network, in bounded memory.

    Tiles overlap by the network's reach, so that the result is that of the whole images.

    Parameters
    ----------
    network : SmoothingNetwork
        In eval mode, on the device and with the type of `images`.
    images : Tensor
        Images (B, 3, H, W) of any size.
    pixels : int, optional
        Most pixels in a tile of all images, its halo included. By default as many as half of a
        GPU's free memory holds, or 1 GB elsewhere.

    Returns
    -------
    Tensor
        Of the shape and type of `images`, clipped to [0, 1].

    Examples
    --------
    >>> from csgisnet.networks.smoothing import COMPACT
    >>> with torch.inference_mode():
    ...     smooth_in_tiles(SmoothingNetwork(COMPACT).eval(), torch.zeros(1, 3, 20, 31)).shape
    torch.Size([1, 3, 20, 31])
    """
    config = network.config
    if pixels is None:
        pixels = int(default_memory(images.device) / bytes_per_pixel(config, "float32"))
    count, _, height, width = images.shape
    fits = height * width <= pixels // count
    halo, multiple = receptive_radius(config), config.shuffle
    down, across = (1, 1) if fits else tile_counts(height, width, pixels // count, halo, multiple)
    smoothed = torch.empty_like(images)
    for rows in spans(height, down, halo, multiple):
        for columns in spans(width, across, halo, multiple):
            tile = images[..., rows.start : rows.stop, columns.start : columns.stop]
            piece = network(tile).result[..., rows.inner, columns.inner]
            smoothed[..., rows.kept, columns.kept] = piece.clamp(0, 1)
    return smoothed
