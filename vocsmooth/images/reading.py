"""Read images strictly: either the picture as the file holds it, or one clear error; never a guess.

Pillow reads, since it refuses truncated files and oversized ones where OpenCV returns wrong pixels
or decodes them; `depth` decodes more than 8 bits, `writing` is the way back.

=======================================  =========================================================
in the file                              in the `Picture`
=======================================  =========================================================
grey, 8 or 16 bit; 1 to 12 bit           grey; fewer bits are spread over the range of 8 or 16
RGB, 8 or 16 bit                         the same
palette                                  RGB
CMYK, YCbCr, HSV, 8-bit Lab              RGB by Pillow's formulas, the profile left out
alpha, transparent colour or palette     colour as stored, and alpha
EXIF orientation                         applied; no other EXIF data is kept
signed or 32-bit integers, floats        refused
several pages or frames                  refused (except the previews in a camera's JPEG)
=======================================  =========================================================
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from vocsmooth.arrays import Pixels, to_8_bit
from vocsmooth.errors import InputError
from vocsmooth.files import AnyPath, as_path
from vocsmooth.images.depth import bits_per_channel, split_planes
from vocsmooth.images.pillow_limit import allowing, open_header

MAX_PIXELS = 200_000_000
"""Default limit on width times height: a 200-megapixel picture is 2.4 GB as float32 RGB."""

READABLE_FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "AVIF", "JPEG2000")
"""Formats that Pillow may try; HEIC needs an extra. HEIC and AVIF are read at 8 bits a channel."""

DECODER_ERRORS = (
    OSError,
    ValueError,
    ArithmeticError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    SyntaxError,  # Pillow's word for a broken header
    EOFError,
    MemoryError,
    Warning,  # where the caller's filters turn Pillow's warnings into errors
    struct.error,
    zlib.error,
    cv2.error,
    Image.DecompressionBombError,
)
"""What decoders raise when a damaged file feeds them nonsense."""

_ORIENTATION = 0x0112

_TIFF_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_HEIF_MAGICS = tuple(b"ftyp" + brand for brand in (b"heic", b"heix", b"mif1", b"msf1", b"hevc"))


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Pixels, transparency and colour profile of an image file, turned upright."""

    pixels: Pixels
    """``(H, W)`` grey or ``(H, W, 3)`` RGB, uint8 or uint16."""
    alpha: Pixels | None = None
    """``(H, W)``, dtype of `pixels`; 0 is transparent."""
    icc: bytes | None = None
    """Embedded ICC profile, for the pixels' own colour space."""


def read_picture(path: AnyPath, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read an image file, and keep grey as grey, 16 bits as 16 bits, alpha and the ICC profile.

    Parameters
    ----------
    path : str or path-like
        JPEG, PNG, TIFF, WebP, BMP, GIF, PPM, AVIF or JPEG 2000, and HEIC where pillow-heif is
        installed; the content decides, not the name.
    max_pixels : int
        Refuse files that declare more pixels than this before decoding anything.

    Raises
    ------
    InputError
        The file is missing, empty, damaged, cut short, too large or of an unsupported kind.
    """
    path = as_path(path, "path")
    with opened_image(path, max_pixels) as image:
        if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
            raise InputError(f"{path}: holds several pages or frames; save the one to use alone.")
        bits = bits_per_channel(path, image)
        icc = image.info.get("icc_profile")
        image.load()
        # Pillow turns TIFFs on loading and then forgets the tag; others are turned here.
        turn = int(image.getexif().get(_ORIENTATION, 1))
        pixels, alpha = split_planes(path, image, bits)
    upright = np.ascontiguousarray(_turned(pixels, turn))
    return Picture(
        pixels=upright,
        alpha=None if alpha is None else np.ascontiguousarray(_turned(alpha, turn)),
        icc=icc if icc and _is_profile_for(upright, icc) else None,
    )


def read_rgb(path: AnyPath, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Read a photograph as ``(H, W, 3)`` uint8 RGB; 16 bits are rounded to 8, grey is repeated.

    Raises
    ------
    InputError
        As `read_picture`, or some of the picture is transparent.
    """
    path = as_path(path, "path")
    picture = read_picture(path, max_pixels)
    if picture.alpha is not None and picture.alpha.min() < np.iinfo(picture.alpha.dtype).max:
        raise InputError(f"{path}: is partly transparent; put it on a background first.")
    pixels = to_8_bit(picture.pixels)
    return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, np.newaxis], 3, axis=2)


@contextmanager
def opened_image(path: Path, max_pixels: int) -> Iterator[Image.Image]:
    """Open a file with Pillow; whatever fails, now or while decoding, becomes an InputError."""
    _check_file(path)
    try:
        with path.open("rb") as file, _header(path, file) as image:
            if image.width * image.height > max_pixels:
                raise InputError(
                    f"{path}: {image.width} x {image.height} pixels exceed the limit of "
                    f"{max_pixels}; raise the limit if you trust the file."
                )
            with allowing(max_pixels):
                yield image
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError(f"{path}: {_unidentified(path)}") from None
    except DECODER_ERRORS as error:
        reason = str(error) or type(error).__name__
        raise InputError(f"{path}: cannot be read as an image: {reason}.") from None


def _check_file(path: Path) -> None:
    """Refuse anything but a regular file that is not empty: a pipe would block for ever."""
    try:
        if not path.is_file():
            what = "is not a regular file" if path.exists() else "no such file"
            if path.is_dir():
                what = "is a folder"
            raise InputError(f"{path}: {what}; an image file was expected.")
        if path.stat().st_size == 0:
            raise InputError(f"{path}: the file is empty.")
    except (OSError, ValueError) as error:  # a name too long, or with a zero byte
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: cannot be read: {error}.") from None


def _header(path: Path, file: BinaryIO) -> Image.Image:
    """Read the header of an image; for HEIC, load the extra that decodes it."""
    try:
        return open_header(file, READABLE_FORMATS)
    except UnidentifiedImageError:
        file.seek(4)
        if file.read(8) not in _HEIF_MAGICS:
            raise
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise InputError(
            f"{path}: is a HEIC picture; to read it, `pip install csgisnet[heic]` (pillow-heif), "
            "or save it as JPEG, PNG or AVIF."
        ) from None
    register_heif_opener()
    file.seek(0)
    return open_header(file, ("HEIF",))


def _unidentified(path: Path) -> str:
    """Say what may be wrong with a file that Pillow does not recognise."""
    with path.open("rb") as file:
        head = file.read(12)
    if head[:4] in _TIFF_MAGICS:
        return (
            "is a TIFF that is damaged, or of a kind that cannot be read (such as colour in "
            "floats or 32 bits); save it as RGB of 8 or 16 bits."
        )
    return "is not an image, or damaged in its first bytes."


def _turned(array: Pixels, orientation: int) -> Pixels:
    """Apply an EXIF orientation (1 to 8; anything else is ignored)."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def _is_profile_for(pixels: Pixels, icc: bytes) -> bool:
    """Return whether an ICC profile is for the pixels' colour space, which bytes 16 to 19 name."""
    return icc[16:20] == (b"RGB " if pixels.ndim == 3 else b"GRAY")
