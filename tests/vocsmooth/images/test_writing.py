"""What goes out comes back: pixels, alpha, depth and profile, in every format that can hold it."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from pictures import noise
from PIL import Image

from vocsmooth.errors import InputError
from vocsmooth.images.reading import Picture, read_picture
from vocsmooth.images.writing import write_picture

PROFILES = {2: b"\0" * 16 + b"GRAY" + b"\1" * 120, 3: b"\0" * 16 + b"RGB " + b"\1" * 120}


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("shape", [(7, 5), (7, 5, 3), (1, 1), (1, 1, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("ending", [".png", ".tif", ".TIFF"])
def test_lossless_formats_give_back_everything(
    tmp_path: Path, ending: str, dtype: type, shape: tuple[int, ...], alpha: bool
) -> None:
    pixels = noise(*shape, dtype=dtype)
    icc = PROFILES[len(shape)]
    picture = Picture(
        pixels=pixels, alpha=noise(*shape[:2], dtype=dtype) if alpha else None, icc=icc
    )
    path = tmp_path / f"bild ü {ending}"
    write_picture(path, picture)
    back = read_picture(path)
    as_rgba = len(shape) == 2 and alpha and ending != ".png" and dtype == np.uint16
    expected = np.dstack([picture.pixels] * 3) if as_rgba else picture.pixels
    assert back.pixels.dtype == expected.dtype
    np.testing.assert_array_equal(back.pixels, expected)
    assert (back.alpha is None) == (picture.alpha is None)
    if back.alpha is not None and picture.alpha is not None:
        np.testing.assert_array_equal(back.alpha, picture.alpha)
    assert back.icc == (None if as_rgba else icc)


@pytest.mark.parametrize("shape", [(7, 5), (7, 5, 3)])
def test_bmp_rounds_16_bits_to_8(tmp_path: Path, shape: tuple[int, ...]) -> None:
    pixels = noise(*shape, dtype=np.uint16)
    write_picture(tmp_path / "a.bmp", Picture(pixels=pixels))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.bmp").pixels, np.rint(pixels / 257))


def test_16_bit_pngs_are_read_by_others_too(tmp_path: Path) -> None:
    grey = noise(6, 9, dtype=np.uint16)
    write_picture(tmp_path / "a.png", Picture(pixels=grey))
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "I;16"
        np.testing.assert_array_equal(np.asarray(image), grey)


def test_16_bit_tiffs_can_be_read_strip_by_strip(tmp_path: Path) -> None:
    """A single strip takes readers twice the picture's memory."""
    write_picture(tmp_path / "a.tif", Picture(pixels=noise(600, 5, 3, dtype=np.uint16)))
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages.first.tags["RowsPerStrip"].value <= 256


@pytest.mark.parametrize("ending", [".jpg", ".webp"])
def test_lossy_formats_keep_profile_depth_8_and_what_quality_asks(
    tmp_path: Path, ending: str
) -> None:
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    picture = Picture(pixels=np.dstack([ramp, ramp.T, ramp[::-1]]), icc=PROFILES[3])
    sizes = []
    for quality in (30, 95):
        write_picture(tmp_path / f"a{ending}", picture, quality)
        back = read_picture(tmp_path / f"a{ending}")
        assert back.pixels.dtype == np.uint8
        assert back.icc == PROFILES[3]
        sizes.append((tmp_path / f"a{ending}").stat().st_size)
    assert np.abs(back.pixels - picture.pixels / 257).max() < 12
    assert sizes[0] < sizes[1]


def test_grey_jpegs_stay_grey_and_webp_keeps_alpha_and_what_it_hides(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.jpg", Picture(pixels=noise(8, 8)))
    assert read_picture(tmp_path / "a.jpg").pixels.shape == (8, 8)
    alpha = np.repeat(np.repeat(np.array([[0, 255], [255, 0]], np.uint8), 8, 0), 8, 1)
    picture = Picture(pixels=np.full((16, 16, 3), 200, np.uint8), alpha=alpha)
    write_picture(tmp_path / "a.webp", picture)
    back = read_picture(tmp_path / "a.webp")
    assert back.alpha is not None
    np.testing.assert_array_equal(back.alpha, alpha)
    assert np.abs(back.pixels.astype(int) - 200).max() < 5


def test_the_profile_of_another_colour_space_is_left_out(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", Picture(pixels=noise(4, 4), icc=PROFILES[3]))
    assert read_picture(tmp_path / "a.png").icc is None


def test_refuses_what_the_format_cannot_hold(tmp_path: Path) -> None:
    picture = Picture(pixels=noise(4, 4, 3), alpha=noise(4, 4))
    for name, form in (("a.jpg", "JPEG"), ("a.bmp", "BMP")):
        with pytest.raises(
            InputError, match=f"{name}: {form} cannot hold the alpha channel; write"
        ):
            write_picture(tmp_path / name, picture)
    with pytest.raises(
        InputError, match=r"cannot write files ending in '\.jp'. Did you mean '\.jpg'"
    ):
        write_picture(tmp_path / "a.jp", picture)
    wide = Picture(pixels=np.zeros((1, 70_000), np.uint8))
    for name in ("a.jpg", "a.webp"):
        with pytest.raises(InputError, match="70000 x 1 pixels cannot be written as"):
            write_picture(tmp_path / name, wide)
    with pytest.raises(ValueError, match="quality must be 1 to 100, got 0"):
        write_picture(tmp_path / "a.png", picture, quality=0)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_picture(tmp_path / "missing" / "a.png", Picture(pixels=noise(4, 4)))
