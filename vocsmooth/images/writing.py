"""Write a `Picture` without losing anything that the format can hold, completely or not at all.

Pillow encodes 8-bit pictures and 16-bit grey. It has no 16-bit colour, so those PNGs are put
together here (the format is four chunks) and those TIFFs by tifffile.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from vocsmooth.arrays import Pixels, check_pixels, to_8_bit
from vocsmooth.errors import InputError, UnknownNameError
from vocsmooth.files import AnyPath, as_path, write_atomically
from vocsmooth.images.reading import DECODER_ERRORS, Picture
from vocsmooth.settings import nearest

FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".bmp": "BMP",
}
"""File name endings that can be written."""

_OPAQUE_FORMATS = ("JPEG", "BMP")

_DEEP_FORMATS = ("PNG", "TIFF")

_ROWS = 256  # compressed at a time

_PNG_COLOR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}  # by channels: grey, grey + alpha, RGB, RGBA


def write_picture(path: AnyPath, picture: Picture, quality: int = 95) -> None:
    """Write a picture in the format that the name's ending asks for, completely or not at all.

    Parameters
    ----------
    path : str or path-like
        Ends in .jpg, .jpeg, .png, .tif, .tiff, .webp or .bmp; its folder must exist.
    picture : Picture
        16 bits are kept in PNG and TIFF, and rounded to 8 bits in the others. The ICC profile is
        kept except in BMP, which has no place for it. WebP has no grey: it stores equal channels.
    quality : int
        1 to 100, for JPEG (without colour subsampling) and WebP.

    Raises
    ------
    InputError
        Unknown ending, alpha in a JPEG or BMP, or a size that the format cannot hold.
    OSError
        The file cannot be written; `path` is as it was.
    """
    path = as_path(path, "path")
    check_pixels(picture.pixels, "pixels")
    form = format_of(path)
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must be 1 to 100, got {quality!r}.")
    if form in _OPAQUE_FORMATS and picture.alpha is not None:
        raise InputError(f"{path}: {form} cannot hold the alpha channel; write png, tiff or webp.")
    channels = _channels(picture)
    if channels.dtype == np.uint16 and form not in _DEEP_FORMATS:
        channels = to_8_bit(channels)
    try:
        data = _encode(channels, form, picture.icc, quality)
    except DECODER_ERRORS as error:
        height, width = picture.pixels.shape[:2]
        raise InputError(
            f"{path}: {width} x {height} pixels cannot be written as {form}: {error}."
        ) from None
    write_atomically(path, data)


def format_of(path: AnyPath) -> str:
    """Return the format that a file name asks for.

    Raises
    ------
    UnknownNameError
        No format that can be written has this ending.
    """
    path = as_path(path, "path")
    ending = path.suffix.lower()
    if ending not in FORMATS:
        raise UnknownNameError(
            f"{path}: cannot write files ending in {ending!r}.{nearest(ending, FORMATS)}"
        )
    return FORMATS[ending]


def _channels(picture: Picture) -> Pixels:
    """Stack pixels and alpha to ``(H, W, 1 to 4)``."""
    if picture.alpha is None:
        height, width = picture.pixels.shape[:2]
        return np.ascontiguousarray(picture.pixels).reshape(height, width, -1)
    return np.dstack([picture.pixels, picture.alpha])


def _encode(channels: Pixels, form: str, icc: bytes | None, quality: int) -> memoryview:
    """Encode into memory with the writer that can hold this depth."""
    if channels.dtype == np.uint8:
        return _encode_8_bit(channels, form, icc, quality)
    return _encode_png_16(channels, icc) if form == "PNG" else _encode_tiff_16(channels, icc)


def _encode_8_bit(channels: NDArray[Any], form: str, icc: bytes | None, quality: int) -> memoryview:
    """Encode with Pillow."""
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": quality, "subsampling": 0},
        "WEBP": {"quality": quality, "exact": True},  # exact: colour under alpha 0 stays
        "TIFF": {"compression": "tiff_adobe_deflate"},
    }
    image = Image.fromarray(channels[:, :, 0] if channels.shape[2] == 1 else channels)
    buffer = io.BytesIO()
    image.save(buffer, form, icc_profile=icc, **options.get(form, {}))
    return buffer.getbuffer()


def _encode_png_16(channels: NDArray[Any], icc: bytes | None) -> memoryview:
    """Encode as 16-bit PNG."""
    height, width, count = channels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, _PNG_COLOR_TYPE[count], 0, 0, 0)
    profile = _png_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc)) if icc else b""
    content = [
        b"\x89PNG\r\n\x1a\n",
        _png_chunk(b"IHDR", header),
        profile,
        _png_chunk(b"IDAT", _compress_rows(channels)),
        _png_chunk(b"IEND", b""),
    ]
    return memoryview(b"".join(content))


def _compress_rows(channels: NDArray[Any]) -> bytes:
    """Compress rows, some at a time, each as its difference to the row above (filter 2, "up")."""
    height, width, count = channels.shape
    compressor = zlib.compressobj()
    above = np.zeros((1, 2 * width * count), np.uint8)
    parts = []
    for top in range(0, height, _ROWS):
        band = channels[top : top + _ROWS]
        rows = band.astype(">u2").view(np.uint8).reshape(len(band), -1)
        filtered = np.full((len(rows), 1 + rows.shape[1]), 2, np.uint8)
        filtered[:, 1:] = np.diff(rows, axis=0, prepend=above)
        above = rows[-1:]
        parts.append(compressor.compress(filtered.data))
    return b"".join([*parts, compressor.flush()])


def _png_chunk(name: bytes, data: bytes) -> bytes:
    """Return a chunk: length, name, data, checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _encode_tiff_16(channels: NDArray[Any], icc: bytes | None) -> memoryview:
    """Encode as 16-bit TIFF; grey with alpha becomes RGBA, since few readers know the former."""
    if channels.shape[2] == 2:
        channels = channels[:, :, [0, 0, 0, 1]]
        icc = None
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        channels[:, :, 0] if channels.shape[2] == 1 else channels,
        photometric="minisblack" if channels.shape[2] == 1 else "rgb",
        extrasamples=["unassalpha"] if channels.shape[2] == 4 else None,
        compression="zlib",
        rowsperstrip=_ROWS,  # in one strip, readers would need the whole picture twice
        iccprofile=icc,
        metadata=None,
    )
    return buffer.getbuffer()
