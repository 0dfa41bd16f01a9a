"""Of the parts of a build that start together one lists and plans, and the others wait for it.

It says so by a claim, a hidden file in the dataset's folder, and renews it while it works. To wait
saves work and is never needed: where a claim cannot be written, or its process fails or dies, the
others list for themselves, with the same result. It is no lock of the system, as file systems that
machines share often have none.
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
"""Seconds that others wait for a claim that is not renewed; whether a process of another machine
lives cannot be seen otherwise."""

_SECONDS_BETWEEN_RENEWALS = 5.0

_SECONDS_BETWEEN_LOOKS = 0.2

_CLAIM = re.compile(r"(?P<key>\S+) (?P<host>\S+) (?P<process>\d{1,20}) \d+")

_LONGEST = 1000  # characters that are read of a file which may be no claim


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
        What is to be made, without spaces; nobody waits for a claim with another key.
    find : callable
        Returns what another process has made; None if there is nothing.
    """
    path, own = out / CLAIM_NAME, f"{key} {HOST} {os.getpid()} {threading.get_ident()}"
    new_folders = [folder for folder in (out, *out.parents) if not folder.exists()]
    ended = threading.Event()
    found = find()
    try:
        if found is None and _claim(path, own):
            threading.Thread(target=_renew, args=(path, ended), daemon=True).start()
            found = find()  # another may have made it, and ended its claim, since the first look
        elif found is None:
            found = _wait(path, find)
        yield found
    finally:
        ended.set()
        with suppress(OSError):
            if path.read_text("utf-8", errors="replace") == own:
                path.unlink()
        with suppress(OSError):  # they are not empty
            for folder in new_folders:
                folder.rmdir()


def _claim(path: Path, own: str) -> bool:
    """Return whether this process need not wait: it has claimed, or there is nobody to wait for.

    Two that find the claim of a dead process at the same moment may both take its place.
    """
    if _write_new(path, own):
        return True
    there = _look(path)
    if there is not None:
        return there[0] not in ("", own.partition(" ")[0])
    with suppress(OSError):
        path.unlink()
    return _write_new(path, own)


def _write_new(path: Path, text: str) -> bool:
    """Write a file, and return False if there is one; whatever fails leaves none.

    A failure is no error here: what hinders it is told when the plan is written.
    """
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            try:
                file.write(text)
                file.flush()
            except OSError:
                path.unlink()
                raise
    except FileExistsError:
        return False
    except OSError:
        return True
    return True


def _wait(path: Path, find: Callable[[], Found | None]) -> Found | None:
    """Return what `find` returns at last; None if the claim ends, or is not renewed, before."""
    there, until, found = _look(path), time.monotonic() + PATIENCE, None
    while found is None and there is not None and time.monotonic() < until:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
        before, there = there, _look(path)
        if there != before:
            until = time.monotonic() + PATIENCE
        found = find()  # after the look: whoever ended the claim has left it
    return found


def _look(path: Path) -> tuple[str, int] | None:
    """Return the key of a claim and when it was renewed; None if nobody who is running holds it.

    The key is empty if the claim is being written, or damaged.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            found = _CLAIM.fullmatch(file.read(_LONGEST))
            renewed = os.fstat(file.fileno()).st_mtime_ns
    except OSError:
        return None
    if found is None:
        return "", renewed
    if is_running(found["host"], int(found["process"])) is False:
        return None
    return found["key"], renewed


def _renew(path: Path, ended: threading.Event) -> None:
    """Renew a claim until it has ended."""
    while not ended.wait(_SECONDS_BETWEEN_RENEWALS):
        with suppress(OSError):
            os.utime(path)
