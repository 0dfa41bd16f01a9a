"""Damaged files of every kind end in a picture or in one error, never in anything else."""

import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pictures import noise
from PIL import Image

from vocsmooth.errors import InputError
from vocsmooth.images.reading import read_picture, read_rgb
from vocsmooth.sources.masks import read_mask

RGB_PROFILE = b"\0" * 16 + b"RGB " + b"\0" * 120


def small_files() -> dict[str, bytes]:
    """One small file of every kind that goes another way through the reader."""
    files = {}
    kinds: list[tuple[str, NDArray[Any], dict[str, Any]]] = [
        (
            "rgb.jpg",
            noise(24, 20, 3),
            {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\6\0\0\0\0\0\0"},
        ),
        ("grey.jpg", noise(24, 20), {}),
        ("rgba.png", noise(12, 10, 4), {"icc_profile": RGB_PROFILE}),
        ("deep.png", noise(12, 10, dtype=np.uint16), {}),
        ("rgb.tif", noise(12, 10, 3), {"compression": "tiff_lzw"}),
        ("rgb.webp", noise(12, 10, 3), {}),
        ("rgb.bmp", noise(12, 10, 3), {}),
        ("grey.gif", noise(12, 10), {}),
        ("rgb.ppm", noise(12, 10, 3), {}),
    ]
    for name, array, options in kinds:
        buffer = io.BytesIO()
        Image.fromarray(array).save(
            buffer, Image.registered_extensions()[Path(name).suffix], **options
        )
        files[name] = buffer.getvalue()
    for name in ("deep_rgb.png", "deep_rgb.tif"):
        deep = noise(12, 10, 3, dtype=np.uint16)
        files[name] = cv2.imencode(Path(name).suffix, deep)[1].tobytes()
    return files


def error_of(read: Callable[[Path, int], object], path: Path) -> str | None:
    """Return the one kind of error that reading may end in, as text; None for a picture."""
    try:
        read(path, 10_000)
    except InputError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", small_files())
def test_damage_ends_in_a_picture_or_in_one_error(tmp_path: Path, name: str) -> None:
    whole = small_files()[name]
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    path = tmp_path / name
    refused = 0
    for trial in range(120):
        data = np.frombuffer(whole, np.uint8).copy()
        if trial % 3 == 0:
            data = data[: rng.integers(0, len(data))]
        else:  # one flip anywhere, or several in the header
            places = rng.integers(0, len(data) if trial % 3 == 1 else 64, 1 + trial % 4)
            data[places % len(data)] ^= np.uint8(1) << rng.integers(0, 8, len(places), np.uint8)
        path.write_bytes(data.tobytes())
        errors = [error_of(read, path) for read in (read_picture, read_rgb, read_mask)]
        assert all(error is None or error.startswith(str(path)) for error in errors)
        refused += sum(error is not None for error in errors)
    assert refused >= 40
