"""Two folders of images that belong together by name, such as inputs and labels."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from vocsmooth.errors import InputError
from vocsmooth.file_tasks import IMAGE_SUFFIXES

_SHOWN = 5


class Pair(NamedTuple):
    """An image, and what it is compared with."""

    name: str
    """Path under the folder, without the ending."""
    image: Path
    label: Path


def pair_by_name(images: Path, labels: Path) -> list[Pair]:
    """Pair the images of two folders by their paths in them; endings may differ.

    Returns
    -------
    list of Pair
        Sorted by name.

    Raises
    ------
    InputError
        A folder is missing or holds no image, a name stands for two files, or an image on either
        side has no partner (the message names them).
    """
    found, wanted = _by_name(images), _by_name(labels)
    alone = [
        *(str(found[name]) for name in sorted(found.keys() - wanted.keys())),
        *(str(wanted[name]) for name in sorted(wanted.keys() - found.keys())),
    ]
    if alone:
        more = f" and {len(alone) - _SHOWN} more" if len(alone) > _SHOWN else ""
        raise InputError(
            f"Without a partner of the same name in the other folder: {', '.join(alone[:_SHOWN])}"
            f"{more}. Every image needs its label, and every label its image."
        )
    return [Pair(name, found[name], wanted[name]) for name in sorted(found)]


def _by_name(folder: Path) -> dict[str, Path]:
    """Return the images in a folder and its sub-folders by their paths without endings."""
    if not folder.is_dir():
        raise InputError(f"No folder {folder}.")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise InputError(f"{found[name]} and {path} have the same name; keep one of them.")
        found[name] = path
    if not found:
        raise InputError(f"No images in {folder}.")
    return found
