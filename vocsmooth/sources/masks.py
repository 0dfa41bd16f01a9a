"""Segmentation masks: files read into class indices, whatever form VOC gave them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vocsmooth.classes import VOC_CLASSES, VOC_PALETTE, VOID
from vocsmooth.errors import InputError
from vocsmooth.files import AnyPath, as_path
from vocsmooth.images.depth import bits_per_channel
from vocsmooth.images.reading import MAX_PIXELS, opened_image


def read_mask(path: AnyPath, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Read a segmentation mask as ``(H, W)`` uint8 class indices, 0 to 20 or 255 (void).

    Palette images give their indices, grey ones their values, whatever colours the palette shows.
    RGB masks drawn in VOC's colours are turned back into indices.

    Raises
    ------
    InputError
        The file cannot be read, is a JPEG (which changes values), or holds a value or colour that
        is not a VOC class.
    """
    path = as_path(path, "path")
    with opened_image(path, max_pixels) as image:
        if image.format in ("JPEG", "MPO"):
            raise InputError(f"{path}: a mask must not be a JPEG, which changes values; use PNG.")
        bits = bits_per_channel(path, image)
        image.load()
        if image.mode == "RGB":
            return _indices_of_colors(path, np.asarray(image))
        if image.mode not in ("P", "L"):
            raise InputError(
                f"{path}: a mask must be a palette or 8-bit grey image of class indices, "
                f"got mode {image.mode}."
            )
        mask = np.array(image)
        if image.mode == "L" and bits < 8:
            mask //= 255 // (2**bits - 1)  # Pillow stretches 2 and 4 bits to 0..255
    _check_classes(path, mask)
    return mask


def _indices_of_colors(path: Path, colors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn a mask drawn in VOC's colours into class indices."""
    legal = np.array([*range(len(VOC_CLASSES)), VOID], np.uint8)
    weights = np.array([1 << 16, 1 << 8, 1], np.uint32)
    keys = VOC_PALETTE[legal].astype(np.uint32) @ weights
    order = np.argsort(keys)
    values = colors.astype(np.uint32) @ weights
    place = np.searchsorted(keys, values, sorter=order).clip(max=len(keys) - 1)
    found = keys[order][place] == values
    if not found.all():
        color = tuple(int(v) for v in colors[~found][0])
        raise InputError(
            f"{path}: RGB mask with the colour {color}, which is not a VOC class "
            f"({np.count_nonzero(~found)} pixels with such colours); "
            "save it as a palette or grey PNG of class indices."
        )
    indices: NDArray[np.uint8] = legal[order][place]
    return indices


def _check_classes(path: Path, mask: NDArray[np.uint8]) -> None:
    """Refuse a mask with a value that is neither a class nor void."""
    counts = np.bincount(mask.ravel(), minlength=256)
    counts[[*range(len(VOC_CLASSES)), VOID]] = 0
    wrong = np.flatnonzero(counts)
    if len(wrong):
        more = f" (and {len(wrong) - 1} more such values)" if len(wrong) > 1 else ""
        raise InputError(
            f"{path}: mask value {wrong[0]} in {counts[wrong[0]]} pixels{more} is not a VOC class; "
            f"expected 0 to {len(VOC_CLASSES) - 1}, or {VOID} for void."
        )
