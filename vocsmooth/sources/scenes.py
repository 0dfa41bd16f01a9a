"""Write a VOC tree of drawn scenes: structure images with exact labels, as many as you like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from vocsmooth.arrays import to_float
from vocsmooth.errors import InputError, UnknownNameError
from vocsmooth.files import AnyPath, as_path, as_path_or_none
from vocsmooth.images.reading import read_rgb
from vocsmooth.operators.l0 import l0_smooth
from vocsmooth.operators.rtv import rtv_smooth
from vocsmooth.seeds import generator
from vocsmooth.settings import nearest
from vocsmooth.sources.drawing import Paint
from vocsmooth.sources.families import FAMILIES, NEEDS, Material, draw_family, split_material
from vocsmooth.sources.photographs import bundled_folder
from vocsmooth.sources.tree import Entry, write_tree

PICTURES: Mapping[str, tuple[str, ...]] = {
    "train": ("astronaut.png", "chelsea.png", "motorcycle_left.png"),
    "val": ("camera.png", "coffee.png", "rocket.jpg"),
}
"""Photographs in scikit-image's wheel whose smoothed parts fill scenes, each in one split only."""

FAMILY = {"drawn": 1.0}
"""Shares of the families where none are given."""

_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}

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
    families: Mapping[str, float] = FAMILY,
    photographs: AnyPath | None = None,
    drawings: AnyPath | None = None,
) -> tuple[str, ...]:
    """Write a VOC tree of drawn scenes; the same arguments and versions give the same bytes.

    The pictures are PNG files, so that they are labels as they are: build with a recipe that says
    ``exact = true``. A scene depends on the seed, its id, the families and the files alone.

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
    families : mapping of str to float
        How often each family of `vocsmooth.sources.families.FAMILIES` is drawn, relative to the
        others.
    photographs, drawings : str or path-like, optional
        Folders of photographs, which the families "posterised" and "photograph" are made of, and of
        pictures with transparency, which the family "collage" is made of. A sixth of the files is
        held back for the split "val".

    Returns
    -------
    tuple of str
        The ids, train before val.

    Raises
    ------
    UnknownNameError
        There is no such family.
    InputError
        `root` is a file, or holds files that are not of such a tree; a family lacks its files.
    """
    root = as_path(root, "root")
    folders = {
        "photographs": as_path_or_none(photographs, "photographs"),
        "drawings": as_path_or_none(drawings, "drawings"),
    }
    files = {name: _list_pictures(folder) for name, folder in folders.items()}
    _check_families(families, files)
    splits = {name: [f"{name}_{n:05d}" for n in range(counts.get(name, 0))] for name in PICTURES}
    entries = _draw(splits, size, seed, families, files)
    write_tree(root, splits, entries, sources=_list_sources(files), suffix=".png")
    return tuple(i for ids in splits.values() for i in ids)


def _check_families(families: Mapping[str, float], files: Mapping[str, tuple[Path, ...]]) -> None:
    """Refuse families that are unknown, weighted badly, or lack their files."""
    for name, share in families.items():
        if name not in FAMILIES:
            raise UnknownNameError(f"No family of scenes {name!r}.{nearest(name, FAMILIES)}")
        if not 0 <= share < np.inf:
            raise InputError(f"The share of {name!r} must be at least 0, got {share}.")
        needed = NEEDS.get(name)
        if share and needed and not all(split_material(files[needed], s) for s in PICTURES):
            raise InputError(
                f"The family {name!r} is made of a folder of {needed}: give one with a dozen files "
                f"or more (--{needed}, {needed}= in Python)."
            )
    if not sum(families.values()) > 0:
        raise InputError("The shares of the families must not all be 0.")


def _list_pictures(folder: Path | None) -> tuple[Path, ...]:
    """Return the pictures in a folder and below, by name."""
    if folder is None:
        return ()
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder.")
    return tuple(sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES))


def _list_sources(files: Mapping[str, tuple[Path, ...]]) -> str:
    """Say where the pictures in the scenes come from."""
    lists = [
        f"\nFrom the folder of {name}:\n\n" + "".join(f"{path.name}\n" for path in paths)
        for name, paths in files.items()
        if paths
    ]
    return _SOURCES + "".join(lists)


def _draw(
    splits: Mapping[str, Sequence[str]],
    size: tuple[int, int],
    seed: int,
    families: Mapping[str, float],
    files: Mapping[str, tuple[Path, ...]],
) -> Iterator[Entry]:
    """Draw the scenes one after the other."""
    names = list(families)
    shares = np.array(list(families.values())) / sum(families.values())
    for split, ids in splits.items():
        material = Material(
            pictures=tuple(_smooth_pictures(PICTURES[split])) if ids else (),
            **{name: split_material(paths, split) for name, paths in files.items()},
        )
        for image_id in ids:
            family = str(generator(seed, image_id, 1).choice(names, p=shares))
            scene = draw_family(generator(seed, image_id, 0), size, family, material)
            yield Entry(image_id, scene.image, scene.mask)


def _smooth_pictures(names: Sequence[str]) -> list[Paint]:
    """Smooth photographs until no texture is left, once with sharp and once with soft steps."""
    photographs = [to_float(read_rgb(bundled_folder() / name)) for name in names]
    sharp = [l0_smooth(photograph, lam=0.04) for photograph in photographs]
    return sharp + [rtv_smooth(photograph, lam=0.02, sigma=3.0) for photograph in photographs]
