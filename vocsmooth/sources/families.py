"""The families of scenes that `vocsmooth generate` draws, and what some of them are made of."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vocsmooth.arrays import to_float, to_uint
from vocsmooth.classes import VOID
from vocsmooth.errors import InputError
from vocsmooth.images.reading import read_rgb
from vocsmooth.sources.drawing import RIM, Paint, Scene, draw_rims, draw_scene
from vocsmooth.sources.materials import draw_class_scene
from vocsmooth.sources.posterise import posterise
from vocsmooth.sources.printed import draw_page
from vocsmooth.sources.ragged import draw_ragged
from vocsmooth.sources.shapes import Rng

_HELD_BACK = 6  # one of so many photographs and drawings is only in scenes to validate on

_PASTED = 8  # class of a drawing in the mask; those of drawn objects come before it


@dataclass(frozen=True, kw_only=True)
class Material:
    """What scenes of one split are made of."""

    pictures: tuple[Paint, ...] = ()
    """Smoothed photographs (H, W, 3) of which parts fill drawn scenes."""
    photographs: tuple[Path, ...] = ()
    """Photographs to cut parts from."""
    drawings: tuple[Path, ...] = ()
    """Pictures with transparency to paste into scenes."""


def draw_family(rng: Rng, size: tuple[int, int], family: str, material: Material) -> Scene:
    """Draw one scene of a family.

    Parameters
    ----------
    rng : numpy.random.Generator
        Decides everything.
    size : (int, int)
        Height and width in pixels, at least 32.
    family : str
        Key of `FAMILIES`.
    material : Material
        What it may be made of.

    Raises
    ------
    InputError
        A file cannot be read.
    """
    return FAMILIES[family](rng, size, material)


def split_material(paths: tuple[Path, ...], split: str) -> tuple[Path, ...]:
    """Return the files of one split, chosen by name: no file is in scenes of both splits."""
    return tuple(p for p in paths if _is_held_back(p) == (split == "val"))


def _is_held_back(path: Path) -> bool:
    return hashlib.sha256(path.name.encode()).digest()[0] % _HELD_BACK == 0


def _draw_drawn(rng: Rng, size: tuple[int, int], material: Material) -> Scene:
    """Draw shapes, gradients, curves and words, one over another."""
    return draw_scene(rng, size, material.pictures)


def _draw_classes(rng: Rng, size: tuple[int, int], _: Material) -> Scene:
    """Draw objects whose class can be seen, for the recipe "classes"."""
    return draw_class_scene(rng, size)


def _draw_ragged(rng: Rng, size: tuple[int, int], _: Material) -> Scene:
    """Draw fur, leaves and cloud rims, many of them faint."""
    return _scene(*draw_ragged(rng, size))


def _draw_print(rng: Rng, size: tuple[int, int], _: Material) -> Scene:
    """Draw pages of words."""
    return _scene(*draw_page(rng, size))


def _draw_posterised(rng: Rng, size: tuple[int, int], material: Material) -> Scene:
    """Turn part of a photograph into flat regions; the mask holds the shade, one of seven."""
    image = posterise(rng, to_float(_cut_photograph(rng, size, material)))
    if rng.random() < 0.5:
        image = image[..., rng.permutation(3)]
    shades = np.asarray(image.mean(axis=2) * 6.999, np.uint8) + np.uint8(1)
    return _scene(image, shades)


def _draw_photograph(rng: Rng, size: tuple[int, int], material: Material) -> Scene:
    """Cut a part out of a photograph and leave it as it is; the mask is void."""
    return Scene(image=_cut_photograph(rng, size, material), mask=np.full(size, VOID, np.uint8))


def _draw_collage(rng: Rng, size: tuple[int, int], material: Material) -> Scene:
    """Paste drawings over another scene."""
    under = draw_scene(rng, size, material.pictures) if rng.random() < 0.6 else None
    if under is None:
        ground = np.broadcast_to(rng.uniform(0, 1, 3), (*size, 3))
        image, mask = np.asarray(ground, np.float32), np.zeros(size, np.uint8)
    else:
        image, mask = to_float(under.image), under.mask.copy()
    for _ in range(int(rng.integers(1, 6))):
        path = material.drawings[int(rng.integers(len(material.drawings)))]
        drawing = _place_drawing(rng, size, _read_drawing(path))
        cover = drawing[..., 3:]
        image = image + cover * (drawing[..., :3] - image)
        mask[cover[..., 0] > 0.5] = _PASTED
    return _scene(image, mask)


FAMILIES: Mapping[str, Callable[[Rng, tuple[int, int], Material], Scene]] = {
    "drawn": _draw_drawn,
    "classes": _draw_classes,
    "ragged": _draw_ragged,
    "print": _draw_print,
    "posterised": _draw_posterised,
    "collage": _draw_collage,
    "photograph": _draw_photograph,
}
"""Every family by name."""

NEEDS: Mapping[str, str] = {
    "posterised": "photographs",
    "photograph": "photographs",
    "collage": "drawings",
}
"""The folder of files that a family needs."""


def _scene(image: Paint, mask: NDArray[np.uint8]) -> Scene:
    """Round a picture, and separate the classes of its mask."""
    pixels = np.asarray(to_uint(image.clip(0, 1), np.uint8), np.uint8)
    return Scene(image=pixels, mask=draw_rims(mask, RIM))


@functools.lru_cache(maxsize=64)
def _read_photograph(path: Path) -> NDArray[np.uint8]:
    """Read a photograph; kept for the next scene, hence read-only."""
    pixels = np.asarray(read_rgb(path), np.uint8)
    pixels.flags.writeable = False
    return pixels


@functools.lru_cache(maxsize=64)
def _read_drawing(path: Path) -> NDArray[np.float32]:
    """Read a picture with transparency as (H, W, 4) in [0, 1], without its empty border."""
    try:
        with Image.open(path) as file:
            file.draft("RGB", (512, 512))
            file.thumbnail((512, 512))
            pixels = np.array(file.convert("RGBA"))
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{path}: cannot be read as a picture: {error}.") from None
    rows, columns = (np.flatnonzero(pixels[..., 3].any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        raise InputError(f"{path}: the drawing is transparent everywhere.")
    pixels = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    drawing = pixels.astype(np.float32) / np.float32(255)
    drawing.flags.writeable = False
    return drawing


def _cut_photograph(rng: Rng, size: tuple[int, int], material: Material) -> NDArray[np.uint8]:
    """Cut a part out of one of the photographs."""
    chosen = material.photographs[int(rng.integers(len(material.photographs)))]
    return _cut(rng, size, _read_photograph(chosen))


def _cut(rng: Rng, size: tuple[int, int], picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut a part out, scaled down at most as far as the picture allows; half are mirrored."""
    largest = min(p / s for p, s in zip(picture.shape, size, strict=False))
    factor = float(np.exp(rng.uniform(0, np.log(max(largest, 1)))))
    height, width = (min(round(s * factor), p) for s, p in zip(size, picture.shape, strict=False))
    top = int(rng.integers(picture.shape[0] - height + 1))
    left = int(rng.integers(picture.shape[1] - width + 1))
    part = picture[top : top + height, left : left + width]
    mode = cv2.INTER_AREA if factor > 1 else cv2.INTER_LINEAR
    part = np.asarray(cv2.resize(part, size[::-1], interpolation=mode), np.uint8)
    return part[:, ::-1] if rng.random() < 0.5 else part


def _place_drawing(
    rng: Rng, size: tuple[int, int], drawing: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return a drawing at a random place, size and turn on a transparent ground of `size`."""
    extent = max(drawing.shape[:2])
    scale = min(size) * np.exp(rng.uniform(np.log(0.2), np.log(1.1))) / extent
    if scale < 1:  # averaged down first: a warp alone would alias
        small = [max(1, round(n * scale)) for n in drawing.shape[:2]]
        drawing = np.asarray(cv2.resize(drawing, small[::-1], interpolation=cv2.INTER_AREA))
        scale = 1.0
    angle = rng.normal(0, 12)
    centre = (drawing.shape[1] / 2, drawing.shape[0] / 2)
    matrix = cv2.getRotationMatrix2D(centre, angle, min(scale, 3.0))
    matrix[:, 2] += rng.uniform(0, 1, 2) * size[::-1] - centre
    mirrored = drawing[:, ::-1] if rng.random() < 0.5 else drawing
    premultiplied = np.dstack([mirrored[..., :3] * mirrored[..., 3:], mirrored[..., 3]])
    placed = cv2.warpAffine(premultiplied, matrix, size[::-1], flags=cv2.INTER_LINEAR)
    colour = placed[..., :3] / np.maximum(placed[..., 3:], 1e-6)
    return np.asarray(np.dstack([colour, placed[..., 3]]), np.float32)
