"""Whole-or-nothing files: everything is written beside its name, synced, and renamed into place."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

_CHUNK_BYTES = 1 << 20


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
        Whatever the system reports; the temporary file is gone and `path` is as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_json(path: Path, content: object) -> None:
    """Write `content` as indented JSON with a final newline, whole or not at all."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(path, (text + "\n").encode())


def sha256_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


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
