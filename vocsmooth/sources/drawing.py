"""Draw scenes without texture: structure images whose labels are exact, unlimited in number.

A scene is a backdrop and objects painted one over another: blobs, polygons, ellipses, bands, thin
lines and words, each filled with a flat colour, a gradient, soft shading or a smoothed photograph,
some with an outline or a cast shadow. What is drawn is the label itself, so a network that learns
from scenes is not held to what an operator makes of a photograph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from vocsmooth.arrays import to_uint
from vocsmooth.classes import VOID
from vocsmooth.sources.shapes import FREQUENCY, KINDS, Cover, Rng

Paint = NDArray[np.float32]
"""(H, W, 3) in [0, 1]."""

RIM = 5
"""Window of the void rim between classes, in pixels, as in VOC's masks."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A structure image and what is in it."""

    image: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    mask: NDArray[np.uint8]
    """(H, W): 0 backdrop, 1 to 7 the number of the object's kind in `KINDS`, 255 rims between."""


def draw_scene(
    rng: np.random.Generator, size: tuple[int, int], pictures: Sequence[Paint] = ()
) -> Scene:
    """Draw one scene.

    Parameters
    ----------
    rng : numpy.random.Generator
        Decides everything.
    size : (int, int)
        Height and width in pixels, at least 32.
    pictures : sequence of (H', W', 3) float32 in [0, 1]
        Smoothed photographs of which parts fill some backdrops and objects.

    Raises
    ------
    ValueError
        `size` is too small.
    """
    if min(size) < 32:
        raise ValueError(f"A scene needs at least 32 x 32 pixels, got {size}.")
    image, mask = _draw_paint(rng, size, pictures, mosaic=True), np.zeros(size, np.uint8)
    names = list(KINDS)
    for _ in range(int(rng.integers(4, 26))):
        kind = int(rng.choice(len(names), p=FREQUENCY))
        cover = KINDS[names[kind]](rng, size)
        if rng.random() < 0.2:
            image = _cast_shadow(rng, image, cover)
        opacity = 1.0 if rng.random() < 0.7 else rng.uniform(0.1, 0.7)
        image = _blend(image, _draw_paint(rng, size, pictures), np.float32(opacity) * cover)
        if rng.random() < 0.15:
            image = _blend(image, _plain(rng, size), _outline(rng, cover))
        mask[cover > 0.5] = kind + 1
    if rng.random() < 0.3:
        image = image * _soft_field(rng, size, low=0.6)[..., None]
    if rng.random() < 0.4:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.2)), np.float32)
    pixels = np.asarray(to_uint(image, np.uint8), np.uint8)
    return Scene(image=pixels, mask=draw_rims(mask, RIM))


def draw_rims(mask: NDArray[np.uint8], window: int) -> NDArray[np.uint8]:
    """Set the pixels around changes of class to void, within a square window."""
    square = np.ones((window, window), np.uint8)
    changes = cv2.erode(mask, square) != cv2.dilate(mask, square)
    return np.where(changes, np.uint8(VOID), mask)


def _blend(under: Paint, over: Paint, cover: Cover) -> Paint:
    """Paint `over` where it covers."""
    return under + cover[..., None] * (over - under)


def _cast_shadow(rng: Rng, image: Paint, cover: Cover) -> Paint:
    """Darken what lies beside an object, softly."""
    down, right = rng.uniform(-12, 12, 2)
    move = np.array([[1, 0, right], [0, 1, down]])
    moved = cv2.warpAffine(cover, move, (cover.shape[1], cover.shape[0]))
    shadow = cv2.GaussianBlur(moved, (0, 0), rng.uniform(1, 8))
    return np.asarray(image * (1 - rng.uniform(0.2, 0.7) * shadow[..., None]), np.float32)


def _outline(rng: Rng, cover: Cover) -> Cover:
    """Return the contour of an object, one to four pixels wide."""
    reach = int(rng.integers(1, 4))
    square = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.dilate(cover, square) - cover, np.float32)


def _draw_paint(
    rng: Rng, size: tuple[int, int], pictures: Sequence[Paint], *, mosaic: bool = False
) -> Paint:
    """Fill an image with a colour, a gradient, soft shading, a photograph or a mosaic."""
    draw = rng.random()
    if pictures and draw < (0.45 if mosaic else 0.15):
        return _cut_picture(rng, size, pictures)
    if mosaic and draw > 0.8:
        return _mosaic(rng, size)
    if draw < 0.5:
        return _plain(rng, size)
    ramp = _gradient(rng, size) if draw < 0.7 else _soft_field(rng, size)
    return _blend(_plain(rng, size), _plain(rng, size), ramp)


def _plain(rng: Rng, size: tuple[int, int]) -> Paint:
    """Fill with one colour."""
    return np.broadcast_to(_colour(rng).astype(np.float32), (*size, 3))


def _colour(rng: Rng) -> NDArray[np.float64]:
    """Draw a colour of any hue, from grey to vivid."""
    grey, saturation = rng.uniform(0, 1), rng.beta(1, 1.5)
    colour: NDArray[np.float64] = (1 - saturation) * grey + saturation * rng.uniform(0, 1, 3)
    return colour


def _gradient(rng: Rng, size: tuple[int, int]) -> Cover:
    """Draw a ramp from 0 to 1, straight or around a centre."""
    y, x = np.mgrid[: size[0], : size[1]] / max(size)
    if rng.random() < 0.5:
        angle = rng.uniform(0, 2 * np.pi)
        ramp = np.cos(angle) * x + np.sin(angle) * y
    else:
        ramp = np.hypot(x - rng.uniform(0, 1), y - rng.uniform(0, 1))
    return np.asarray((ramp - ramp.min()) / np.ptp(ramp), np.float32)


def _soft_field(rng: Rng, size: tuple[int, int], low: float = 0.0) -> Cover:
    """Draw slow changes of light between `low` and 1."""
    cells = rng.uniform(low, 1, (int(rng.integers(2, 5)), int(rng.integers(2, 5))))
    field = cv2.resize(cells, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(field.clip(low, 1), np.float32)


def _mosaic(rng: Rng, size: tuple[int, int]) -> Paint:
    """Draw a mosaic of plain cells around random points."""
    count = int(rng.integers(4, 40))
    points, pixels = rng.uniform(0, max(size), (count, 2)), np.indices(size).reshape(2, -1).T
    colours = np.stack([_colour(rng) for _ in range(count)])
    _, nearest = cKDTree(points).query(pixels)
    return np.asarray(colours[nearest].reshape(*size, 3), np.float32)


def _cut_picture(rng: Rng, size: tuple[int, int], pictures: Sequence[Paint]) -> Paint:
    """Cut part of a photograph, enlarged if need be; half are mirrored, half have other colours."""
    picture = pictures[int(rng.integers(len(pictures)))]
    least = max(size[0] / picture.shape[0], size[1] / picture.shape[1])
    scale = max(least, rng.uniform(0.5, 1.5))
    wanted = [round(side * scale) for side in picture.shape[:2]]
    mode = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    height, width = (max(w, s) for w, s in zip(wanted, size, strict=True))
    picture = np.asarray(cv2.resize(picture, (width, height), interpolation=mode), np.float32)
    top, left = (int(rng.integers(n - s + 1)) for n, s in zip(picture.shape, size, strict=False))
    part = picture[top : top + size[0], left : left + size[1]]
    part = part[..., rng.permutation(3)] if rng.random() < 0.5 else part
    return np.asarray(part[:, ::-1] if rng.random() < 0.5 else part, np.float32)
