"""Draw scenes of print: lines of words, rules and frames, as on pages, labels and signs."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vocsmooth.sources.drawing import Paint
from vocsmooth.sources.shapes import Rng

_LETTERS = tuple("aaabcdeeeefghiijklmnnooprrsssttuvwyzABCDEFGHKLMNOPRSTVW0123456789")
_FINE = 2  # drawn this many times larger and averaged down


def draw_page(rng: Rng, size: tuple[int, int]) -> tuple[Paint, NDArray[np.uint8]]:
    """Draw a page; return it and where its ink is, (H, W): 0 is paper, 1 ink.

    Parameters
    ----------
    rng : numpy.random.Generator
        Decides everything.
    size : (int, int)
        Height and width in pixels.
    """
    paper = rng.uniform(0.5, 1) + rng.uniform(-0.15, 0.1, 3)
    ink = rng.uniform(0, 0.45) + rng.uniform(-0.1, 0.25, 3)
    if rng.random() < 0.3:
        paper, ink = ink, paper
    canvas = Image.new("F", (size[1] * _FINE, size[0] * _FINE))
    pen = ImageDraw.Draw(canvas)
    top = rng.uniform(-10, 20)
    while top < size[0]:
        height = float(np.exp(rng.uniform(np.log(8), np.log(min(48, size[0] / 3)))))
        for _ in range(int(rng.integers(1, 7)) if height < 20 else 1):
            _draw_line(rng, pen, (rng.uniform(0, 12), top), size[1], height)
            top += 1.3 * height
        if rng.random() < 0.3:
            pen.line([0, _FINE * top, _FINE * size[1], _FINE * top], 1.0, int(rng.integers(1, 7)))
        top += rng.uniform(2, 20)
    turned = canvas.rotate(rng.normal(0, 4), Image.Resampling.BILINEAR)
    cover = cv2.resize(np.array(turned, np.float32), size[::-1], interpolation=cv2.INTER_AREA)
    image = paper + cover[..., None] * (ink - paper)
    return np.asarray(image.clip(0, 1), np.float32), np.asarray(cover > 0.5, np.uint8)


def _draw_line(
    rng: Rng, pen: ImageDraw.ImageDraw, corner: tuple[float, float], width: int, height: float
) -> None:
    """Write words from a corner (x, y) to the right edge."""
    font = ImageFont.load_default(_FINE * height)
    x, y = corner
    while x < width:
        word = "".join(rng.choice(_LETTERS, int(rng.integers(1, 10))))
        pen.text((_FINE * x, _FINE * y), word, fill=1.0, font=font)
        x += pen.textlength(word, font=font) / _FINE + 0.35 * height
