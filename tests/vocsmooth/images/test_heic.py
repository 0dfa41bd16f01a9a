"""HEIC pictures: read where the extra is installed; where not, the error names it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vocsmooth.errors import InputError
from vocsmooth.images.reading import read_picture


@pytest.fixture
def heif() -> Any:
    return pytest.importorskip("pillow_heif")


@pytest.fixture
def picture() -> Image.Image:
    """A picture of 40 x 30 whose upper left quarter is red."""
    pixels = np.full((30, 40, 3), 90, np.uint8)
    pixels[:15, :20] = (200, 20, 20)
    return Image.fromarray(pixels)


def save(heif: Any, path: Path, picture: Image.Image, **options: Any) -> Path:
    heif.from_pillow(picture).save(path, quality=95, **options)
    return path


def test_colours_and_size(heif: Any, picture: Image.Image, tmp_path: Path) -> None:
    found = read_picture(save(heif, tmp_path / "a.heic", picture))
    assert found.pixels.shape == (30, 40, 3)
    assert found.alpha is None
    difference = np.abs(found.pixels.astype(int) - np.asarray(picture))
    assert np.percentile(difference, 90) <= 4  # lossy, worst at the borders of the quarter


def test_orientation_is_applied_once(heif: Any, picture: Image.Image, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it right
    heif.register_heif_opener()
    picture.save(tmp_path / "a.heic", exif=exif.tobytes(), quality=95)
    found = read_picture(tmp_path / "a.heic").pixels
    assert found.shape == (40, 30, 3)
    assert found[5, 25, 0] > 150  # the red quarter is at the upper right
    assert found[5, 5, 0] < 120


def test_alpha(heif: Any, picture: Image.Image, tmp_path: Path) -> None:
    picture.putalpha(Image.new("L", picture.size, 100))
    found = read_picture(save(heif, tmp_path / "a.heif", picture))
    assert found.alpha is not None
    assert np.abs(found.alpha.astype(int) - 100).max() <= 3


def test_too_large_is_refused(heif: Any, picture: Image.Image, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="40 x 30 pixels exceed the limit of 100"):
        read_picture(save(heif, tmp_path / "a.heic", picture), max_pixels=100)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9, 0.99])
def test_cut_short_is_one_error(
    heif: Any, picture: Image.Image, tmp_path: Path, share: float
) -> None:
    path = save(heif, tmp_path / "a.heic", picture)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError) as caught:
        read_picture(path)
    assert str(caught.value).startswith(str(path))


def test_several_pictures_are_refused(heif: Any, picture: Image.Image, tmp_path: Path) -> None:
    pair = heif.from_pillow(picture)
    pair.add_from_pillow(picture)
    pair.save(tmp_path / "a.heic")
    with pytest.raises(InputError, match="several pages or frames"):
        read_picture(tmp_path / "a.heic")


def test_without_the_extra_the_error_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "phone.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(InputError, match=r"is a HEIC picture; .*pip install csgisnet\[heic\]"):
        read_picture(tmp_path / "phone.jpg")


def test_nonsense_with_the_beginning_of_one(heif: Any, tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(1000))
    with pytest.raises(InputError, match=r"a\.heic"):
        read_picture(tmp_path / "a.heic")
