"""Paths as users give them: files, folders, patterns, and lists on standard input."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from vocsmooth.errors import InputError

LIST = "-"
"""Stands for a list of paths, one a line, on standard input."""


def expand_inputs(words: Iterable[str], listed: Iterable[str] = ()) -> list[Path]:
    """Return the paths that words of a command line mean.

    Parameters
    ----------
    words : iterable of str
        Each a path; a pattern with ``*``, ``?`` or ``[`` (``**`` goes through sub-folders) for
        shells that do not expand it; or "-" for the lines of `listed`. What exists is a path,
        whatever characters are in its name.
    listed : iterable of str
        Lines of standard input. Empty ones are passed over; patterns are not expanded in them.

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
    """Return a path, or what a pattern matches."""
    path = Path(word)
    if glob.has_magic(word) and not path.exists():
        found = sorted(glob.glob(word, recursive=True))  # noqa: PTH207 (takes absolute patterns)
        if not found:
            raise InputError(f"Nothing matches {word!r}.")
        return [Path(name) for name in found]
    return [path]
