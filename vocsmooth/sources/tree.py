"""Write a tree in the layout of PASCAL VOC 2012 from pictures and masks in memory."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vocsmooth.classes import VOC_PALETTE
from vocsmooth.files import write_atomically
from vocsmooth.folders import refuse_other_files

_FOLDERS = ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation")


class Entry(NamedTuple):
    """A picture of a tree."""

    id: str
    """File name without suffix."""
    image: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    mask: NDArray[np.uint8]
    """(H, W) class indices, 255 void."""


class Encoded(NamedTuple):
    """A picture of a tree as the bytes of its files."""

    id: str
    """File name without suffix."""
    image: bytes
    """Of the file in JPEGImages."""
    mask: bytes
    """Of the file in SegmentationClass."""


def encode(entry: Entry, suffix: Literal[".jpg", ".png"]) -> Encoded:
    """Encode a picture in a format, and its mask as PNG."""
    image = _encode(Image.fromarray(entry.image), suffix)
    return Encoded(entry.id, image, _encode_mask(entry.mask))


def write_tree(
    root: Path,
    splits: Mapping[str, Sequence[str]],
    entries: Iterable[Entry | Encoded],
    *,
    sources: str,
    suffix: Literal[".jpg", ".png"],
) -> None:
    """Write pictures, masks, the lists of ids and SOURCES.txt.

    Parameters
    ----------
    root : Path
        Made if missing. A tree of the same ids that was written before is completed or replaced.
    splits : mapping of str to sequence of str
        The ids of each split; a list "trainval" of all is added.
    entries : iterable of Entry or Encoded
        One for each id, in any order, made while they are written.
    sources : str
        Where the pictures come from, for people.
    suffix : {".jpg", ".png"}
        Format of the pictures, also of those that are encoded: ".png" keeps every value.

    Raises
    ------
    InputError
        `root` is a file, or holds files that are not of such a tree.
    """
    lists = {**splits, "trainval": sorted(i for ids in splits.values() for i in ids)}
    _check_target(root, lists, suffix)
    for folder in _FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for entry in entries:
        files = entry if isinstance(entry, Encoded) else encode(entry, suffix)
        write_atomically(root / f"JPEGImages/{files.id}{suffix}", files.image)
        write_atomically(root / f"SegmentationClass/{files.id}.png", files.mask)
    write_atomically(root / "SOURCES.txt", sources.encode())
    for name, ids in lists.items():
        text = "".join(f"{i}\n" for i in ids)
        write_atomically(root / f"ImageSets/Segmentation/{name}.txt", text.encode())


def _check_target(root: Path, lists: Mapping[str, Sequence[str]], suffix: str) -> None:
    """Refuse a folder with files that are not ours: a real VOC tree must not be written over."""
    ours = {"SOURCES.txt"} | {f"ImageSets/Segmentation/{name}.txt" for name in lists}
    for image_id in lists["trainval"]:
        ours |= {f"JPEGImages/{image_id}{suffix}", f"SegmentationClass/{image_id}.png"}
    refuse_other_files(
        root,
        lambda path: path.is_dir() or path.relative_to(root).as_posix() in ours,
        "give a new or empty folder, or that of the same tree",
        pattern="**/*",
    )


def _encode(image: Image.Image, suffix: str) -> bytes:
    """Encode a picture."""
    buffer = io.BytesIO()
    if suffix == ".jpg":
        image.save(buffer, "JPEG", quality=95)
    else:
        image.save(buffer, "PNG")
    return buffer.getvalue()


def _encode_mask(mask: NDArray[np.uint8]) -> bytes:
    """Encode a mask as PNG with VOC's palette."""
    indexed = Image.fromarray(mask).convert("P")
    indexed.putdata(mask.ravel())
    indexed.putpalette(VOC_PALETTE.ravel().tolist())
    return _encode(indexed, ".png")
