"""Masks: every form that VOC's have, and what is refused."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from pictures import write
from PIL import Image

from vocsmooth.classes import VOC_PALETTE
from vocsmooth.errors import InputError
from vocsmooth.sources.masks import read_mask

INDICES = np.array([[0, 1, 20], [255, 15, 7]], np.uint8)


def test_masks_as_palette_index_and_rgb_images(tmp_path: Path) -> None:
    palette = Image.fromarray(INDICES)
    palette = palette.convert("P")
    palette.putpalette(VOC_PALETTE.ravel().tolist())
    palette.save(tmp_path / "p.png")
    write(tmp_path / "l.png", INDICES)
    write(tmp_path / "rgb.png", VOC_PALETTE[INDICES])
    for name in ("p.png", "l.png", "rgb.png"):
        mask = read_mask(tmp_path / name)
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, INDICES, name)


@pytest.mark.parametrize("bits", [2, 4])
def test_masks_of_fewer_bits_are_not_stretched(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "m.png"
    header = struct.pack(">IIBBBBB", 4, 1, bits, 0, 0, 0, 0)
    rows = b"\0" + (b"\x1b" if bits == 2 else b"\x01\x23")  # the values 0 1 2 3
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d))
            for n, d in chunks
        )
    )
    np.testing.assert_array_equal(read_mask(path), [[0, 1, 2, 3]])


def test_bad_masks_are_refused_with_value_and_count(tmp_path: Path) -> None:
    mask = np.zeros((4, 4), np.uint8)
    mask[1, :3], mask[0, 0] = 200, 21
    expected = r"m\.png: mask value 21 in 1 pixels \(and 1 more such values\) is not a VOC class"
    with pytest.raises(InputError, match=expected):
        read_mask(write(tmp_path / "m.png", mask))
    colors = np.zeros((4, 4, 3), np.uint8)
    colors[2, 2] = 1, 2, 3
    with pytest.raises(InputError, match=r"\(1, 2, 3\), which is not a VOC class \(1 pixels"):
        read_mask(write(tmp_path / "c.png", colors))
    with pytest.raises(InputError, match="must not be a JPEG"):
        read_mask(write(tmp_path / "m.jpg", mask))
    with pytest.raises(InputError, match="got mode RGBA"):
        read_mask(write(tmp_path / "a.png", np.zeros((2, 2, 4), np.uint8)))
