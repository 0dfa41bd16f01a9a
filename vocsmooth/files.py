"""Write files completely or not at all: under a temporary name, synced, then renamed into place."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, TypeAlias

AnyPath: TypeAlias = str | os.PathLike[str]
"""A path as public functions take it; they begin with `as_path`, all below them has a `Path`."""

_CHUNK_BYTES = 1 << 18

HOST = re.sub(r"\W", "-", platform.node()) or "localhost"
"""Name of this machine, in names of temporary files and in claims."""

_TEMPORARY = re.compile(r"\..+\.([\w-]+)\.(\d+)-\d+\.tmp")

_LONGEST_NAME = 255  # bytes, on all common file systems

_SECONDS_TO_WRITE = 24 * 3600


def as_path(path: AnyPath, name: str) -> Path:
    """Return the path that a caller gave, whatever it was given as.

    Parameters
    ----------
    path : str or os.PathLike
        The path.
    name : str
        What the caller calls this argument, for the message.

    Raises
    ------
    TypeError
        Neither a str nor an os.PathLike of one: bytes, None, a number, an open file.
    ValueError
        An empty str, which `Path` would take for the working directory.

    Examples
    --------
    >>> as_path("data/train", "root").name
    'train'
    >>> as_path(b"data", "root")
    Traceback (most recent call last):
    TypeError: root must be a path, as str or os.PathLike, got b'data'.
    """
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a path, as str or os.PathLike, got {path!r}.")
    if not text:
        raise ValueError(f"{name} must be a path, got an empty string.")
    return Path(text)


def as_path_or_none(path: AnyPath | None, name: str) -> Path | None:
    """Return what `as_path` does, and None for an argument that was not given."""
    return None if path is None else as_path(path, name)


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Write `data` to `path` so that a reader, a crash or a full disk never meets a partial file.

    Parameters
    ----------
    path : Path
        Final name; its folder must exist. An existing file is replaced in one step.
    data : bytes or memoryview
        The whole content.

    Raises
    ------
    OSError
        Whatever the system reports; the temporary file is removed and `path` is unchanged. Also if
        `path` is a device, pipe or socket, which a rename would replace by a file.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_pieces(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file like `write_atomically`, of pieces that are made one after the other."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.writelines(pieces)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the name of a file to write in the block, which is then renamed to `path`.

    For what cannot be handed to `write_atomically` as bytes; the errors are the same. Whatever ends
    the block early leaves `path` as it was, and nothing beside it.
    """
    if _is_special(path):
        raise OSError(errno.EEXIST, "exists and is not a regular file", str(path))
    temporary = temporary_path(path, os.getpid())
    try:
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            with suppress(
                AttributeError
            ):  # some libraries' errors do not let themselves be changed
                error.filename = str(path)  # the caller knows no other
        raise
    _sync_folder(path.parent)


def _is_special(path: Path) -> bool:
    """Return whether a path exists and is not a regular file; /dev/stdout is a link into /proc."""
    into_proc = path.is_symlink() and os.readlink(path).startswith("/proc/")  # noqa: PTH115
    return into_proc or (path.exists() and not path.is_file())


def refuse_special(path: Path) -> None:
    """Refuse to read a pipe, socket or device: it may never answer, or never end.

    Raises
    ------
    OSError
        `path` is one of these. What is missing, or a folder, is left for opening it to report.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "is not a regular file", str(path))


def read_file(path: Path) -> bytes:
    """Return all bytes of a regular file; anything else is an OSError, see `refuse_special`."""
    refuse_special(path)
    return path.read_bytes()


def temporary_path(path: Path, process: int) -> Path:
    """Return the temporary name under which this thread writes what will become `path`.

    It holds host, process and thread, as several of each may write one file of a shared folder.
    """
    return hidden_path(path, f".{HOST}.{process}-{threading.get_ident()}.tmp")


def hidden_path(path: Path, ending: str) -> Path:
    """Return the name of a hidden file beside `path`: a dot, the name of `path`, and `ending`.

    A long name is cut short, so that the hidden one is no longer than file systems allow.
    """
    beginning = os.fsencode(f".{path.name}")
    if len(beginning) + len(ending) <= _LONGEST_NAME:
        return path.with_name(f".{path.name}{ending}")
    cut = beginning[: _LONGEST_NAME - len(ending)].decode(errors="ignore")
    return path.with_name(f"{cut}{ending}")


def is_utf8(path: Path) -> bool:
    """Return whether a path can be given to libraries that take UTF-8 only."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def is_temporary(path: Path) -> bool:
    """Return whether `write_atomically` left this file behind when its process was killed."""
    return _TEMPORARY.fullmatch(path.name) is not None


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files whose process has ended.

    Files of processes that cannot be seen from here, see `is_running`, go when they are a day old.
    """
    for path in folder.iterdir():
        found = _TEMPORARY.fullmatch(path.name)
        if found and _is_left(path, found[1], int(found[2])):
            path.unlink(missing_ok=True)


def is_running(host: str, process: int) -> bool | None:
    """Return whether a process of a host is running; None if that cannot be seen from here.

    Processes of other hosts cannot be seen, and on Windows none.
    """
    if host != HOST or sys.platform == "win32":  # whose os.kill knows no signal that only asks
        return None
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):  # no number of a process is that large
        return False
    except PermissionError:
        pass
    return not _has_ended(process)


def _has_ended(process: int) -> bool:
    """Return whether a process has ended and its parent has not asked how; known on Linux only."""
    try:
        state = Path(f"/proc/{process}/stat").read_bytes().rpartition(b") ")[2]
    except OSError:
        return False
    return state.startswith((b"Z", b"X"))


def write_json(path: Path, content: object) -> None:
    """Write `content` as indented JSON with a final newline, completely or not at all.

    Names of files that are not UTF-8 are written with JSON's escapes, and read back as they were.
    """
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(path, (text + "\n").encode(errors="backslashreplace"))


class Hasher(Protocol):
    """What computes a digest, as those of hashlib do."""

    def update(self, data: memoryview, /) -> object:
        """Take the next bytes."""

    def hexdigest(self) -> str:
        """Return the digest of all bytes so far."""


def sha256_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    hash_file(path, digest)
    return digest.hexdigest()


def hash_file(path: Path, *hashers: Hasher) -> None:
    """Let new `hashers` take all bytes of a file, which is read once, in pieces."""
    refuse_special(path)
    memory = memoryview(bytearray(_CHUNK_BYTES))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(memory):
            for hasher in hashers:
                hasher.update(memory[:count])


def _is_left(path: Path, host: str, process: int) -> bool:
    """Return whether no process is writing this temporary file any more."""
    running = is_running(host, process)
    if running is not None:
        return not running
    try:
        return time.time() - path.stat().st_mtime > _SECONDS_TO_WRITE
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; systems that cannot open a folder (Windows) skip it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
