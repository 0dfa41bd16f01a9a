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


def write_plain(path: Path, value: int = 100, shape: tuple[int, ...] = (6, 5, 3)) -> Path:
    """Write a picture of one value, and the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(shape, value, np.uint8)).save(path)
    return path


def pixels_of(path: Path) -> NDArray[np.uint8]:
    """Return the pixels of a picture file."""
    with Image.open(path) as image:
        return np.asarray(image)
