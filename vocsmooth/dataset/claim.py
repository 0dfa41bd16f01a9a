"""Of the parts of a build that start together one lists and plans, and the others wait for it.

It says so by a claim, a hidden file in the dataset's folder. To wait saves work and is never
needed: the claim of a process that has died does not count, and after `PATIENCE` none does.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from vocsmooth.files import HOST, is_running

Found = TypeVar("Found")

CLAIM_NAME = ".photographs.claim"
"""File of the claim in the folder of the dataset."""

PATIENCE = 60.0
"""Seconds that a part waits: whether a process of another machine lives cannot be seen. To list and
plan a million photographs takes a tenth of it."""

_SECONDS_BETWEEN_LOOKS = 0.1

_CLAIM = re.compile(r"(?P<key>\S+) (?P<host>\S+) (?P<process>\d+) (?P<thread>\d+)")


@contextmanager
def found_or_claimed(
    out: Path, key: str, find: Callable[[], Found | None]
) -> Iterator[Found | None]:
    """Yield what `find` returns; None if it is for this process to make, in the block.

    Parameters
    ----------
    out : Path
        Folder of the claim; made for it, and removed after the block if nothing else is in it.
    key : str
        What is to be made, without spaces; claims with another key do not count.
    find : callable
        Returns what another process has made; None if there is nothing.
    """
    path, own = out / CLAIM_NAME, f"{key} {HOST} {os.getpid()} {threading.get_ident()}"
    new_folders = [folder for folder in (out, *out.parents) if not folder.exists()]
    until = time.monotonic() + PATIENCE
    try:
        while (found := find()) is None and _is_taken(path, own) and time.monotonic() < until:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        yield found
    finally:
        if _read(path) == own:
            path.unlink(missing_ok=True)
        with suppress(OSError):  # they are not empty
            for folder in new_folders:
                folder.rmdir()


def _is_taken(path: Path, own: str) -> bool:
    """Return whether another process holds the claim; if none does, this one does from now on.

    Where it cannot be written, nobody holds it: what hinders it is told when the plan is written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    try:
        with path.open("x") as file:
            file.write(own)
    except FileExistsError:
        there = _CLAIM.fullmatch(_read(path))
    except OSError:
        with suppress(OSError):
            path.unlink()
        return False
    else:
        return False
    if there is None:
        return True  # it is being written, or has just gone
    if there["key"] != own.partition(" ")[0]:
        return False
    if is_running(there["host"], int(there["process"])) is False:
        path.unlink(missing_ok=True)
    return True


def _read(path: Path) -> str:
    """Return what a claim says; nothing if it is gone or is not text."""
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError):
        return ""
