"""Decode the pixels and alpha of an image that Pillow has opened, at the file's own depth.

Pillow cuts 16-bit colour to 8 bits without a word. Such files are decoded by OpenCV too, and the
two have to agree.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from vocsmooth.arrays import Pixels
from vocsmooth.errors import InputError

_TIFF_BITS_PER_SAMPLE = 258

_TIFF_PHOTOMETRIC = 262

_TIFF_SAMPLE_FORMAT = 339

_TIFF_WHITE_IS_ZERO = 0

_TIFF_SIGNED = 2

_TWELVE_BITS = 12

_PNG_GREY_ALPHA = 4

_ROWS = 256  # worked on at a time


def bits_per_channel(path: Path, image: Image.Image) -> int:
    """Return the bits that the file declares for a channel, or the most that its format allows."""
    if image.format == "PNG":
        return _png_kind(path)[0]
    if image.format == "TIFF":
        return int(max(_tiff_tag(image, _TIFF_BITS_PER_SAMPLE, (1,))))
    return 16 if image.format in ("PPM", "JPEG2000") else 8


def split_planes(path: Path, image: Image.Image, bits: int) -> tuple[Pixels, Pixels | None]:
    """Return pixels, (H, W) grey or (H, W, 3) RGB, and alpha of an image that Pillow has decoded.

    `bits` is what `bits_per_channel` says. Both come as uint8, or as uint16 where the file holds
    more than 8 bits.

    Raises
    ------
    InputError
        The values are signed, of 32 bits or floating-point, or 16-bit colour cannot be decoded.
    """
    mode = image.mode
    if _TIFF_SIGNED in _tiff_tag(image, _TIFF_SAMPLE_FORMAT, ()):
        raise InputError(f"{path}: holds signed integers; convert it to unsigned 8 or 16 bits.")
    if mode.startswith("I"):
        return _deep_grey(path, image)
    if mode == "F":
        raise InputError(f"{path}: holds floating-point values; convert it to 8 or 16 bits.")
    grey = mode in ("1", "L", "LA", "La")
    if image.format == "PNG" and _png_kind(path)[1] == _PNG_GREY_ALPHA:
        grey = True  # Pillow turns its 16-bit form into RGBA
    has_alpha = mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    kind = ("L" if grey else "RGB") + ("A" if has_alpha else "")
    deep = _decode_deep(path, image, kind) if bits > 8 else None
    return deep or _at_8_bits(image, kind)


def _deep_grey(path: Path, image: Image.Image) -> tuple[Pixels, Pixels | None]:
    """Return 16-bit grey, which some formats store in 32 bits; a transparent value is alpha."""
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise InputError(f"{path}: holds 32-bit integers; convert it to 8 or 16 bits.")
    pixels: Pixels = values.astype(np.uint16)
    # Pillow hands both kinds of TIFF over as they are.
    if max(_tiff_tag(image, _TIFF_BITS_PER_SAMPLE, (16,))) == _TWELVE_BITS:
        pixels = np.bitwise_or(pixels << 4, pixels >> 8, dtype=np.uint16)  # 4095: 65535
    if _tiff_tag(image, _TIFF_PHOTOMETRIC, None) == _TIFF_WHITE_IS_ZERO:
        pixels = np.subtract(65535, pixels, dtype=np.uint16)
    transparent = image.info.get("transparency")
    if transparent is None:
        return pixels, None
    return pixels, np.where(pixels == transparent, 0, 65535).astype(np.uint16)


def _decode_deep(path: Path, image: Image.Image, kind: str) -> tuple[Pixels, Pixels | None] | None:
    """Decode colour of up to 16 bits with OpenCV, given what Pillow made of it; None if it has 8.

    `image` holds 400 MB for 100 megapixels, the file and OpenCV's work may take as much as the
    result each, so nothing else of this size may be there meanwhile.
    """
    decoded = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is not None and decoded.dtype == np.uint8:
        return None
    if decoded is None or decoded.dtype != np.uint16:
        raise InputError(f"{path}: this kind of 16-bit image cannot be read; save it as RGB PNG.")
    channels = np.asarray(decoded, np.uint16).reshape(*decoded.shape[:2], -1)  # B, G, R, alpha
    _turn_bgr(channels)
    pixels = channels[:, :, :3] if kind.startswith("RGB") else channels[:, :, 0]
    alpha = channels[:, :, -1] if "A" in kind else None
    if not _agrees(image, kind, pixels, alpha):
        raise InputError(f"{path}: two decoders disagree on its 16-bit pixels; save it as RGB PNG.")
    return pixels, alpha


def _agrees(image: Image.Image, kind: str, pixels: Pixels, alpha: Pixels | None) -> bool:
    """Return whether 16-bit values, cut or rounded to 8 bits, are those of the image."""
    if pixels.shape[:2] != (image.height, image.width):
        return False
    for top in range(0, image.height, _ROWS):
        rows = slice(top, min(top + _ROWS, image.height))
        band = image.crop((0, rows.start, image.width, rows.stop))
        deep = (pixels[rows], None if alpha is None else alpha[rows])
        if not all(_is_rounded(*pair) for pair in zip(deep, _at_8_bits(band, kind), strict=True)):
            return False
    return True


def _at_8_bits(image: Image.Image, kind: str) -> tuple[Pixels, Pixels | None]:
    """Return pixels and alpha at 8 bits, as L, LA, RGB or RGBA."""
    array = np.asarray(image if image.mode == kind else image.convert(kind))
    pixels = array[:, :, :3] if kind.startswith("RGB") else array[:, :, 0] if "A" in kind else array
    return pixels, array[:, :, -1] if "A" in kind else None


def _turn_bgr(channels: Pixels) -> None:
    """Turn B, G, R into R, G, B in place, some rows at a time; alpha stays where it is."""
    if channels.shape[2] < 3:
        return
    for top in range(0, len(channels), _ROWS):
        band = channels[top : top + _ROWS, :, :3]
        band[:] = band[:, :, ::-1].copy()


def _is_rounded(deep: Pixels | None, shallow: Pixels | None) -> bool:
    """Return whether rounding these 16-bit values can give the 8-bit ones; both may be missing."""
    if deep is None or shallow is None:
        return deep is shallow
    same = deep.shape == shallow.shape
    return same and int(np.abs((deep >> 8).astype(np.int16) - shallow).max()) <= 1


def _tiff_tag(image: Any, tag: int, default: Any) -> Any:
    """Return the value of a tag if the image is a TIFF that has it."""
    return image.tag_v2.get(tag, default) if image.format == "TIFF" else default


def _png_kind(path: Path) -> tuple[int, int]:
    """Return bit depth and colour type, which follow signature, chunk head and size in a PNG."""
    with path.open("rb") as file:
        header = file.read(26)
    return header[24], header[25]
