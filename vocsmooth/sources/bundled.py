"""A small VOC tree, made from the photographs that scikit-image bundles, without any download."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vocsmooth.files import AnyPath, as_path
from vocsmooth.images.reading import read_rgb
from vocsmooth.sources.drawing import draw_rims
from vocsmooth.sources.outlines import make_mask
from vocsmooth.sources.photographs import bundled_folder
from vocsmooth.sources.tree import Entry, write_tree

Pixels = NDArray[np.uint8]

_RIM = 5  # window of the void rim around objects: it comes out four pixels wide, about as VOC's


@dataclass(frozen=True, kw_only=True)
class _Picture:
    """One photograph of the tree: a crop of a source file, scaled down."""

    id: str
    split: str
    source: str
    """File in scikit-image's data folder; all crops of one photograph are in one split."""
    box: tuple[int, int, int, int] | None = None
    """Left, top, right, bottom; None for all of it."""
    long_side: int = 400
    """Longest side after scaling down, in pixels."""


_PICTURES = (
    _Picture(id="astronaut", split="train", source="astronaut.png", long_side=352),
    _Picture(
        id="astronaut_portrait", split="train", source="astronaut.png", box=(120, 0, 376, 320)
    ),
    _Picture(id="astronaut_shuttle", split="train", source="astronaut.png", box=(312, 0, 512, 300)),
    _Picture(id="cat", split="train", source="chelsea.png", long_side=384),
    _Picture(id="cat_eyes", split="train", source="chelsea.png", box=(40, 30, 400, 240)),
    _Picture(id="coins", split="train", source="coins.png", long_side=320),
    _Picture(
        id="motorbike_engine", split="train", source="motorcycle_left.png", box=(90, 130, 410, 410)
    ),
    _Picture(id="motorbike_left", split="train", source="motorcycle_left.png"),
    _Picture(id="motorbike_right", split="train", source="motorcycle_right.png"),
    _Picture(
        id="motorbike_wheel", split="train", source="motorcycle_right.png", box=(420, 80, 680, 470)
    ),
    _Picture(id="cameraman", split="val", source="camera.png", long_side=320),
    _Picture(id="coffee", split="val", source="coffee.png", long_side=384),
    _Picture(id="coffee_spoon", split="val", source="coffee.png", box=(280, 60, 580, 340)),
    _Picture(id="rocket", split="val", source="rocket.jpg", long_side=360),
)

_SOURCES = """\
A small tree in the layout of PASCAL VOC 2012, written by `vocsmooth sample` from photographs that
scikit-image carries (masks: this project, CC0):

astronaut*   NASA, public domain
cameraman    Lav Varshney, CC0
cat*         Stefan van der Walt, CC0
coffee*      Rachel Michetti, CC0
coins        Brooklyn Museum, no known restrictions
motorbike*   Middlebury stereo data 2014 (D. Scharstein et al., "High-resolution stereo datasets
             with subpixel-accurate ground truth", GCPR 2014); masks from its disparities
rocket       SpaceX, public domain
"""


def write_sample_tree(root: AnyPath) -> tuple[str, ...]:
    """Write a VOC tree of 14 photographs with masks; the same versions give the same bytes.

    Parameters
    ----------
    root : str or path-like
        Made if missing; gets JPEGImages, SegmentationClass and ImageSets/Segmentation. A tree
        written before is completed or replaced.

    Returns
    -------
    tuple of str
        The ids, train before val.

    Raises
    ------
    InputError
        `root` is a file, or holds files that are not of such a tree.
    """
    root = as_path(root, "root")
    lists = {split: [p.id for p in _PICTURES if p.split == split] for split in ("train", "val")}
    entries = (Entry(p.id, *_make(p)) for p in _PICTURES)
    write_tree(root, lists, entries, sources=_SOURCES, suffix=".jpg")
    return tuple(lists["train"] + lists["val"])


def _make(picture: _Picture) -> tuple[Pixels, Pixels]:
    """Cut a picture and its mask out, scale both down and draw the void rim."""
    source = read_rgb(bundled_folder() / picture.source)
    image, mask = Image.fromarray(source), Image.fromarray(make_mask(picture.source, source))
    if picture.box:
        image, mask = image.crop(picture.box), mask.crop(picture.box)
    scale = min(1.0, picture.long_side / max(image.size))
    size = (round(image.width * scale), round(image.height * scale))
    if size != image.size:
        image = image.resize(size, Image.Resampling.LANCZOS)
        mask = mask.resize(size, Image.Resampling.NEAREST)
    return np.array(image), draw_rims(np.array(mask), _RIM)
