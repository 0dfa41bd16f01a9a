"""Strict reading: what is kept, what is refused, and that damage never ends in anything else."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from pictures import noise, write
from PIL import Image

from vocsmooth.errors import InputError
from vocsmooth.images.reading import Picture, read_picture, read_rgb
from vocsmooth.images.writing import write_picture

RGB_PROFILE = b"\0" * 16 + b"RGB " + b"\0" * 120


@pytest.mark.parametrize("ending", [".png", ".tif", ".webp", ".bmp"])
def test_reads_what_was_stored(tmp_path: Path, ending: str) -> None:
    options = {"lossless": True} if ending == ".webp" else {}
    path = write(tmp_path / f"a{ending}", noise(5, 7, 3), **options)
    picture = read_picture(path)
    np.testing.assert_array_equal(picture.pixels, noise(5, 7, 3))
    assert picture.alpha is None
    assert picture.icc is None


def test_grey_stays_grey_and_one_bit_becomes_black_and_white(tmp_path: Path) -> None:
    grey = read_picture(write(tmp_path / "g.jpg", noise(9, 9)))
    assert grey.pixels.shape == (9, 9)
    one_bit = read_picture(write(tmp_path / "b.png", noise(4, 9) > 99))
    np.testing.assert_array_equal(one_bit.pixels, np.where(noise(4, 9) > 99, 255, 0))


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_16_bit_colour_is_not_cut(tmp_path: Path, ending: str) -> None:
    rgba = noise(6, 5, 4, dtype=np.uint16)
    path = tmp_path / f"a{ending}"
    cv2.imwrite(str(path), rgba[:, :, [2, 1, 0, 3]])
    picture = read_picture(path)
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.pixels, rgba[:, :, :3])
    np.testing.assert_array_equal(picture.alpha, rgba[:, :, 3])
    cv2.imwrite(str(path), rgba[:, :, 2::-1])
    np.testing.assert_array_equal(read_picture(path).pixels, rgba[:, :, :3])


READ = """
import sys
from pathlib import Path
from vocsmooth.images.reading import read_picture
read_picture(Path(sys.argv[1]))
print(open("/proc/self/status").read())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_16_bit_colour_takes_little_beside_file_and_result(tmp_path: Path) -> None:
    """In one strip, the worst case: the strip, the file and the result are 6 bytes a pixel each."""
    peaks = []
    for side in (8, 3000):
        path = tmp_path / f"{side}.tif"
        tifffile.imwrite(path, noise(side, side, 3, dtype=np.uint16), photometric="rgb")
        line = [sys.executable, "-c", READ, str(path)]
        result = subprocess.run(line, capture_output=True, text=True, check=True)
        peaks.append(int(result.stdout.split("VmHWM:")[1].split()[0]) * 1024)
    assert (peaks[1] - peaks[0]) / 3000**2 < 3 * 6 + 4 + 1.5  # 4 are Pillow's


def test_16_bit_colour_in_ppm_is_not_cut(tmp_path: Path) -> None:
    rgb = noise(6, 5, 3, dtype=np.uint16)
    path = tmp_path / "a.ppm"
    path.write_bytes(b"P6\n5 6\n65535\n" + rgb.astype(">u2").tobytes())
    np.testing.assert_array_equal(read_picture(path).pixels, rgb)
    path.write_bytes(b"P6\n5 6\n255\n" + noise(6, 5, 3).tobytes())
    np.testing.assert_array_equal(read_picture(path).pixels, noise(6, 5, 3))


def test_16_bit_grey_with_a_transparent_value(tmp_path: Path) -> None:
    grey = noise(6, 5, dtype=np.uint16)
    path = write(tmp_path / "a.png", grey, transparency=int(grey[2, 3]))
    picture = read_picture(path)
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.pixels, grey)
    assert (picture.alpha[2, 3], picture.alpha[0, 0]) == (0, 65535)


def test_palettes_become_rgb_and_their_transparency_alpha(tmp_path: Path) -> None:
    image = Image.fromarray(noise(4, 4) % 3).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.save(tmp_path / "a.png", transparency=1)
    picture = read_picture(tmp_path / "a.png")
    indices = noise(4, 4) % 3
    table = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]])
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.pixels, table[indices])
    np.testing.assert_array_equal(picture.alpha, np.where(indices == 1, 0, 255))


def test_cmyk_becomes_rgb_without_the_profile(tmp_path: Path) -> None:
    image = Image.fromarray(noise(8, 8, 4), mode=None).convert("RGB").convert("CMYK")
    image.save(tmp_path / "a.tif", icc_profile=RGB_PROFILE.replace(b"RGB ", b"CMYK"))
    picture = read_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture.pixels, np.asarray(image.convert("RGB")))
    assert picture.icc is None


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "deep.png", "deep.tif"])
def test_orientation_is_applied(tmp_path: Path, name: str, orientation: int) -> None:
    """A mark in each corner; where the corners go is the definition of the eight orientations."""
    corners = np.zeros((32, 48), np.uint8)
    corners[:16, :16], corners[:16, -16:], corners[-16:, :16], corners[-16:, -16:] = (
        40,
        90,
        150,
        220,
    )
    path = tmp_path / name
    exif = Image.Exif()
    exif[0x0112] = orientation
    if name.startswith("deep"):
        deep = np.repeat(corners[:, :, np.newaxis].astype(np.uint16) * 257, 3, axis=2)
        if name.endswith("png"):
            write_picture(path, Picture(pixels=deep))
            chunk = b"eXIf" + exif.tobytes()[6:]
            data = path.read_bytes()
            framed = (
                struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
            )
            path.write_bytes(data[:33] + framed + data[33:])
        else:
            tags = [(0x0112, 3, 1, orientation, True)]
            tifffile.imwrite(path, deep, photometric="rgb", extratags=tags)
    else:
        write(path, np.repeat(corners[:, :, np.newaxis], 3, axis=2), exif=exif)
    pixels = read_rgb(path)[:, :, 0]
    found = [pixels[4, 4], pixels[4, -4], pixels[-4, 4], pixels[-4, -4]]
    names = "".join(
        "abcd"[int(np.abs(np.array([40, 90, 150, 220]) - int(v)).argmin())] for v in found
    )
    turned = ["abcd", "badc", "dcba", "cdab", "acbd", "cadb", "dbca", "bdac"]
    assert names == turned[orientation - 1]
    assert pixels.shape == ((32, 48) if orientation < 5 else (48, 32))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_to_uncompressed_grey(
    tmp_path: Path, orientation: int, dtype: type[np.unsignedinteger[Any]]
) -> None:
    """Pillow maps such files into memory when it is given their path, and scrambles four of 8."""
    grey = noise(5, 7, dtype=dtype)
    path = tmp_path / "a.tif"
    tags = [(0x0112, 3, 1, orientation, True)]
    tifffile.imwrite(path, grey, photometric="minisblack", extratags=tags)
    turned = [
        grey, grey[:, ::-1], grey[::-1, ::-1], grey[::-1],
        grey.T, np.rot90(grey, -1), grey[::-1, ::-1].T, np.rot90(grey),
    ]  # fmt: skip
    np.testing.assert_array_equal(read_picture(path).pixels, turned[orientation - 1])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiffs_whose_zero_is_white_are_no_negatives(
    tmp_path: Path, dtype: type[np.unsignedinteger[Any]]
) -> None:
    grey = noise(5, 7, dtype=dtype)
    tifffile.imwrite(tmp_path / "a.tif", grey, photometric="miniswhite")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels, ~grey)


def test_12_bits_are_spread_over_16(tmp_path: Path) -> None:
    """Two pixels in three bytes; tifffile writes none of these by itself."""
    tags = {256: 2, 257: 1, 258: 12, 259: 1, 262: 1, 273: 110, 277: 1, 279: 3}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, 8) + entries + bytes(4) + b"\xff\xf8\x00")
    np.testing.assert_array_equal(read_picture(path).pixels, [[65535, 0x8008]])


def test_lab_becomes_rgb_without_the_profile(tmp_path: Path) -> None:
    smooth = cv2.resize(noise(3, 3, 3), (30, 20), interpolation=cv2.INTER_CUBIC)
    Image.fromarray(smooth).convert("LAB").save(tmp_path / "a.tif")
    picture = read_picture(tmp_path / "a.tif")
    assert np.abs(picture.pixels.astype(int) - smooth).mean() < 3  # 8 bits of Lab are coarse
    assert picture.icc is None


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (noise(4, 4).view(np.int8), "holds signed integers"),
        (noise(4, 4, dtype=np.uint16).view(np.int16), "holds signed integers"),
        (noise(4, 4, 3, dtype=np.uint32), "a TIFF that is damaged, or of a kind .* save it as RGB"),
        (np.ones((4, 4, 3), np.float32), "a TIFF that is damaged, or of a kind .* save it as RGB"),
    ],
)
def test_other_numbers_in_tiffs_are_refused(
    tmp_path: Path, array: NDArray[Any], reason: str
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, photometric="rgb" if array.ndim == 3 else "minisblack")
    with pytest.raises(InputError, match=reason):
        read_picture(path)


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole.jpg"
    write(whole, noise(64, 64, 3), quality=95)
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(InputError, match=r"cut\.jpg: cannot be read as an image: .*truncated"):
        read_picture(cut)


def test_too_many_pixels_are_refused_until_the_limit_is_raised(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", np.zeros((30, 40), np.uint8))
    with pytest.raises(
        InputError, match="40 x 30 pixels exceed the limit of 1199; raise the limit"
    ):
        read_picture(path, max_pixels=1199)
    assert read_picture(path, max_pixels=1200).pixels.shape == (30, 40)


def test_the_limit_replaces_pillows_own_and_leaves_it_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.png", np.zeros((30, 40), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_picture(path).pixels.shape == (30, 40)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "link.jpg").symlink_to("nowhere")
    for name, reason in {
        "empty.jpg": "the file is empty",
        "text.jpg": "is not an image, or damaged in its first bytes",
        "folder.jpg": "is a folder; an image file was expected",
        "link.jpg": "no such file",
        "missing.jpg": "no such file",
        "x" * 300: "cannot be read: .*too long|no such file",
        "zero\0byte": "no such file|embedded null",
    }.items():
        with pytest.raises(InputError, match=reason) as caught:
            read_picture(tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path / name))


def test_several_frames_and_floats_are_refused(tmp_path: Path) -> None:
    frames = [Image.fromarray(noise(4, 4) // (i + 1)) for i in range(2)]
    for name in ("a.gif", "a.tif", "a.webp", "a.png"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        with pytest.raises(InputError, match="several pages or frames"):
            read_picture(tmp_path / name)
    path = write(tmp_path / "f.tif", noise(4, 4).astype(np.float32))
    with pytest.raises(InputError, match="floating-point values; convert it"):
        read_picture(path)


def test_a_camera_jpeg_with_a_preview_is_its_first_picture(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((8, 8, 3), v, np.uint8)) for v in (200, 10)]
    path = tmp_path / "a.jpg"
    frames[0].save(path, "MPO", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_picture(path).pixels, np.asarray(frames[0]))


def test_read_rgb_repeats_grey_and_refuses_transparency(tmp_path: Path) -> None:
    grey = write(tmp_path / "g.png", noise(3, 4))
    np.testing.assert_array_equal(read_rgb(grey), np.repeat(noise(3, 4)[:, :, None], 3, 2))
    rgba = noise(3, 4, 4)
    rgba[:, :, 3] = 255
    opaque = read_rgb(write(tmp_path / "o.png", rgba))
    np.testing.assert_array_equal(opaque, rgba[:, :, :3])
    rgba[0, 0, 3] = 254
    with pytest.raises(InputError, match="partly transparent"):
        read_rgb(write(tmp_path / "t.png", rgba))
