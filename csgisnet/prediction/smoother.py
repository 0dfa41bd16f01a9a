"""Smooth images of any size with a trained network, in bounded memory."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csgisnet.device import (
    PredictionPrecision,
    default_memory,
    pick_device,
    return_freed_memory,
)
from csgisnet.errors import CheckpointError, ConfigError
from csgisnet.networks.levels import at_level
from csgisnet.networks.quantising import Calibration
from csgisnet.networks.smoothing import SmoothingNetwork, receptive_radius
from csgisnet.prediction.batching import Batcher
from csgisnet.prediction.fused import Image, apply_network, bytes_per_pixel
from csgisnet.prediction.inputs import AnyImage, blended, check_smoothable, smooth_any
from csgisnet.prediction.precision import prepare
from csgisnet.prediction.tiling import SMALLEST_TILE, apply_tiled
from vocsmooth.arrays import Pixels, check_image, check_number, to_float, to_uint

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
    precision : {"auto", "float32", "tf32", "bfloat16", "int8"}
        How to multiply (see `csgisnet.device.PredictionPrecision`). "auto" takes the fastest that
        the hardware multiplies and that leaves this network's results nearly the same, else
        float32, which is exact.
    memory : int, optional
        Bytes that the activations may take, besides the image and its result; images that would
        need more are cut into tiles. By default half of a GPU's free memory, and 1 GB on a CPU.
    batch : int, optional
        How many images or tiles of one shape, from several threads, to compute at once if `memory`
        allows. By default 1 on the CPU, whose cores share the work on one image, and 8 elsewhere.
    level : float, optional
        Of a network that takes one: 0 keeps faint structure, 1 only what people draw as boundaries.
        By default the network's own.
    views : {1, 2}
        2 averages each result with what the transposed negative gives: better, in twice the time.
    calibration : Mapping, optional
        What `csgisnet.networks.quantising.calibrate` measured, without which there is no int8.

    Raises
    ------
    ConfigError
        The device is unknown or not available, or does not compute in this precision; or the
        network takes no level; or `views` is another number.

    Attributes
    ----------
    precision : {"float32", "tf32", "bfloat16", "int8"}
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
        precision: PredictionPrecision = "auto",
        memory: int | None = None,
        batch: int | None = None,
        level: float | None = None,
        views: int = 1,
        calibration: Calibration | None = None,
    ) -> None:
        if views not in (1, 2):
            raise ConfigError(f"views must be 1 or 2, got {views!r}.")
        self.device = pick_device(device)
        network = network if level is None else at_level(network, level)
        fast, choice = prepare(network, precision, self.device, calibration)
        self.precision, self.reason = choice
        self.batch = batch or (1 if self.device.type == "cpu" else _GPU_BATCH)
        memory = default_memory(self.device) if memory is None else memory
        self.pixels = int(memory / bytes_per_pixel(network.config, self.precision))
        """Most pixels in a tile, its halo included; halved when the device runs out of memory."""
        self._halo = receptive_radius(network.config)
        self._multiple = network.config.shuffle
        forward = functools.partial(apply_network, fast, self.precision, self.device, views=views)
        self._forward = Batcher(forward, largest=self.batch, pixels=self.pixels)

    def __call__(self, image: AnyImage, strength: float = 1.0) -> AnyImage:
        """Smooth an image or a batch of any kind, and return the same kind.

        Parameters
        ----------
        image : Tensor, ndarray or PIL.Image.Image
            Tensors (C, H, W) or (N, C, H, W) with 1 or 3 channels, arrays (H, W), (H, W, 3) or
            (N, H, W, 3): floats in [0, 1], uint8 or uint16. Pictures of Pillow: 8-bit grey or RGB,
            whose alpha is kept, or 16-bit grey.
        strength : float
            See `smooth`.

        Returns
        -------
        Tensor, ndarray or PIL.Image.Image
            Of the same shape and type, and on the same device. No gradient flows back.

        Raises
        ------
        TypeError, ValueError, CheckpointError, MemoryError
            As `smooth`; the message says which kinds there are.

        Examples
        --------
        >>> import csgisnet, torch
        >>> smoother = csgisnet.load("compact", device="cpu")
        >>> smoother(torch.zeros(2, 3, 30, 40)).shape, smoother(np.zeros((6, 8, 3))).dtype
        (torch.Size([2, 3, 30, 40]), dtype('float64'))
        """

        def smooth(pixels: NDArray[Any]) -> NDArray[Any]:
            if pixels.dtype == np.float32:
                return self.smooth(pixels, strength)
            return self.smooth_pixels(pixels, strength)[0]

        return smooth_any(image, smooth, threads=self.batch)

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
        >>> import csgisnet
        >>> smoother = csgisnet.load("compact", device="cpu")
        >>> smoother.smooth(np.full((4, 6, 3), 0.5, np.float32)).shape
        (4, 6, 3)
        """
        check_smoothable(image, np.float32)
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
        >>> import csgisnet
        >>> smoother = csgisnet.load("compact", device="cpu")
        >>> smoothed, edges = smoother.smooth_pixels(np.zeros((4, 6), np.uint16), with_edges=True)
        >>> smoothed.dtype.name, edges.dtype.name, edges.shape
        ('uint16', 'uint8', (4, 6))
        """
        check_smoothable(pixels, np.uint8, np.uint16)
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
        result = blended(result, image, strength)
        smoothed = result if tile.dtype == np.float32 else to_uint(result, tile.dtype)
        return (smoothed, to_uint(edges, np.uint8)) if with_edges else (smoothed,)
