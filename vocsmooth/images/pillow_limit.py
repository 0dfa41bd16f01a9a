"""Pillow's limit on the size of images, one for all threads, replaced while files are read.

Pillow warns above its limit and refuses above twice that, when it opens a file and, for some
formats, once more when it decodes. Our limit is the caller's.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from PIL import Image

_lock = threading.Lock()

_allowed: list[int] = []  # pixels, by those who read now

_before: list[int | None] = []  # Pillow's limit while somebody reads


def open_header(file: BinaryIO, formats: tuple[str, ...]) -> Image.Image:
    """Open an image of any size, reading its header only; the caller checks the size.

    A file and no path: given a path, Pillow maps uncompressed pixels into memory, which scrambles
    TIFFs that lie on their side (it takes the upright width for that of the file's rows), and kills
    the process where somebody cuts the file meanwhile.
    """
    with _lock:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file, formats=formats)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


@contextmanager
def allowing(pixels: int) -> Iterator[None]:
    """Let Pillow decode images, and tiles of them, of at most this many pixels."""
    with _lock:
        if not _allowed:
            _before.append(Image.MAX_IMAGE_PIXELS)
        _allowed.append(pixels)
        Image.MAX_IMAGE_PIXELS = max(_allowed)
    try:
        yield
    finally:
        with _lock:
            _allowed.remove(pixels)
            Image.MAX_IMAGE_PIXELS = max(_allowed) if _allowed else _before.pop()
