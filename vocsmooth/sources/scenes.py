"""Write a VOC tree of drawn scenes: as many structure images with exact labels as wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from vocsmooth.arrays import to_float
from vocsmooth.files import AnyPath, as_path
from vocsmooth.images.reading import read_rgb
from vocsmooth.operators.l0 import l0_smooth
from vocsmooth.operators.rtv import rtv_smooth
from vocsmooth.seeds import generator
from vocsmooth.sources.drawing import Paint, draw_scene
from vocsmooth.sources.materials import draw_class_scene
from vocsmooth.sources.photographs import bundled_folder
from vocsmooth.sources.tree import Entry, write_tree

PICTURES: Mapping[str, tuple[str, ...]] = {
    "train": ("astronaut.png", "chelsea.png", "motorcycle_left.png"),
    "val": ("camera.png", "coffee.png", "rocket.jpg"),
}
"""Photographs in scikit-image's wheel whose smoothed parts fill scenes; each is in one split."""

_SOURCES = """\
Scenes drawn by `vocsmooth generate` (this project, CC0). Some are filled with smoothed parts of
photographs that scikit-image carries:

astronaut    NASA, public domain
camera       Lav Varshney, CC0
chelsea      Stefan van der Walt, CC0
coffee       Rachel Michetti, CC0
motorcycle   Middlebury stereo data 2014 (D. Scharstein et al., "High-resolution stereo datasets
             with subpixel-accurate ground truth", GCPR 2014)
rocket       SpaceX, public domain
"""


def write_scene_tree(
    root: AnyPath,
    counts: Mapping[str, int],
    *,
    size: tuple[int, int] = (256, 288),
    seed: int = 0,
    kind: Literal["drawn", "classes"] = "drawn",
) -> tuple[str, ...]:
    """Write a VOC tree of drawn scenes; the same arguments and versions give the same bytes.

    The pictures are PNG files, so that they are labels as they are: build with a recipe that says
    ``exact = true``. A scene depends on the seed and its id alone.

    Parameters
    ----------
    root : str or path-like
        Made if missing; gets JPEGImages, SegmentationClass and ImageSets/Segmentation.
    counts : mapping of str to int
        Scenes in each of the splits "train" and "val".
    size : (int, int)
        Height and width in pixels, at least 32.
    seed : int
        Not negative.
    kind : {"drawn", "classes"}
        Any objects, see `vocsmooth.sources.drawing`, or objects whose class shows, for the recipe
        "classes", see `vocsmooth.sources.materials`.

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
    splits = {name: [f"{name}_{n:05d}" for n in range(counts.get(name, 0))] for name in PICTURES}
    entries = _draw(splits, size, seed, kind)
    write_tree(root, splits, entries, sources=_SOURCES, suffix=".png")
    return tuple(i for ids in splits.values() for i in ids)


def _draw(
    splits: Mapping[str, Sequence[str]], size: tuple[int, int], seed: int, kind: str
) -> Iterator[Entry]:
    """Draw the scenes one after the other."""
    for split, ids in splits.items():
        pictures = _smooth_pictures(PICTURES[split]) if ids and kind == "drawn" else []
        for image_id in ids:
            rng = generator(seed, image_id, 0)
            if kind == "drawn":
                scene = draw_scene(rng, size, pictures)
            else:
                scene = draw_class_scene(rng, size)
            yield Entry(image_id, scene.image, scene.mask)


def _smooth_pictures(names: Sequence[str]) -> list[Paint]:
    """Smooth photographs so far that no texture is left, with sharp steps and with soft ones."""
    photographs = [to_float(read_rgb(bundled_folder() / name)) for name in names]
    sharp = [l0_smooth(photograph, lam=0.04) for photograph in photographs]
    return sharp + [rtv_smooth(photograph, lam=0.02, sigma=3.0) for photograph in photographs]
