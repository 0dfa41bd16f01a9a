"""Convert images of any common kind to the arrays that a smoother takes, and its results back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vocsmooth.arrays import check_array

if TYPE_CHECKING:
    from PIL import Image

AnyImage = TypeVar("AnyImage")

Array: TypeAlias = NDArray[Any]

SmoothArray: TypeAlias = Callable[[Array], Array]
"""Maps one image, (H, W) or (H, W, 3) of float32, uint8 or uint16, to one of its shape and type."""

_MODES = ("L", "LA", "RGB", "RGBA", "I;16")


def smooth_any(image: AnyImage, smooth: SmoothArray, *, threads: int = 1) -> AnyImage:
    """Smooth a tensor, an array or a picture of Pillow, or a batch; return the same kind.

    Parameters
    ----------
    image : Tensor, ndarray or PIL.Image.Image
        See `csgisnet.prediction.smoother.Smoother.__call__`.
    smooth : callable
        Smooths one image.
    threads : int
        How many images of a batch to smooth at a time.

    Raises
    ------
    TypeError, ValueError
        `image` is of another kind, type or shape, or `smooth` refuses it.
    """
    result: Any
    if isinstance(image, Tensor):
        result = _smooth_tensor(image, smooth, threads)
    elif isinstance(image, np.ndarray):
        result = _smooth_array(image, smooth, threads)
    else:
        from PIL import Image  # whoever has a picture of Pillow has loaded it already

        if not isinstance(image, Image.Image):
            raise TypeError(
                "image must be a NumPy array, a torch tensor or a picture of Pillow, got "
                f"{type(image).__name__}. Open files with PIL.Image.open; of a list, pass one "
                "image at a time, or stack them if they are equal in size."
            )
        result = _smooth_picture(image, smooth)
    same_kind: AnyImage = result
    return same_kind


def check_smoothable(image: Array, *types: type) -> None:
    """Raise an error unless the array is an image of one of these types."""
    check_array(image, "image")
    if image.dtype not in types:
        wanted = " or ".join(np.dtype(kind).name for kind in types)
        scale = " in [0, 1]" if np.float32 in types else ""
        raise TypeError(f"image must be a {wanted} array{scale}, got {image.dtype}.")
    if image.size == 0 or (image.ndim != 2 and (image.ndim != 3 or image.shape[2] != 3)):
        raise ValueError(f"image must be (H, W) or (H, W, 3), got shape {image.shape}.")


def blended(result: Array, image: Array, strength: float) -> Array:
    """Blend the result with its image, clip it to [0, 1], and make it grey if the image is grey.

    Parameters
    ----------
    result : (H, W, 3) float32
        What the network made of the image; its memory is used again.
    image : (H, W) or (H, W, 3) float32
        The image.
    strength : float
        See `csgisnet.prediction.smoother.Smoother.smooth`.
    """
    np.clip(result, 0, 1, out=result)
    if image.ndim == 2:
        result = result.mean(axis=2)
    if strength != 1.0:
        result -= image
        result *= strength
        result += image
    return np.clip(result, 0, 1, out=result)


def _smooth_array(image: Array, smooth: SmoothArray, threads: int) -> Array:
    """Smooth an array (H, W[, 3]) or (N, H, W, 3) of floats, uint8 or uint16."""
    check_array(image, "image")
    integers = image.dtype.newbyteorder("=") in (np.uint8, np.uint16)
    if not integers and image.dtype.kind != "f":
        raise TypeError(f"image must be floats in [0, 1], uint8 or uint16, got {image.dtype}.")
    with np.errstate(over="ignore"):  # what becomes infinite is refused with all else beyond 1
        plain = image.astype(image.dtype.newbyteorder("=") if integers else np.float32, copy=False)
    if image.ndim == 4 and len(image):
        return np.stack(_each(plain, smooth, threads)).astype(image.dtype, copy=False)
    return smooth(plain).astype(image.dtype, copy=False)


def _smooth_tensor(image: Tensor, smooth: SmoothArray, threads: int) -> Tensor:
    """Smooth a tensor ([N,] C, H, W) of floats, uint8 or uint16, with 1 or 3 channels."""
    if image.layout != torch.strided or image.is_meta:
        raise TypeError(
            "image must be a dense tensor with values, got layout "
            f"{image.layout} on the device {image.device}."
        )
    if not image.is_floating_point() and image.dtype not in (torch.uint8, torch.uint16):
        raise TypeError(f"image must be floats in [0, 1], uint8 or uint16, got {image.dtype}.")
    if image.ndim not in (3, 4) or image.shape[-3] not in (1, 3) or image.numel() == 0:
        raise ValueError(
            "a tensor must have shape (C, H, W) or (N, C, H, W) with 1 or 3 channels and at least "
            f"one pixel, got {tuple(image.shape)}. Bring the channels to the front with "
            "x.movedim(-1, -3), or pass a NumPy array."
        )
    plain = image.detach().cpu()
    plain = plain.float() if plain.is_floating_point() else plain
    arrays = plain.reshape(-1, *image.shape[-3:]).movedim(1, -1).numpy()
    grey = arrays.shape[-1] == 1
    smoothed = np.stack(_each(arrays[..., 0] if grey else arrays, smooth, threads))
    planes = np.moveaxis(smoothed[..., None] if grey else smoothed, -1, 1)
    result = torch.from_numpy(np.ascontiguousarray(planes)).reshape(image.shape)
    return result.to(image.device, image.dtype)


def _smooth_picture(image: Image.Image, smooth: SmoothArray) -> Image.Image:
    """Smooth a picture of Pillow and keep its transparency."""
    from PIL import Image

    if image.mode not in _MODES:
        raise TypeError(
            f"a picture must have the mode {', '.join(_MODES[:-1])} or {_MODES[-1]}, got "
            f"{image.mode}: use image.convert('RGB')."
        )
    opaque = image.convert(image.mode[:-1]) if image.mode.endswith("A") else image
    result = Image.fromarray(smooth(np.asarray(opaque)))
    if opaque is not image:
        result.putalpha(image.getchannel("A"))
    result.info = dict(image.info)  # its colour profile, among others
    return result


def _each(images: Iterable[Array], smooth: SmoothArray, threads: int) -> list[Array]:
    """Smooth the images of a batch."""
    if threads == 1:
        return [smooth(image) for image in images]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(smooth, images))
