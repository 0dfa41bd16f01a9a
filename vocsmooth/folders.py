"""Folders: list what is in them, and decide which may take results."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from vocsmooth.errors import InputError
from vocsmooth.files import is_temporary, write_atomically


def list_tree(folder: Path) -> list[Path]:
    """Return all files and folders in a folder and its sub-folders, sorted; links are not followed.

    Raises
    ------
    InputError
        One of them cannot be listed: `Path.rglob` would pass over it silently.
    """
    found = (
        Path(here, name)
        for here, folders, files in os.walk(folder, onerror=refuse_unlisted)
        for name in folders + files
    )
    return sorted(found)


def refuse_unlisted(error: OSError) -> NoReturn:
    """Raise InputError for a folder that cannot be listed: its files would be missed silently."""
    raise InputError(f"{error.filename}: cannot be listed: {error.strerror}.")


def refuse_other_files(
    folder: Path, is_ours: Callable[[Path], bool], advice: str, *, pattern: str = "*"
) -> None:
    """Refuse a folder for results that holds anything else, so that no file is written over.

    Parameters
    ----------
    folder : Path
        May not exist yet.
    is_ours : callable
        Whether a path in it may be there. Temporary files of killed processes always may.
    advice : str
        What to do instead, for the message.
    pattern : str
        Which paths to look at: "*" for those directly in the folder, "**/*" for all.

    Raises
    ------
    InputError
        `folder` is a file, or holds a path that is not ours; the message names up to three.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; give a folder.")
    others = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.glob(pattern)
        if not (is_temporary(path) or is_ours(path))
    )
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        raise InputError(f"{folder} holds other files ({', '.join(others[:3])}{more}); {advice}.")


def claim_folder(out: Path, note: Path, content: bytes) -> None:
    """Reserve a folder for results; the file `note`, written first, says what they belong to.

    Raises
    ------
    InputError
        `out` is not a folder, or holds other files and not this note.
    """
    refuse_other_files(
        out,
        lambda _: note.is_file() and note.read_bytes() == content,
        "give a new or empty folder, or that of an earlier run with the same dataset",
    )
    note.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(note, content)
