"""Arrays as the project passes them: checks of float images, and pixels to floats and back."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.unsignedinteger[Any]]
"""Pixels of image files and maps: uint8 or uint16."""

FloatImage = NDArray[np.floating[Any]]

Number = float | np.floating[Any] | np.integer[Any]

LONGEST_SIDE = 2**31 - 1
"""Longest side of an image: the compiled kernels and OpenCV count its pixels in C's int."""

RANGE_TOLERANCE = 1e-6
"""How far outside [0, 1] a value may lie, as rounding in float32 may have moved it there."""


def check_image(image: FloatImage, name: str = "image") -> None:
    """Refuse anything that is not a ``(H, W)`` or ``(H, W, C)`` image of finite floats in [0, 1].

    Parameters
    ----------
    image : ndarray
        Any strides and either byte order; it is not changed.
    name : str
        What the caller calls this argument, for the message.

    Raises
    ------
    TypeError
        Not an array, or not float32 or float64; the message says how to convert.
    ValueError
        Another number of dimensions, no pixels, a NaN or infinity, or values outside [0, 1].
    """
    check_floats(image, name)
    check_shape(image, name)
    _check_values(image, name)


def check_shape(image: NDArray[Any], name: str) -> None:
    """Refuse an array that is not of shape ``(H, W)`` or ``(H, W, C)``, or empty, or too long."""
    if image.ndim not in (2, 3) or image.size == 0:
        raise ValueError(
            f"{name} must have shape (H, W) or (H, W, C) with at least one pixel, "
            f"got {image.shape}."
        )
    if max(image.shape) > LONGEST_SIDE:
        raise ValueError(
            f"{name} must have sides of at most {LONGEST_SIDE} pixels, got shape {image.shape}."
        )


def check_array(array: NDArray[Any], name: str) -> None:
    """Raise TypeError for anything that is not a plain NumPy array.

    Masked arrays and matrices are arrays to `isinstance`, but neither survives NumPy's functions:
    masks are lost on the way, or mean something else, and a matrix is never one row or one plane.
    """
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(
            f"{name} must be a plain NumPy array, got a masked one: fill in the masked values "
            "with numpy.ma.filled(x, value)."
        )
    if not isinstance(array, np.ndarray) or isinstance(array, np.matrix):
        raise TypeError(
            f"{name} must be a NumPy array, got {type(array).__name__}: use numpy.asarray."
        )


def check_floats(array: FloatImage, name: str) -> None:
    """Refuse anything but an array of float32 or float64, of either byte order."""
    check_array(array, name)
    if array.dtype.newbyteorder("=") not in (np.float32, np.float64):
        raise TypeError(
            f"{name} must be float32 or float64 in [0, 1], got {array.dtype}: {_conversion(array)}."
        )


def check_pixels(pixels: Pixels, name: str = "pixels") -> None:
    """Refuse anything but an array of uint8 or uint16, of either byte order."""
    check_array(pixels, name)
    if pixels.dtype.newbyteorder("=") not in (np.uint8, np.uint16):
        raise TypeError(f"{name} must be uint8 or uint16, got {pixels.dtype}.")


def as_channels(image: FloatImage) -> FloatImage:
    """View an image as ``(H, W, C)``; grey gets one channel."""
    return image[:, :, np.newaxis] if image.ndim == 2 else image


def like(result: FloatImage, image: FloatImage) -> FloatImage:
    """Give an ``(H, W, C)`` result the shape and dtype of its image, C-contiguous."""
    return np.ascontiguousarray(result.reshape(image.shape), image.dtype)


def check_number(
    name: str, value: Number, *, above: float = -math.inf, at_least: float = -math.inf
) -> None:
    """Refuse a parameter that is not a finite real number, or is too small.

    Raises
    ------
    TypeError
        `value` is not a real number; a bool does not count as one.
    ValueError
        `value` is not finite, not greater than `above`, or less than `at_least`.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name} must be a number, got {value!r}.")
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        raise ValueError(f"{name} is too large for a float64.")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value!r}.")
    if value <= above:
        raise ValueError(f"{name} must be greater than {above:g}, got {value!r}.")
    if value < at_least:
        raise ValueError(f"{name} must be at least {at_least:g}, got {value!r}.")


def check_count(name: str, value: int | np.integer[Any], *, at_least: int = 1) -> None:
    """Refuse a parameter that is not a whole number (TypeError) or is too small (ValueError)."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be a whole number, got {value!r}.")
    check_number(name, int(value), at_least=at_least)


def to_float(pixels: Pixels) -> NDArray[np.float32]:
    """Map uint8 or uint16 to float32 in [0, 1]; `to_uint` brings every value back exactly."""
    check_pixels(pixels)
    return np.divide(pixels, np.iinfo(pixels.dtype).max, dtype=np.float32)


def to_uint(image: NDArray[np.floating[Any]], dtype: np.dtype[Any] | type) -> Pixels:
    """Clip to [0, 1], scale to the range of uint8 or uint16, and round to the nearest.

    Raises
    ------
    TypeError
        `image` is not an array of float32 or float64.
    ValueError
        A value is NaN or infinite.
    """
    check_floats(image, "image")
    if not np.isfinite(image).all():
        raise ValueError("an image with NaN or infinite values cannot be stored as integers.")
    scaled = np.clip(image, 0, 1) * image.dtype.type(np.iinfo(dtype).max)
    rounded: Pixels = np.rint(scaled, out=scaled).astype(dtype)
    return rounded


def to_8_bit(pixels: Pixels) -> NDArray[np.uint8]:
    """Round uint16 to uint8 (65535 is 255); uint8 is returned unchanged."""
    check_pixels(pixels)
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False)
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _check_values(image: FloatImage, name: str) -> None:
    """Refuse NaN, infinity and values outside [0, 1]."""
    low, high = float(image.min()), float(image.max())  # NaN if any value is
    if not (math.isfinite(low) and math.isfinite(high)):
        bad = int(image.size - np.count_nonzero(np.isfinite(image)))
        raise ValueError(f"{name} has {bad} NaN or infinite values; every value must be in [0, 1].")
    if low < -RANGE_TOLERANCE or high > 1 + RANGE_TOLERANCE:
        raise ValueError(
            f"{name} must lie in [0, 1], got {low:g} to {high:g}: "
            "scale it, or clip it with numpy.clip(x, 0, 1)."
        )


def _conversion(image: NDArray[Any]) -> str:
    """Say how to convert an array of another dtype."""
    if image.dtype.kind == "u":
        return f"use x.astype(numpy.float32) / {np.iinfo(image.dtype).max}"
    if image.dtype.kind == "i":
        return "divide by its largest possible value, as x.astype(numpy.float32) / 255"
    if image.dtype.kind in "bf":
        return "use x.astype(numpy.float32)"
    return "give real numbers"
