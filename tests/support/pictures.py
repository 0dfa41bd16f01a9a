"""Small pictures as arrays and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def noise(*shape: int, dtype: type = np.uint8) -> NDArray[Any]:
    """Return random integers over the whole range of `dtype`, the same every time."""
    return np.random.default_rng(1).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def float_noise(*shape: int) -> NDArray[np.float32]:
    """Return random values in [0, 1), the same every time."""
    return np.random.default_rng(3).random(shape, dtype=np.float32)


def write(path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    """Write an array as a picture, in the format that the path's ending names."""
    Image.fromarray(pixels).save(path, **options)
    return path


def write_plain(path: Path, value: int = 100, shape: tuple[int, ...] = (6, 5, 3)) -> Path:
    """Write a picture of one value, and the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(shape, value, np.uint8)).save(path)
    return path


def pixels_of(path: Path) -> NDArray[np.uint8]:
    """Return the pixels of a picture file."""
    with Image.open(path) as image:
        return np.asarray(image)
