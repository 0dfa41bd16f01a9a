"""The objects of drawn scenes: each kind draws which pixels it covers, wholly or in part."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.interpolate import CubicSpline

Cover = NDArray[np.float32]
"""(H, W) share of each pixel that an object covers, in [0, 1]."""

Rng = np.random.Generator

_FINE = 2  # objects are drawn this many times larger and averaged down: soft, unbiased contours

_SHIFT = 4  # fractional bits of the coordinates that OpenCV draws at


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
    """Average a fine canvas down to the pixels of the image."""
    shape = (canvas.shape[1] // _FINE, canvas.shape[0] // _FINE)
    return np.asarray(cv2.resize(canvas, shape, interpolation=cv2.INTER_AREA), np.float32)


def _place(rng: Rng, size: tuple[int, int]) -> tuple[NDArray[np.float64], float]:
    """Draw a centre (x, y) and a radius; small radii are more frequent."""
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
    """Draw an ellipse; a third of them have a hole."""
    angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    cover = _around(rng, size, angle, np.ones(90))
    if rng.random() > 0.33:
        return cover
    reach = max(2, int(np.sqrt(cover.sum()) * rng.uniform(0.05, 0.25)))
    return np.asarray(cover - cv2.erode(cover, np.ones((reach, reach), np.uint8)), np.float32)


def _draw_polygon(rng: Rng, size: tuple[int, int]) -> Cover:
    """Draw a polygon of three to nine corners, regular or not."""
    count = int(rng.integers(3, 10))
    step, loose = 2 * np.pi / count, rng.uniform(0, 0.8)
    angle = step * (np.arange(count) + loose * rng.uniform(-0.5, 0.5, count))
    return _around(rng, size, angle, 1 - loose * rng.uniform(0, 0.6, count))


def _draw_rectangle(rng: Rng, size: tuple[int, int]) -> Cover:
    """Draw a rectangle; most are upright, as walls and windows are."""
    (x, y), radius = _place(rng, size)
    half = radius * np.array([1, rng.uniform(0.1, 1)])[rng.permutation(2)]
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    turn = rng.uniform(0, np.pi) if rng.random() < 0.3 else 0.0
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return _fill(size, np.array([x, y]) + corners @ matrix)


def _draw_blob(rng: Rng, size: tuple[int, int]) -> Cover:
    """Draw a smooth closed shape: a circle with random harmonics."""
    angle = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    order = np.arange(1, 7)[:, None]
    phase, gain = rng.uniform(0, 2 * np.pi, (6, 1)), rng.uniform(0, 0.45, (6, 1)) / order
    return _around(rng, size, angle, 1 + (gain * np.cos(order * angle + phase)).sum(0))


def _draw_band(rng: Rng, size: tuple[int, int]) -> Cover:
    """Draw a broad curve through the image."""
    return _stroke(size, _curve(rng, size), rng.uniform(4, 24))


def _draw_line(rng: Rng, size: tuple[int, int]) -> Cover:
    """Draw a thin line, straight or curved, one to three pixels wide."""
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
    """Draw a few letters in a sans-serif face, upright or turned."""
    letters = "".join(rng.choice(list("ABCDEFGHKLMNOPRSTUVXYZabdeghnrst23456789"), 5))
    text = letters[: int(rng.integers(1, 6))]
    font = ImageFont.load_default(_FINE * rng.uniform(12, max(12, min(size) / 3)))
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

FREQUENCY = (0.17, 0.17, 0.17, 0.2, 0.06, 0.12, 0.11)
