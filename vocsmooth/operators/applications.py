"""What people smooth images for: detail, abstraction, smoothing by class; see also video.py.

All functions take an image that was smoothed already, by any operator or by the network.
Images are ``(H, W)`` or ``(H, W, 3)`` float32 or float64 in [0, 1] and keep shape and type. Where
a smoother overshoots a little, as those that solve a linear system do, its result is clipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vocsmooth.arrays import (
    FloatImage,
    as_channels,
    check_array,
    check_count,
    check_floats,
    check_image,
    check_number,
    check_shape,
    like,
)
from vocsmooth.classes import VOC_CLASSES, VOID
from vocsmooth.operators.edges import LUMA_WEIGHTS
from vocsmooth.settings import nearest

_EDGE_SIGMA = 1.0  # pixels

_SURROUND = 1.6  # ratio of the two sigmas, as in the paper

_EDGE_SENSITIVITY = 0.98

_EDGE_SHARPNESS = 300.0  # the paper's 0.75 to 5, for luminances up to 1 instead of 100

_STEP_SHARPNESS = 3.0

_OVERSHOOT = 0.25


def blend(
    image: FloatImage, smoothed: FloatImage, strength: float | NDArray[np.floating[Any]]
) -> FloatImage:
    """Smooth more or less strongly, everywhere or by a strength for each pixel.

    Parameters
    ----------
    image : ndarray
        The image before smoothing.
    smoothed : ndarray
        The same image, smoothed.
    strength : float or (H, W) ndarray
        0 keeps the image, 1 takes the smoothed one; above 1 takes more away, below 0 enhances what
        smoothing would remove. See `strength_map`.

    Returns
    -------
    ndarray
        ``image + strength * (smoothed - image)``, clipped to [0, 1].

    Raises
    ------
    TypeError, ValueError
        An image is not a float image in [0, 1], the shapes do not fit, or a strength is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> image, smoothed = np.array([[0.25, 0.75]]), np.array([[0.5, 0.5]])
    >>> blend(image, smoothed, 0.5).tolist()
    [[0.375, 0.625]]
    >>> blend(image, smoothed, np.array([[1.0, 0.0]])).tolist()
    [[0.5, 0.75]]
    """
    check_image(image)
    smoothed = _clipped(smoothed)
    if image.shape != smoothed.shape:
        raise ValueError(
            f"image and smoothed must have one shape, got {image.shape} and {smoothed.shape}."
        )
    amount = _amounts(strength, image)
    return like(np.clip(image + amount * (smoothed - image), 0, 1), image)


def detail_enhance(image: FloatImage, smoothed: FloatImage, amount: float = 1.5) -> FloatImage:
    """Make the detail that smoothing takes away stronger, without halos at the edges it keeps.

    Parameters
    ----------
    image, smoothed : ndarray
        The image before and after smoothing.
    amount : float
        How much of the detail to add to the image; 0 changes nothing.

    Returns
    -------
    ndarray
        ``image + amount * (image - smoothed)``, clipped to [0, 1].

    Raises
    ------
    TypeError, ValueError
        As `blend`.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.array([[0.25, 0.75]])
    >>> detail_enhance(image, np.array([[0.375, 0.625]]), amount=1.0).tolist()
    [[0.125, 0.875]]
    """
    return blend(image, smoothed, -amount)


def abstract(smoothed: FloatImage, levels: int = 8, edge_strength: float = 1.0) -> FloatImage:
    """Turn a smoothed image into a drawing: a few tones with soft steps between, and dark lines.

    Parameters
    ----------
    smoothed : ndarray
        A smoothed image; texture left in it would become lines.
    levels : int
        Number of steps of luminance, at least 2. Colour differences stay as they are.
    edge_strength : float
        0 draws no lines, 1 black ones.

    Returns
    -------
    ndarray
        The abstraction, clipped to [0, 1].

    Raises
    ------
    TypeError, ValueError
        `smoothed` is not a grey or RGB float image in [0, 1], or a parameter is out of range.

    References
    ----------
    H. Winnemöller, S. C. Olsen, B. Gooch, "Real-Time Video Abstraction", SIGGRAPH 2006: lines from
    a difference of Gaussians, and soft quantisation of the luminance.

    Examples
    --------
    >>> import numpy as np
    >>> ramp = np.tile(np.linspace(0, 1, 9), (3, 1))
    >>> abstract(ramp, levels=2, edge_strength=0)[0].round(1).tolist()
    [0.0, 0.0, 0.2, 0.5, 0.5, 0.5, 0.8, 1.0, 1.0]
    """
    smoothed = _clipped(smoothed)
    check_count("levels", levels, at_least=2)
    check_number("edge_strength", edge_strength, at_least=0)
    luma = _luma(smoothed)
    stepped = as_channels(smoothed) + (_quantise(luma, levels) - luma)[..., None]
    lines = 1 - edge_strength * (1 - _line_brightness(luma))
    drawn = np.clip(stepped, 0, 1) * np.clip(lines, 0, 1)[..., None]
    return like(drawn, smoothed)


def strength_map(
    mask: NDArray[np.uint8],
    strengths: Mapping[str, float],
    *,
    default: float = 1.0,
    feather: float = 0.0,
) -> NDArray[np.float32]:
    """Return how strongly `blend` should smooth each pixel, given by the class it belongs to.

    Parameters
    ----------
    mask : (H, W) uint8
        Class indices as `vocsmooth.sources.masks.read_mask` gives them, 255 where void.
    strengths : mapping
        Strength by name of class, such as ``{"person": 0.2, "background": 1.5}``.
    default : float
        Strength of all other classes, and of void.
    feather : float
        Standard deviation, in pixels, of a Gaussian that softens the borders between strengths.

    Returns
    -------
    (H, W) float32 ndarray
        Strengths.

    Raises
    ------
    TypeError
        `mask` is not an array.
    ValueError
        A name is not a VOC class (the message names the nearest), a strength is not finite, the
        mask holds a value that is not a class, or `feather` is negative.

    Examples
    --------
    >>> import numpy as np
    >>> strength_map(np.array([[0, 15, 255]], np.uint8), {"person": 0.25}).tolist()
    [[1.0, 0.25, 1.0]]
    """
    check_number("feather", feather, at_least=0)
    check_number("default", default)
    by_class = np.full(256, default, np.float32)
    for name, strength in strengths.items():
        if name not in VOC_CLASSES:
            raise ValueError(f"No class {name!r}.{nearest(name, VOC_CLASSES)}")
        check_number(f"strength of {name}", strength)
        by_class[VOC_CLASSES.index(name)] = strength
    check_array(mask, "mask")
    wanted = f"mask must be (H, W) uint8 of 0 to {len(VOC_CLASSES) - 1} or {VOID}"
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise ValueError(f"{wanted}, got {mask.dtype} of shape {mask.shape}.")
    unknown = mask[(mask >= len(VOC_CLASSES)) & (mask != VOID)]
    if unknown.size:
        raise ValueError(f"{wanted}, got values up to {unknown.max()}.")
    strength_of_pixel = by_class[mask]
    return _blurred(strength_of_pixel, feather) if feather else strength_of_pixel


def _amounts(
    strength: float | NDArray[np.floating[Any]], image: FloatImage
) -> NDArray[np.floating[Any]]:
    """Return the strength as an array that broadcasts with the image."""
    if not isinstance(strength, np.ndarray):
        check_number("strength", strength)
        return np.asarray(strength, image.dtype)
    check_array(strength, "strength")
    if strength.dtype.kind != "f":
        raise TypeError(
            f"strength must be an array of floats, where 1 is the smoothed image, "
            f"got {strength.dtype}."
        )
    if strength.shape != image.shape[:2]:
        raise ValueError(
            f"strength must be a number or of shape {image.shape[:2]}, got shape {strength.shape}."
        )
    if not np.isfinite(strength).all():
        raise ValueError("strength must be finite, it has NaN or infinite values.")
    return strength.reshape(strength.shape + (1,) * (image.ndim - 2)).astype(image.dtype)


def _luma(image: FloatImage) -> FloatImage:
    """Return the luminance (H, W) of a grey or RGB image."""
    if image.ndim == 2:
        return image
    if image.shape[2] != 3:
        raise ValueError(f"smoothed must be (H, W) or (H, W, 3), got shape {image.shape}.")
    return image @ np.array(LUMA_WEIGHTS, image.dtype)


def _quantise(luma: FloatImage, levels: int) -> FloatImage:
    """Step the luminance softly: flat at multiples of 1 / levels, steepest halfway between."""
    middle = (np.minimum(np.floor(luma * levels), levels - 1) + 0.5) / levels
    offset = (luma - middle) * (2 * levels)  # -1 to 1 within a step
    rise = np.tanh(_STEP_SHARPNESS * offset) / np.tanh(_STEP_SHARPNESS)
    stepped: FloatImage = middle + rise / (2 * levels)
    return stepped


def _line_brightness(luma: FloatImage) -> FloatImage:
    """Return 1 on areas and down to 0 on the dark side of edges (difference of Gaussians)."""
    centre, surround = _blurred(luma, _EDGE_SIGMA), _blurred(luma, _EDGE_SIGMA * _SURROUND)
    difference = centre - _EDGE_SENSITIVITY * surround
    brightness: FloatImage = 1 + np.tanh(_EDGE_SHARPNESS * np.minimum(difference, 0))
    return brightness


def _blurred(plane: NDArray[Any], sigma: float) -> NDArray[Any]:
    """Blur a plane by a Gaussian, the border replicated."""
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE))


def _clipped(smoothed: FloatImage) -> FloatImage:
    """Clip the overshoot of a smoother to [0, 1]; refuse what lies far outside."""
    check_floats(smoothed, "smoothed")
    check_shape(smoothed, "smoothed")
    if smoothed.min() >= -_OVERSHOOT and smoothed.max() <= 1 + _OVERSHOOT:
        smoothed = np.clip(smoothed, 0, 1)
    check_image(smoothed, "smoothed")
    return smoothed
