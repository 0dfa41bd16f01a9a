"""Structure images with exact labels: drawn scenes without texture, unlimited in number.

A scene is a backdrop and objects painted one over another: blobs, polygons, ellipses, bands, thin
lines and words, each filled with a flat colour, a gradient, soft shading or a smoothed photograph,
some with an outline or a cast shadow. What is drawn is the label itself, so a network that learns
from scenes is not held to what an operator makes of a photograph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.interpolate import CubicSpline
from scipy.spatial import cKDTree

from vocsmooth.voc import VOID

Paint = NDArray[np.float32]
"""(H, W, 3) in [0, 1]."""
Cover = NDArray[np.float32]
"""(H, W) share of each pixel that an object covers, in [0, 1]."""
Rng = np.random.Generator

_FINE = 2  # objects are drawn this many times larger and averaged down: soft, unbiased contours
_SHIFT = 4  # fractional bits of the coordinates that OpenCV draws at
_RIM = 5  # window of the void rim between classes, as in VOC's masks


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
        kind = int(rng.choice(len(names), p=_FREQUENCY))
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
    pixels = np.rint(255 * image.clip(0, 1)).astype(np.uint8)
    return Scene(image=pixels, mask=draw_rims(mask, _RIM))


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


# What objects are filled with.


def _draw_paint(
    rng: Rng, size: tuple[int, int], pictures: Sequence[Paint], *, mosaic: bool = False
) -> Paint:
    """Fill the whole image: plain, a gradient, soft shading, a photograph, or a mosaic."""
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
    """One colour everywhere."""
    return np.broadcast_to(_colour(rng).astype(np.float32), (*size, 3))


def _colour(rng: Rng) -> NDArray[np.float64]:
    """Any hue, from grey to vivid."""
    grey, saturation = rng.uniform(0, 1), rng.beta(1, 1.5)
    colour: NDArray[np.float64] = (1 - saturation) * grey + saturation * rng.uniform(0, 1, 3)
    return colour


def _gradient(rng: Rng, size: tuple[int, int]) -> Cover:
    """A ramp from 0 to 1, straight or around a centre."""
    y, x = np.mgrid[: size[0], : size[1]] / max(size)
    if rng.random() < 0.5:
        angle = rng.uniform(0, 2 * np.pi)
        ramp = np.cos(angle) * x + np.sin(angle) * y
    else:
        ramp = np.hypot(x - rng.uniform(0, 1), y - rng.uniform(0, 1))
    return np.asarray((ramp - ramp.min()) / np.ptp(ramp), np.float32)


def _soft_field(rng: Rng, size: tuple[int, int], low: float = 0.0) -> Cover:
    """Slow light and dark between `low` and 1."""
    cells = rng.uniform(low, 1, (int(rng.integers(2, 5)), int(rng.integers(2, 5))))
    field = cv2.resize(cells, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(field.clip(low, 1), np.float32)


def _mosaic(rng: Rng, size: tuple[int, int]) -> Paint:
    """Plain cells around random points."""
    count = int(rng.integers(4, 40))
    points, pixels = rng.uniform(0, max(size), (count, 2)), np.indices(size).reshape(2, -1).T
    colours = np.stack([_colour(rng) for _ in range(count)])
    _, nearest = cKDTree(points).query(pixels)
    return np.asarray(colours[nearest].reshape(*size, 3), np.float32)


def _cut_picture(rng: Rng, size: tuple[int, int], pictures: Sequence[Paint]) -> Paint:
    """Part of a photograph, enlarged to fit if need be; half mirrored, half of other colours."""
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


# Objects.


def _fill(size: tuple[int, int], points: NDArray[np.float64]) -> Cover:
    """Cover the inside of a closed polygon of (x, y) points."""
    canvas = np.zeros((size[0] * _FINE, size[1] * _FINE), np.float32)
    cv2.fillPoly(canvas, [_fixed(points)], 1.0, cv2.LINE_8, _SHIFT)
    return _reduce(canvas)


def _stroke(size: tuple[int, int], points: NDArray[np.float64], width: float) -> Cover:
    """Cover an open line through (x, y) points, `width` pixels wide."""
    canvas = np.zeros((size[0] * _FINE, size[1] * _FINE), np.float32)
    thickness = max(1, round(width * _FINE))
    cv2.polylines(canvas, [_fixed(points)], False, 1.0, thickness, cv2.LINE_8, _SHIFT)
    return _reduce(canvas)


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return points in the fractional units that OpenCV draws with."""
    return np.asarray(np.rint(points * _FINE * 2**_SHIFT), np.int32)


def _reduce(canvas: NDArray[np.float32]) -> Cover:
    """Average a fine canvas down to pixels."""
    shape = (canvas.shape[1] // _FINE, canvas.shape[0] // _FINE)
    return np.asarray(cv2.resize(canvas, shape, interpolation=cv2.INTER_AREA), np.float32)


def _place(rng: Rng, size: tuple[int, int]) -> tuple[NDArray[np.float64], float]:
    """Draw a centre (x, y) and a radius, small ones more often."""
    centre = rng.uniform(0, 1, 2) * (size[1], size[0])
    return centre, float(min(size) * np.exp(rng.uniform(np.log(0.03), np.log(0.45))))


def _around(
    rng: Rng, size: tuple[int, int], angle: NDArray[np.float64], radius: NDArray[np.float64]
) -> Cover:
    """Cover a shape given by its relative radius over the angle, turned and stretched."""
    centre, scale = _place(rng, size)
    points = scale * radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points[:, 1] *= rng.uniform(0.35, 1)
    turn = rng.uniform(0, 2 * np.pi)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return _fill(size, centre + points @ matrix)


def _draw_ellipse(rng: Rng, size: tuple[int, int]) -> Cover:
    """An ellipse, a third of them with a hole."""
    angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    cover = _around(rng, size, angle, np.ones(90))
    if rng.random() > 0.33:
        return cover
    reach = max(2, int(np.sqrt(cover.sum()) * rng.uniform(0.05, 0.25)))
    return np.asarray(cover - cv2.erode(cover, np.ones((reach, reach), np.uint8)), np.float32)


def _draw_polygon(rng: Rng, size: tuple[int, int]) -> Cover:
    """A polygon of three to nine corners, even or uneven."""
    count = int(rng.integers(3, 10))
    step, loose = 2 * np.pi / count, rng.uniform(0, 0.8)
    angle = step * (np.arange(count) + loose * rng.uniform(-0.5, 0.5, count))
    return _around(rng, size, angle, 1 - loose * rng.uniform(0, 0.6, count))


def _draw_rectangle(rng: Rng, size: tuple[int, int]) -> Cover:
    """A rectangle, most of them upright, as walls and windows are."""
    (x, y), radius = _place(rng, size)
    half = radius * np.array([1, rng.uniform(0.1, 1)])[rng.permutation(2)]
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    turn = rng.uniform(0, np.pi) if rng.random() < 0.3 else 0.0
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return _fill(size, np.array([x, y]) + corners @ matrix)


def _draw_blob(rng: Rng, size: tuple[int, int]) -> Cover:
    """A smooth closed shape: a circle with random harmonics."""
    angle = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    order = np.arange(1, 7)[:, None]
    phase, gain = rng.uniform(0, 2 * np.pi, (6, 1)), rng.uniform(0, 0.45, (6, 1)) / order
    return _around(rng, size, angle, 1 + (gain * np.cos(order * angle + phase)).sum(0))


def _draw_band(rng: Rng, size: tuple[int, int]) -> Cover:
    """A broad curve through the image."""
    return _stroke(size, _curve(rng, size), rng.uniform(4, 24))


def _draw_line(rng: Rng, size: tuple[int, int]) -> Cover:
    """A thin line, straight or curved, one to three pixels wide."""
    width = rng.uniform(1, 3)
    if rng.random() < 0.5:
        return _stroke(size, rng.uniform(0, 1, (2, 2)) * (size[1], size[0]), width)
    return _stroke(size, _curve(rng, size), width)


def _curve(rng: Rng, size: tuple[int, int]) -> NDArray[np.float64]:
    """Return 80 points of a spline through random ones."""
    count = int(rng.integers(3, 6))
    knots = rng.uniform(-0.1, 1.1, (count, 2)) * (size[1], size[0])
    points: NDArray[np.float64] = CubicSpline(np.arange(count), knots)(
        np.linspace(0, count - 1, 80)
    )
    return points


def _draw_word(rng: Rng, size: tuple[int, int]) -> Cover:
    """A few letters in a sans-serif face, upright or turned."""
    letters = "".join(rng.choice(list("ABCDEFGHKLMNOPRSTUVXYZabdeghnrst23456789"), 5))
    text = letters[: int(rng.integers(1, 6))]
    font = ImageFont.load_default(_FINE * rng.uniform(12, min(size) / 3))
    canvas = Image.new("F", (size[1] * _FINE, size[0] * _FINE))
    corner = tuple(rng.uniform(-0.1, 0.8, 2) * canvas.size)
    ImageDraw.Draw(canvas).text(corner, text, fill=1.0, font=font)
    if rng.random() < 0.5:
        canvas = canvas.rotate(rng.uniform(-60, 60), Image.Resampling.NEAREST)
    return _reduce(np.array(canvas, np.float32))


KINDS: dict[str, Callable[[Rng, tuple[int, int]], Cover]] = {
    "ellipse": _draw_ellipse,
    "polygon": _draw_polygon,
    "rectangle": _draw_rectangle,
    "blob": _draw_blob,
    "band": _draw_band,
    "line": _draw_line,
    "word": _draw_word,
}
"""Kinds of objects; a kind's class in the mask is its place from 1."""

_FREQUENCY = (0.17, 0.17, 0.17, 0.2, 0.06, 0.12, 0.11)
