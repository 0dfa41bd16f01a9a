"""Smoothing of images with a trained network, of any size and in bounded memory."""

from __future__ import annotations

import copy
import itertools
import threading
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from csgisnet.checkpoint import load_network
from csgisnet.device import Precision, autocast, pick_device, place
from csgisnet.network import SmoothingNetwork, receptive_radius
from csgisnet.pretrained import find_weights
from csgisnet.tiling import Image, apply_tiled, tile_side

DEFAULT_MEMORY = 1 << 30
"""Bytes that the activations of a tile may take."""
_SMALLEST_TILE = 64


class Smoother:
    """A trained network, ready to smooth.

    Parameters
    ----------
    network : SmoothingNetwork
        Trained weights; a copy is taken and made faster without a change of its results.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute.
    precision : {"auto", "float32", "bfloat16"}
        Of the convolutions; "auto" takes bfloat16 on devices that are faster with it.
    memory : int
        Bytes that the activations may take, besides the image and its result; larger images are
        cut into tiles.
    """

    def __init__(
        self,
        network: SmoothingNetwork,
        *,
        device: str = "auto",
        precision: Precision = "float32",
        memory: int = DEFAULT_MEMORY,
    ) -> None:
        self.device = pick_device(device)
        self.precision = precision
        self._network = place(fold_batch_norm(network), self.device)
        self._lock = threading.Lock()
        self._halo = receptive_radius(network.config)
        self._multiple = network.config.shuffle
        self.tile = tile_side(memory, _bytes_per_pixel(network), self._halo, self._multiple)
        """Largest side of a tile, halo not counted; halves when the device runs out of memory."""

    def smooth(self, image: NDArray[np.float32], strength: float = 1.0) -> NDArray[np.float32]:
        """Smooth one image; several threads may call, and wait for each other.

        Parameters
        ----------
        image : (H, W) or (H, W, 3) float32 in [0, 1]
            Grey or RGB.
        strength : float
            0 gives the image back, 1 the network's result, values between a blend; above 1 more is
            taken away than the network would, below 0 detail is enhanced.

        Returns
        -------
        ndarray
            Of the same shape and type, clipped to [0, 1].

        Raises
        ------
        TypeError, ValueError
            The array is of another type or shape.

        Examples
        --------
        >>> from csgisnet.network import COMPACT
        >>> smoother = Smoother(SmoothingNetwork(COMPACT), device="cpu")
        >>> smoother.smooth(np.full((4, 6, 3), 0.5, np.float32)).shape
        (4, 6, 3)
        """
        _check(image)
        colour = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
        result = self._tiled(colour)
        np.clip(result, 0, 1, out=result)
        if image.ndim == 2:
            result = result.mean(axis=2)
        if strength != 1.0:
            result -= image
            result *= strength
            result += image
        return np.clip(result, 0, 1, out=result)

    def _tiled(self, image: Image) -> Image:
        """Smooth in tiles; where the device's memory is too small for them, in smaller ones."""
        with self._lock:
            while True:
                tiles = {"tile": self.tile, "halo": self._halo, "multiple": self._multiple}
                try:
                    return apply_tiled(self._forward, image, **tiles)
                except torch.OutOfMemoryError:
                    if self.tile <= _SMALLEST_TILE:
                        raise
                    self.tile = _half(min(self.tile, max(image.shape)), self._multiple)
                    torch.cuda.empty_cache()

    def _forward(self, image: Image) -> Image:
        """Smooth one tile (H, W, 3)."""
        # (H, W, 3) seen as (1, 3, H, W) lies in memory as channels_last wants it.
        x = torch.tensor(image, device=self.device).permute(2, 0, 1)[None]
        with torch.inference_mode(), autocast(self.device, self.precision):
            result = self._network(x).result
        smoothed: Image = result[0].permute(1, 2, 0).float().cpu().numpy()
        return smoothed


def load(
    path_or_name: str | Path | None = None,
    *,
    device: str = "auto",
    precision: Precision = "float32",
    memory: int = DEFAULT_MEMORY,
    channel_order: Literal["rgb", "bgr"] = "rgb",
) -> Smoother:
    """Load a checkpoint, ours or one that the paper's authors released, ready to smooth.

    Parameters
    ----------
    path_or_name : str or Path, optional
        File of weights, the folder of a run (its best weights are taken), or the name of a bundled
        network; by default the bundled default, if the package came with one.
    device, precision, memory
        See `Smoother`.
    channel_order : {"rgb", "bgr"}
        See `csgisnet.checkpoint.load_network`.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or of something else; or there is no such network.

    Examples
    --------
    >>> smoother = load("runs/demo")  # doctest: +SKIP
    >>> result = smoother.smooth(image)  # doctest: +SKIP
    """
    network = load_network(find_weights(path_or_name), channel_order)
    return Smoother(network, device=device, precision=precision, memory=memory)


def fold_batch_norm(network: SmoothingNetwork) -> SmoothingNetwork:
    """Return a copy for inference in which every convolution contains its batch normalisation."""
    folded = copy.deepcopy(network).eval().requires_grad_(False)
    for module in list(folded.modules()):
        for (name, conv), (after, norm) in itertools.pairwise(list(module.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(conv, norm))
                setattr(module, after, nn.Identity())
    return folded


def _check(image: NDArray[np.float32]) -> None:
    """Raise unless the array is a float32 image."""
    if not isinstance(image, np.ndarray) or image.dtype != np.float32:
        kind = getattr(image, "dtype", type(image).__name__)
        raise TypeError(f"image must be a float32 array in [0, 1], got {kind}.")
    if image.size == 0 or (image.ndim != 2 and (image.ndim != 3 or image.shape[2] != 3)):
        raise ValueError(f"image must be (H, W) or (H, W, 3), got shape {image.shape}.")


def _bytes_per_pixel(network: SmoothingNetwork) -> float:
    """Return what the activations take at their peak: measured (300 and 1,700), and rounded up."""
    maps = 6 * network.config.width / network.config.shuffle**2
    return 4 * (maps + 40)


def _half(tile: int, multiple: int) -> int:
    """Return half a tile, at least the smallest."""
    return max(tile // 2 // multiple * multiple, _SMALLEST_TILE)
