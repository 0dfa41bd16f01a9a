"""Draw scenes whose classes have colours and shapes of their own, for textures by class.

Classes come in pairs of neighbouring hues that overlap; one of a pair is round, the other has
corners. So a pixel's colour alone often does not tell its class, and the shape around it does. The
recipe "classes" lays the same textures over both of a pair, as structure over one and as texture
over the other: what to keep follows from the class.
"""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

from vocsmooth.arrays import to_uint
from vocsmooth.sources.drawing import RIM, Paint, Scene, draw_rims
from vocsmooth.sources.shapes import KINDS, Cover, Rng

PAIRS = 3
"""Pairs of classes: 1 and 2, 3 and 4, 5 and 6; classes of odd numbers are round."""

_ROUND, _CORNERED = ("ellipse", "blob"), ("polygon", "rectangle")

_APART = 60 / 360  # between the hues of a pair; pairs are twice as far apart

_SPREAD = 40 / 360  # of a class's hue to either side, so that a pair overlaps

_LEAST, _MOST = 0.02, 0.3  # share of the scene that an object covers

_TRIES = 40


def draw_class_scene(rng: np.random.Generator, size: tuple[int, int]) -> Scene:
    """Draw a grey ground with five to nine objects of six classes.

    Parameters
    ----------
    rng : numpy.random.Generator
        Decides everything.
    size : (int, int)
        Height and width in pixels, at least 32.

    Returns
    -------
    Scene
        Its mask holds 0 for the ground, 1 to 6 for the classes, and 255 for the rims between them.

    Raises
    ------
    ValueError
        `size` is too small.

    Examples
    --------
    >>> scene = draw_class_scene(np.random.default_rng(0), (64, 96))
    >>> scene.image.shape, sorted(set(scene.mask.ravel().tolist()) - {0, 255}) != []
    ((64, 96, 3), True)
    """
    if min(size) < 32:
        raise ValueError(f"A scene needs at least 32 x 32 pixels, got {size}.")
    image: Paint = np.full((*size, 3), rng.uniform(0.25, 0.75), np.float32)
    mask = np.zeros(size, np.uint8)
    for _ in range(int(rng.integers(5, 10))):
        index = int(rng.integers(1, 2 * PAIRS + 1))
        cover = _draw_cover(rng, size, _ROUND if index % 2 else _CORNERED)
        image = image + cover[..., None] * (_draw_colour(rng, index) - image)
        mask[cover > 0.5] = index
    pixels = np.asarray(to_uint(image.astype(np.float32), np.uint8), np.uint8)
    return Scene(image=pixels, mask=draw_rims(mask, RIM))


def _draw_cover(rng: Rng, size: tuple[int, int], kinds: tuple[str, ...]) -> Cover:
    """Draw an object that is neither a speck nor the whole scene, if a few tries find one."""
    for _ in range(_TRIES):
        cover = KINDS[str(rng.choice(kinds))](rng, size)
        if _LEAST <= cover.mean() <= _MOST:
            break
    return cover


def _draw_colour(rng: Rng, index: int) -> NDArray[np.float32]:
    """Draw a colour for a class."""
    pair, second = divmod(index - 1, 2)
    hue = pair * 2 * _APART + second * _APART + rng.uniform(-_SPREAD, _SPREAD)
    rgb = colorsys.hsv_to_rgb(hue % 1, rng.uniform(0.45, 0.85), rng.uniform(0.4, 0.8))
    return np.array(rgb, np.float32)
