"""A folder as people have them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def _save(path: Path, value: int = 100, shape: tuple[int, ...] = (6, 5, 3)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(shape, value, np.uint8)).save(path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder as people have them."""
    folder = tmp_path / "photos"
    _save(folder / "b.PNG")
    _save(folder / "a.jpg")
    _save(folder / "Urlaub à Orléans" / "日本 1.tif")
    _save(folder / "deep" / "er" / "c.webp")
    _save(folder / "deep" / "frame.gif", shape=(6, 5))
    (folder / "notes.txt").write_text("no image")
    _save(folder / ".hidden.png")
    _save(folder / ".thumbnails" / "t.png")
    return folder
