"""A folder as people have them."""

from pathlib import Path

import pytest
from pictures import write_plain


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder as people have them."""
    folder = tmp_path / "photos"
    write_plain(folder / "b.PNG")
    write_plain(folder / "a.jpg")
    write_plain(folder / "Urlaub à Orléans" / "日本 1.tif")
    write_plain(folder / "deep" / "er" / "c.webp")
    write_plain(folder / "deep" / "frame.gif", shape=(6, 5))
    (folder / "notes.txt").write_text("no image")
    write_plain(folder / ".hidden.png")
    write_plain(folder / ".thumbnails" / "t.png")
    return folder
