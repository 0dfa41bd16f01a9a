"""Draw scenes of ragged regions: fur, leaves, cloud rims, and neighbours that hardly differ."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vocsmooth.sources.drawing import Paint
from vocsmooth.sources.shapes import Cover, Rng

_FAINT, _STRONG = 4 / 255, 160 / 255  # steps between neighbours, evenly in the logarithm


def draw_ragged(rng: Rng, size: tuple[int, int]) -> tuple[Paint, NDArray[np.uint8]]:
    """Draw ragged regions one over another; return the picture and the uppermost's number (H, W).

    Parameters
    ----------
    rng : numpy.random.Generator
        Decides everything.
    size : (int, int)
        Height and width in pixels.
    """
    image = np.broadcast_to(rng.uniform(0.1, 0.9, 3).astype(np.float32), (*size, 3))
    uppermost = np.zeros(size, np.uint8)
    for number in range(1, int(rng.integers(4, 13))):
        draw = rng.random()
        if draw < 0.25:
            cover = _draw_tufts(rng, size)
        elif draw < 0.5:
            cover = _draw_leaves(rng, size)
        else:
            cover = _draw_rim(rng, size)
        image = image + cover[..., None] * (_shifted(rng, image, cover) - image)
        uppermost[cover > 0.5] = number
    return image.clip(0, 1), uppermost


def _shifted(rng: Rng, image: Paint, cover: Cover) -> Paint:
    """Return the colour of a region: that of what it covers, changed by a faint or strong step."""
    weight = max(float(cover.sum()), 1.0)
    below = (image * cover[..., None]).sum(axis=(0, 1)) / weight
    step = np.exp(rng.uniform(np.log(_FAINT), np.log(_STRONG)))
    direction = rng.normal(size=3) * rng.choice([0.3, 1.0]) + rng.normal()  # grey more often
    colour = below + step * direction / np.sqrt((direction**2).mean())
    return np.asarray(np.broadcast_to(colour.clip(0, 1), image.shape), np.float32)


def _noise(rng: Rng, size: tuple[int, int], coarsest: float, roughness: float) -> Cover:
    """Draw noise of several octaves and standard deviation 1; rough noise has strong fine ones."""
    field = np.zeros(size, np.float32)
    scale, gain = coarsest, 1.0
    while scale >= 1.5:
        cells = [max(2, round(side / scale)) for side in size]
        grid = rng.standard_normal(cells).astype(np.float32)
        field += gain * cv2.resize(grid, size[::-1], interpolation=cv2.INTER_CUBIC)
        scale, gain = scale / 2, gain * roughness
    return np.asarray((field - field.mean()) / field.std(), np.float32)


def _draw_rim(rng: Rng, size: tuple[int, int]) -> Cover:
    """Draw a region where noise is high, like coasts and clouds, with a hard or soft rim."""
    field = _noise(rng, size, min(size) * rng.uniform(0.15, 0.8), rng.uniform(0.2, 0.8))
    hardness = np.exp(rng.uniform(np.log(1.5), np.log(20)))
    return np.asarray((0.5 + hardness * (field - rng.uniform(-0.8, 1))).clip(0, 1), np.float32)


def _draw_tufts(rng: Rng, size: tuple[int, int]) -> Cover:
    """Draw a region whose rim ends in hairs of one main direction."""
    shape = _noise(rng, size, min(size) * rng.uniform(0.3, 0.8), 0.3)
    angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(3, 14)
    hairs = _noise(rng, size, rng.uniform(2, 5), 0.5)
    kernel = np.zeros((31, 31), np.float32)
    end = (15 + round(reach * np.cos(angle)), 15 + round(reach * np.sin(angle)))
    cv2.line(kernel, (15, 15), end, 1.0)
    drawn = cv2.filter2D(hairs, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)
    field = shape + rng.uniform(0.1, 0.5) * drawn / max(float(drawn.std()), 1e-6)
    return np.asarray((0.5 + 4 * (field - rng.uniform(0, 1))).clip(0, 1), np.float32)


def _draw_leaves(rng: Rng, size: tuple[int, int]) -> Cover:
    """Draw many small pointed ellipses, close together in some places."""
    canvas = np.zeros((2 * size[0], 2 * size[1]), np.float32)
    dense = _noise(rng, size, min(size) / 2, 0.4) > rng.uniform(-0.5, 0.8)
    places = np.argwhere(dense)
    length, main = rng.uniform(4, 24), rng.uniform(0, 360)
    chosen = places[rng.integers(len(places), size=int(rng.integers(8, 60)))] if len(places) else ()
    for y, x in chosen:
        axes = (round(length * rng.uniform(0.6, 1.4)), round(length * rng.uniform(0.15, 0.45)))
        turn = main + rng.normal(0, 40)
        cv2.ellipse(canvas, (int(2 * x), int(2 * y)), axes, turn, 0, 360, 1.0, -1)
    return np.asarray(cv2.resize(canvas, size[::-1], interpolation=cv2.INTER_AREA), np.float32)
