"""Write a VOC tree of drawn scenes: structure images with exact labels, as many as you like."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vocsmooth.arrays import to_float
from vocsmooth.errors import InputError, UnknownNameError, VocsmoothError
from vocsmooth.files import AnyPath, as_path, as_path_or_none
from vocsmooth.images.reading import read_rgb
from vocsmooth.operators.l0 import l0_smooth
from vocsmooth.operators.rtv import rtv_smooth
from vocsmooth.seeds import generator
from vocsmooth.settings import nearest
from vocsmooth.sources.drawing import Paint
from vocsmooth.sources.families import FAMILIES, NEEDS, Material, draw_family, split_material
from vocsmooth.sources.photographs import bundled_folder
from vocsmooth.sources.tree import Encoded, Entry, encode, write_tree
from vocsmooth.workers.processes import (
    WorkerDied,
    available_cores,
    run_tasks,
    sigterm_interrupts,
)

PICTURES: Mapping[str, tuple[str, ...]] = {
    "train": ("astronaut.png", "chelsea.png", "motorcycle_left.png"),
    "val": ("camera.png", "coffee.png", "rocket.jpg"),
}
"""Photographs in scikit-image's wheel whose smoothed parts fill scenes, each in one split only."""

FAMILY = {"drawn": 1.0}
"""Shares of the families where none are given."""

_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}

_WORTH = 32
"""Scenes for which a process is worth its start."""

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


class _Plan(NamedTuple):
    """What all scenes of a tree have in common."""

    size: tuple[int, int]
    seed: int
    families: tuple[tuple[str, float], ...]
    files: tuple[tuple[str, tuple[Path, ...]], ...]
    """Photographs and drawings of both splits."""


class _Task(NamedTuple):
    """A scene to draw."""

    split: str
    id: str


def write_scene_tree(
    root: AnyPath,
    counts: Mapping[str, int],
    *,
    size: tuple[int, int] = (256, 288),
    seed: int = 0,
    families: Mapping[str, float] = FAMILY,
    photographs: AnyPath | None = None,
    drawings: AnyPath | None = None,
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
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
    jobs : int, optional
        Processes that draw: one per core unless given, as far as there are scenes for them. The
        files do not depend on it.
    progress : callable, optional
        Called with the scenes written so far and their total.

    Returns
    -------
    tuple of str
        The ids, train before val.

    Raises
    ------
    UnknownNameError
        There is no such family.
    InputError
        `root` is a file, or holds files that are not of such a tree; a family lacks its files, or
        one of them cannot be read.
    VocsmoothError
        A process that drew was killed, and once more when it drew that scene alone.
    """
    root = as_path(root, "root")
    folders = {
        "photographs": as_path_or_none(photographs, "photographs"),
        "drawings": as_path_or_none(drawings, "drawings"),
    }
    files = {name: _list_pictures(folder) for name, folder in folders.items()}
    _check_families(families, files)
    splits = {name: [f"{name}_{n:05d}" for n in range(counts.get(name, 0))] for name in PICTURES}
    plan = _Plan(size, seed, tuple(families.items()), tuple(files.items()))
    tasks = [_Task(split, i) for split, ids in splits.items() for i in ids]
    with sigterm_interrupts(), closing(_draw_all(plan, tasks, jobs, progress)) as entries:
        write_tree(root, splits, entries, sources=_list_sources(files), suffix=".png")
    return tuple(task.id for task in tasks)


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


def _draw_all(
    plan: _Plan,
    tasks: Sequence[_Task],
    jobs: int | None,
    progress: Callable[[int, int], None] | None,
) -> Generator[Encoded, None, None]:
    """Draw the scenes, in the order in which they are finished."""
    jobs = min(jobs or available_cores(), max(1, len(tasks) // _WORTH))
    draw = functools.partial(_draw, plan)
    drawn = ((t, draw(t)) for t in tasks) if jobs == 1 else run_tasks(draw, tasks, jobs)
    with closing(drawn):
        for done, (task, scene) in enumerate(drawn, 1):
            if isinstance(scene, WorkerDied):
                raise VocsmoothError(
                    f"{task.id}: the process that draws it is killed every time. If memory is "
                    "short, draw in fewer processes (--jobs, jobs= in Python); what is there is "
                    "completed."
                )
            yield scene
            if progress:
                progress(done, len(tasks))


def _draw(plan: _Plan, task: _Task) -> Encoded:
    """Draw one scene."""
    names, shares = zip(*plan.families, strict=True)
    odds = np.array(shares) / sum(shares)
    family = str(generator(plan.seed, task.id, 1).choice(names, p=odds))
    rng = generator(plan.seed, task.id, 0)
    scene = draw_family(rng, plan.size, family, _material(task.split, plan.files))
    return encode(Entry(task.id, scene.image, scene.mask), ".png")


@functools.lru_cache(maxsize=len(PICTURES))
def _material(split: str, files: tuple[tuple[str, tuple[Path, ...]], ...]) -> Material:
    """Return what the scenes of a split are made of."""
    return Material(
        pictures=tuple(_smooth_pictures(PICTURES[split])),
        **{name: split_material(paths, split) for name, paths in files},
    )


def _smooth_pictures(names: Sequence[str]) -> list[Paint]:
    """Smooth photographs until no texture is left, once with sharp and once with soft steps."""
    photographs = [to_float(read_rgb(bundled_folder() / name)) for name in names]
    sharp = [l0_smooth(photograph, lam=0.04) for photograph in photographs]
    return sharp + [rtv_smooth(photograph, lam=0.02, sigma=3.0) for photograph in photographs]
