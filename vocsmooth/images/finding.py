"""Which image files a user means: words of a command line, folders, and pairs by name."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from vocsmooth.errors import InputError
from vocsmooth.files import AnyPath, as_path
from vocsmooth.folders import list_tree, refuse_unlisted
from vocsmooth.images.writing import FORMATS

_READ_ONLY = (
    ".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".j2k", ".jpe", ".jfif",
    ".heic", ".heif",
)  # fmt: skip

IMAGE_SUFFIXES = frozenset((*FORMATS, *_READ_ONLY))
"""Endings, in any case, by which files are found in folders; a file that is named may have any.
HEIC is among them, although reading it needs an extra: photographs from telephones must not be
skipped silently."""

_SHOWN = 5


class Pair(NamedTuple):
    """An image, and what it is compared with."""

    name: str
    """Path under the folder, without the ending."""
    image: Path
    label: Path


LIST = "-"
"""Stands for a list of paths, one a line, on standard input."""


def expand_inputs(words: Iterable[str], listed: Iterable[str] = ()) -> list[Path]:
    """Return the paths that the words of a command line mean.

    Parameters
    ----------
    words : iterable of str
        Each a path; a pattern with ``*``, ``?`` or ``[`` (``**`` goes through sub-folders) for
        shells that do not expand it; or "-" for the lines of `listed`. What exists is a path,
        whatever characters are in its name.
    listed : iterable of str
        Lines of standard input. Empty lines are skipped; patterns in them are not expanded.

    Returns
    -------
    list of Path
        In the order of the words, each pattern's paths sorted. They may not exist.

    Raises
    ------
    InputError
        A pattern matches nothing, or the list is empty.
    """
    paths: list[Path] = []
    for word in words:
        paths += _listed(listed) if word == LIST else _matches(word)
    return paths


def _listed(lines: Iterable[str]) -> list[Path]:
    """Return the paths of a list."""
    paths = [Path(name) for line in lines if (name := line.rstrip("\r\n"))]
    if not paths:
        raise InputError("The list on standard input is empty; it should have a path on each line.")
    return paths


def _matches(word: str) -> list[Path]:
    """Return the path itself, or the paths that match it as a pattern."""
    path = Path(word)
    if glob.has_magic(word) and not path.exists():
        found = sorted(glob.glob(word, recursive=True))  # noqa: PTH207 (takes absolute patterns)
        if not found:
            raise InputError(f"Nothing matches {word!r}.")
        return [Path(name) for name in found]
    return [path]


def find_images(given: AnyPath, out: AnyPath) -> list[tuple[Path, Path]]:
    """Return each file with its path under the output folder, for a file or a folder of images."""
    given = as_path(given, "given")
    out = as_path(out, "out")
    if not given.is_dir():
        if not (given.exists() or given.is_symlink()):
            raise InputError(f"No file or folder {given}.")
        return [(given, Path(given.name))]
    found = []
    for folder, subfolders, files in os.walk(given, onerror=refuse_unlisted):
        here = Path(folder)
        subfolders[:] = [
            name
            for name in subfolders
            if not name.startswith(".") and os.path.realpath(here / name) != os.path.realpath(out)
        ]
        # A folder or link named like an image is taken for one and reported when it is read.
        names = [name for name in subfolders + files if _looks_like_an_image(name)]
        found += [(here / name, (here / name).relative_to(given)) for name in names]
    if not found:
        endings = " ".join(sorted(IMAGE_SUFFIXES))
        raise InputError(f"No images in {given}; looked for files ending in {endings}.")
    return sorted(found)


def _looks_like_an_image(name: str) -> bool:
    """Return whether a name in a folder has the ending of an image and is not hidden."""
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES


def pair_by_name(images: AnyPath, labels: AnyPath) -> list[Pair]:
    """Pair the images of two folders by their paths in them; endings may differ.

    Returns
    -------
    list of Pair
        Sorted by name.

    Raises
    ------
    InputError
        A folder is missing or holds no image, two files of a folder have the same name, or an image
        on either side has no partner (the message names them).
    """
    images = as_path(images, "images")
    labels = as_path(labels, "labels")
    found, wanted = find_by_name(images), find_by_name(labels)
    alone = [
        *(str(found[name]) for name in sorted(found.keys() - wanted.keys())),
        *(str(wanted[name]) for name in sorted(wanted.keys() - found.keys())),
    ]
    if alone:
        more = f" and {len(alone) - _SHOWN} more" if len(alone) > _SHOWN else ""
        raise InputError(
            f"No file of the same name in the other folder for {', '.join(alone[:_SHOWN])}"
            f"{more}. Every image needs its label, and every label its image."
        )
    return [Pair(name, found[name], wanted[name]) for name in sorted(found)]


def find_by_name(folder: AnyPath) -> dict[str, Path]:
    """Return the images in a folder and its sub-folders by their paths in it, without endings.

    Raises
    ------
    InputError
        The folder is missing, cannot be listed or holds no image, or two files have the same name.
    """
    folder = as_path(folder, "folder")
    if not folder.is_dir():
        raise InputError(f"No folder {folder}.")
    found: dict[str, Path] = {}
    for path in list_tree(folder):
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise InputError(f"{found[name]} and {path} have the same name; keep one of them.")
        found[name] = path
    if not found:
        raise InputError(f"No images in {folder}.")
    return found
