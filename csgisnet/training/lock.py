"""A lock for one process at a time, which the system releases however its holder ends."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from vocsmooth.errors import InputError
from vocsmooth.files import hidden_path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_LOCKED_BYTE = 1 << 20
"""On Windows, the byte that is locked: one after the text, as no other process can read it then."""


def lock_path(path: Path) -> Path:
    """Return the lock file of `path`, beside it."""
    return hidden_path(path, ".lock")


@contextlib.contextmanager
def only_process(path: Path, work: str) -> Iterator[None]:
    """Keep other processes from doing the same work on `path` while the block runs.

    The lock file lies beside `path` and is removed at the end. One that a killed process left
    behind holds nobody up. On file systems that cannot lock files, nobody is kept out.

    Parameters
    ----------
    path : Path
        What the work is on; its folder must exist.
    work : str
        The work, for the message to whom it is refused: "training in runs/a".

    Raises
    ------
    InputError
        Another process holds the lock; the message says which.
    """
    file = lock_path(path)
    descriptor = _acquire(file, work)
    try:
        os.write(descriptor, f"Process {os.getpid()} on {platform.node()}".encode())
        yield
    finally:
        _release(file, descriptor)


def _acquire(file: Path, work: str) -> int:
    """Return the descriptor of the file once it is locked."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(descriptor)
        except BlockingIOError:
            holder = os.read(descriptor, 200).decode(errors="replace") or "Another process"
            os.close(descriptor)
            raise InputError(f"{holder} is {work}. Wait until it has ended, or stop it.") from None
        except OSError:  # no locks on this file system
            return descriptor
        if _is_same(file, descriptor):
            os.truncate(descriptor, 0)
            return descriptor
        os.close(descriptor)  # its last holder has just removed it


def _lock(descriptor: int) -> None:
    """Lock the file for this process, or raise BlockingIOError if another one has."""
    if sys.platform == "win32":
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            raise BlockingIOError from None
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _release(file: Path, descriptor: int) -> None:
    """Remove the file, then unlock it, so that the next process finds no file or a new one.

    Windows removes no file that is open; there, who opens it in between keeps it.
    """
    if sys.platform == "win32":
        os.close(descriptor)
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)
    else:
        file.unlink(missing_ok=True)
        os.close(descriptor)


def _is_same(file: Path, descriptor: int) -> bool:
    """Tell whether the file of this name is the one that was opened."""
    try:
        return os.path.samestat(file.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
