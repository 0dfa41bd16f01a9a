"""Smooth images of any size with a trained network, in bounded memory."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from csgisnet.checkpoints.networks import ChannelOrder, load_network
from csgisnet.checkpoints.pretrained import find_weights
from csgisnet.device import (
    Precision,
    default_memory,
    is_out_of_memory,
    pick_device,
    return_freed_memory,
    use_precision,
)
from csgisnet.errors import CheckpointError
from csgisnet.networks.smoothing import SmoothingNetwork, receptive_radius
from csgisnet.prediction.batching import Batcher
from csgisnet.prediction.fused import bytes_per_pixel
from csgisnet.prediction.precision import prepare
from csgisnet.prediction.tiling import SMALLEST_TILE, apply_tiled
from vocsmooth.arrays import Pixels, check_array, check_image, check_number, to_float, to_uint
from vocsmooth.files import AnyPath

Image: TypeAlias = NDArray[np.float32]

_GPU_BATCH = 8


class Smoother:
    """A trained network, ready to smooth.

    Several threads may call it at once; their images or tiles are grouped into batches, which are
    computed one after another.

    Parameters
    ----------
    network : SmoothingNetwork
        Trained weights. They are copied, and the copy is made faster.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute.
    precision : {"auto", "float32", "tf32", "bfloat16"}
        How to multiply (see `csgisnet.device.Precision`). "auto" takes bfloat16 where the hardware
        multiplies it and this network's results stay nearly the same, else float32, which is exact.
    memory : int, optional
        Bytes that the activations may take, besides the image and its result; images that would
        need more are cut into tiles. By default half of a GPU's free memory, and 1 GB elsewhere.
    batch : int, optional
        How many images or tiles of one shape, from several threads, to compute at once if `memory`
        allows. By default 1 on the CPU, whose cores share the work on one image, and 8 elsewhere.

    Raises
    ------
    ConfigError
        The device is unknown or not available, or does not compute in this precision.

    Attributes
    ----------
    precision : {"float32", "tf32", "bfloat16"}
        What was chosen.
    reason : str
        Why, as a clause.

    Examples
    --------
    >>> from csgisnet.networks.smoothing import COMPACT
    >>> smoother = Smoother(SmoothingNetwork(COMPACT), device="cpu", precision="float32")
    >>> smoother.smooth(np.zeros((30, 40), np.float32), strength=0.5).shape
    (30, 40)
    >>> smoother.precision, smoother.reason
    ('float32', 'as asked for')
    """

    def __init__(
        self,
        network: SmoothingNetwork,
        *,
        device: str = "auto",
        precision: Precision = "auto",
        memory: int | None = None,
        batch: int | None = None,
    ) -> None:
        self.device = pick_device(device)
        self._network, (self.precision, self.reason) = prepare(network, precision, self.device)
        self.batch = batch or (1 if self.device.type == "cpu" else _GPU_BATCH)
        memory = default_memory(self.device) if memory is None else memory
        self.pixels = int(memory / bytes_per_pixel(network.config, self.precision))
        """Most pixels in a tile, its halo included; halved when the device runs out of memory."""
        self._halo = receptive_radius(network.config)
        self._multiple = network.config.shuffle
        self._forward = Batcher(self._compute, largest=self.batch, pixels=self.pixels)

    def smooth(self, image: Image, strength: float = 1.0) -> Image:
        """Smooth one image.

        Parameters
        ----------
        image : (H, W) or (H, W, 3) float32 in [0, 1]
            Grey or RGB.
        strength : float
            0 returns the image unchanged, 1 the network's result, and values between a blend of
            both; above 1 exaggerates the smoothing, below 0 enhances detail.

        Returns
        -------
        ndarray
            Of the same shape and type, clipped to [0, 1].

        Raises
        ------
        TypeError, ValueError
            The array has another type, shape or range, or the strength is not a finite number.
        CheckpointError
            The network's result has NaN or infinite values.
        MemoryError
            The device lacks the memory even for the smallest tile.

        Examples
        --------
        >>> from csgisnet.networks.smoothing import COMPACT
        >>> smoother = Smoother(SmoothingNetwork(COMPACT), device="cpu")
        >>> smoother.smooth(np.full((4, 6, 3), 0.5, np.float32)).shape
        (4, 6, 3)
        """
        _check(image, np.float32)
        check_image(image)
        smoothed: Image = self._tiled(image, strength, with_edges=False)[0]
        return smoothed

    def smooth_pixels(
        self, pixels: Pixels, strength: float = 1.0, *, with_edges: bool = False
    ) -> tuple[Pixels, NDArray[np.uint8] | None]:
        """Smooth an image of integers, as files hold it, converting one tile at a time to floats.

        Parameters
        ----------
        pixels : (H, W) or (H, W, 3) uint8 or uint16
            Grey or RGB.
        strength : float
            See `smooth`.
        with_edges : bool
            Whether to return the network's edges as well.

        Returns
        -------
        smoothed : ndarray
            The result of `smooth`, rounded to the shape and type of `pixels`.
        edges : (H, W) uint8 ndarray or None
            How likely each pixel is on an edge of the structure: 255 is certain.

        Raises
        ------
        TypeError, ValueError, CheckpointError, MemoryError
            As `smooth`.

        Examples
        --------
        >>> from csgisnet.networks.smoothing import COMPACT
        >>> smoother = Smoother(SmoothingNetwork(COMPACT), device="cpu")
        >>> smoothed, edges = smoother.smooth_pixels(np.zeros((4, 6), np.uint16), with_edges=True)
        >>> smoothed.dtype.name, edges.dtype.name, edges.shape
        ('uint16', 'uint8', (4, 6))
        """
        _check(pixels, np.uint8, np.uint16)
        smoothed, *edges = self._tiled(pixels, strength, with_edges)
        return smoothed, edges[0] if edges else None

    def _tiled(
        self, image: NDArray[Any], strength: float, with_edges: bool
    ) -> tuple[NDArray[Any], ...]:
        """Smooth in tiles, and in smaller ones if the device runs out of memory."""
        check_number("strength", strength)
        function = functools.partial(self._smooth_tile, strength=strength, with_edges=with_edges)
        height, width = image.shape[:2]
        while True:
            pixels = min(self.pixels, height * width)
            tiles = {"pixels": pixels, "halo": self._halo, "multiple": self._multiple}
            try:
                results = apply_tiled(function, image, **tiles)
            except MemoryError:
                if pixels <= (SMALLEST_TILE + 2 * self._halo) ** 2:
                    raise
                self.pixels = min(self.pixels, pixels // 2)
                continue
            if pixels < height * width:
                return_freed_memory()  # so large an image needs it again when it is written
            return results

    def _smooth_tile(
        self, tile: NDArray[Any], *, strength: float, with_edges: bool
    ) -> tuple[NDArray[Any], ...]:
        """Smooth a tile of floats or integers; return its own type, and edges if wanted."""
        image = tile if tile.dtype == np.float32 else to_float(tile)
        colour = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
        result, edges = self._forward(colour)
        if not np.isfinite(result).all():
            raise CheckpointError(
                f"the network's result has NaN or infinite values in {self.precision}: its weights "
                "are of no use, or need --precision float32."
            )
        np.clip(result, 0, 1, out=result)
        if image.ndim == 2:
            result = result.mean(axis=2)
        if strength != 1.0:
            result -= image
            result *= strength
            result += image
        np.clip(result, 0, 1, out=result)
        smoothed = result if tile.dtype == np.float32 else to_uint(result, tile.dtype)
        return (smoothed, to_uint(edges, np.uint8)) if with_edges else (smoothed,)

    def _compute(self, images: Sequence[Image]) -> list[tuple[Image, Image]]:
        """Return result (H, W, 3) and edges (H, W) of images (H, W, 3) of one shape."""
        try:
            # (B, H, W, 3) seen as (B, 3, H, W) lies in memory as channels_last wants it.
            x = torch.from_numpy(np.stack(images)).to(self.device).permute(0, 3, 1, 2)
            with torch.inference_mode(), use_precision(self.precision, self.device):
                smoothing = self._network(x)
            results = smoothing.result.permute(0, 2, 3, 1).float().cpu().numpy()
            edges = smoothing.edge[:, 0].float().sigmoid().cpu().numpy()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            height, width = images[0].shape[:2]
            reason = f"{self.device}: not enough memory for {width} x {height} pixels ({error})."
        else:
            return list(zip(results, edges, strict=True))
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        raise MemoryError(reason)  # not in the handler: its traceback would keep the memory in use


def load(
    path_or_name: AnyPath | None = None,
    *,
    device: str = "auto",
    precision: Precision = "auto",
    memory: int | None = None,
    batch: int | None = None,
    channel_order: ChannelOrder | None = None,
) -> Smoother:
    """Load a network, ours or one that the paper's authors released, ready to smooth.

    Parameters
    ----------
    path_or_name : str or path-like, optional
        A file of weights, the folder of a run (whose best weights are loaded), or the name of a
        network that comes with the package; by default "compact".
    device, precision, memory, batch
        See `Smoother`.
    channel_order : {"rgb", "bgr"}, optional
        Of another project's network, see `csgisnet.checkpoints.networks.load_network`.

    Returns
    -------
    Smoother
        Its `smooth` maps an image to its smoothed self.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or not a smoothing network; or no network has that name.
    ConfigError
        The device is unknown or not available, or does not compute in this precision.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from csgisnet.checkpoints.networks import save_network
    >>> from csgisnet.networks.smoothing import COMPACT
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_network(Path(folder) / "mine.safetensors", SmoothingNetwork(COMPACT))
    ...     smoother = load(Path(folder) / "mine.safetensors", device="cpu")
    >>> smoother.smooth(np.full((4, 6, 3), 0.5, np.float32)).shape
    (4, 6, 3)
    """
    network = load_network(find_weights(path_or_name), channel_order)
    return Smoother(network, device=device, precision=precision, memory=memory, batch=batch)


def _check(image: NDArray[Any], *types: type) -> None:
    """Raise unless the array is an image of one of these types."""
    check_array(image, "image")
    if image.dtype not in types:
        wanted = " or ".join(np.dtype(kind).name for kind in types)
        scale = " in [0, 1]" if np.float32 in types else ""
        raise TypeError(f"image must be a {wanted} array{scale}, got {image.dtype}.")
    if image.size == 0 or (image.ndim != 2 and (image.ndim != 3 or image.shape[2] != 3)):
        raise ValueError(f"image must be (H, W) or (H, W, 3), got shape {image.shape}.")
