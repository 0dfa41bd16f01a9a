"""Blend photographed textures into clean pictures: inputs of about one strength, exact labels.

The inputs of `benchmarks.blends` for a folder of pictures. A dataset (`vocsmooth build`) has
textures of all strengths, as training needs; here each texture has about the same deviation, so
that a setting of an operator that suits one picture suits the next, and no input is nearly clean.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vocsmooth.arrays import to_float
from vocsmooth.errors import InputError
from vocsmooth.folders import list_tree
from vocsmooth.images.reading import read_picture
from vocsmooth.maps.texture_settings import Textures
from vocsmooth.maps.textures import draw_fields, open_textures
from vocsmooth.seeds import generator

Image = NDArray[np.float32]

_LONGEST = 480
"""Pixels of a picture's longer side, at most."""

_DEVIATION = (14.0, 16.0)
"""Grey levels; without clipping an input with a grey texture has 24.0 to 25.2 dB."""

_SETTINGS = Textures(count=1, strength=(1, 1), contrast=32, flatten=32, scale=(0.1, 0.25))
"""Fine textures without their changes of light, which no smoother can tell from the picture's."""

_COLOR = 0.3
"""Largest deviation of a channel's strength, in half of the inputs; the others' texture is grey."""

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def blend_folder(pictures: Path, textures: Path, seed: int) -> list[tuple[Image, Image]]:
    """Return an input and its label, (H, W, 3) in [0, 1], for each picture in a folder and below.

    The label is the picture, shrunk to at most 480 pixels; input = clip(label + texture).

    Raises
    ------
    InputError
        There are no pictures or no textures, or one of them cannot be read.
    """
    source = open_textures(textures)
    paths = [path for path in list_tree(pictures) if path.suffix.lower() in _SUFFIXES]
    if not paths:
        raise InputError(f"{pictures} holds no pictures ({', '.join(_SUFFIXES)}).")
    samples = []
    for path in paths:
        label = _shrink(_on_grey(path))
        name = path.relative_to(pictures).as_posix()
        field, _ = next(draw_fields(source, _SETTINGS, label.shape[:2], seed=seed, image_id=name))
        rng = generator(seed, name, 1)
        color = _COLOR * rng.integers(2)
        gains = rng.uniform(*_DEVIATION) * (1 + rng.uniform(-color, color, 3))
        texture = np.rint(field[..., None] / max(float(field.std()), 1.0) * gains)
        blended = np.clip(label + texture, 0, 255).astype(np.uint8)
        samples.append((to_float(blended), to_float(label)))
    return samples


def _on_grey(path: Path) -> Image:
    """Read a picture as (H, W, 3) grey levels; what is transparent shows middle grey."""
    picture = read_picture(path)
    pixels = to_float(picture.pixels) * 255
    pixels = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
    opacity = np.float32(1) if picture.alpha is None else to_float(picture.alpha)[..., None]
    return np.asarray(opacity * pixels + (1 - opacity) * 128, np.float32)


def _shrink(picture: Image) -> NDArray[np.uint8]:
    """Return a picture of at most `_LONGEST` pixels a side, in 8 bits."""
    height, width = picture.shape[:2]
    factor = min(1.0, _LONGEST / max(height, width))
    size = round(width * factor), round(height * factor)
    shrunk = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return np.rint(shrunk).clip(0, 255).astype(np.uint8)
