"""Checking a shard ends, whatever HDF5 makes of a damaged one."""

import contextlib
import hashlib
import mmap
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vocsmooth.dataset import check
from vocsmooth.dataset.reading import CannotMapError, Piece, read_copied, read_mapped

LOOP = """
import re
from vocsmooth.dataset.check import _time_limit
with _time_limit({seconds}):
    re.match("(a+)+$", "a" * {letters} + "b")  # takes years, or no time, and holds Python's lock
print("ended")
"""


def run(seconds: int, letters: int) -> subprocess.CompletedProcess[str]:
    code = LOOP.format(seconds=seconds, letters=letters)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )


def test_a_process_that_hangs_outside_python_is_ended() -> None:
    result = run(1, 60)
    assert (result.returncode, result.stdout, result.stderr) == (1, "", "")


def test_one_that_does_not_goes_on() -> None:
    result = run(60, 3)
    assert (result.returncode, result.stdout, result.stderr) == (0, "ended\n", "")


def read_whole(pieces: Iterator[Piece]) -> tuple[bytes, str]:
    """Return the bytes of a file that is read in pieces, and their SHA-256."""
    digest, content = hashlib.sha256(), b""
    for piece, data, stop in pieces:
        digest.update(piece)
        content += piece
        assert data[:stop].tobytes() == content
    return content, digest.hexdigest()


def mapped(path: Path, size: int) -> Iterator[Piece]:
    """Read a file mapped, where that can be done."""
    if not can_map(path):
        pytest.skip("not every system can map so")
    return read_mapped(path, size)


def can_map(path: Path) -> bool:
    """Return whether files are mapped here."""
    with contextlib.suppress(CannotMapError):
        deque(read_mapped(path, path.stat().st_size), 0)
        return True
    return False


@pytest.mark.parametrize("size", [1, mmap.PAGESIZE, (1 << 17) + 1, 300_001, (1 << 22) + 5])
def test_a_file_is_read_and_hashed_alike_mapped_or_copied(tmp_path: Path, size: int) -> None:
    content = np.random.default_rng(size).bytes(size)
    expected = content, hashlib.sha256(content).hexdigest()
    path = tmp_path / "file"
    path.write_bytes(content)
    assert read_whole(read_copied(path, np.empty(size, np.uint8))) == expected
    assert read_whole(mapped(path, size)) == expected


def test_an_empty_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    assert check._read(path, 0, None, [hashlib.sha256]) == ([hashlib.sha256().hexdigest()], [])


@pytest.mark.parametrize("cut", [0, 5000, 1 << 17, (1 << 22) + 70_000, (1 << 22) + 250_000])
def test_a_mapped_file_that_is_cut_short_meanwhile_is_an_error(tmp_path: Path, cut: int) -> None:
    """Its pages are gone at any place before or behind the reader, who goes on and is told."""
    size = (1 << 22) + 300_001
    path = tmp_path / "file"
    content = np.random.default_rng(0).bytes(size)

    def read_and_cut(after: int) -> None:
        for number, (piece, data, stop) in enumerate(mapped(path, size)):
            if number == after:
                os.truncate(path, cut)
            hashlib.sha256(piece).digest()
            assert data[:stop].max() <= 255  # touches every page again

    for after in range(0, 35, 2):
        path.write_bytes(content)
        with pytest.raises(CannotMapError):
            read_and_cut(after)
        with pytest.raises(OSError, match=f"it ends {size - cut} bytes too early"):
            check._read(path, size, None, [hashlib.sha256])


def test_a_fault_elsewhere_is_nobodys_who_reads(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(300_000))
    if not can_map(path):
        pytest.skip("not every system can map so")
    code = "\n".join(
        [
            "import mmap, tempfile",
            "from pathlib import Path",
            "from vocsmooth.dataset.reading import read_mapped",
            "file = tempfile.TemporaryFile()",
            "file.truncate(8192)",
            "lost = mmap.mmap(file.fileno(), 8192)",
            "file.truncate(0)",
            f"next(iter(read_mapped(Path({str(path)!r}), 300_000)))",
            f"pieces = read_mapped(Path({str(path)!r}), 300_000)",
            "next(pieces)",
            "lost[5000]",
        ]
    )
    result = subprocess.run([sys.executable, "-c", code], check=False)
    assert result.returncode == -signal.SIGBUS


def test_a_file_that_is_shorter_than_it_was_is_an_error(tmp_path: Path) -> None:
    """A process that touched a page which the file lacks would be killed."""
    path = tmp_path / "file"
    path.write_bytes(bytes(300_000))
    with pytest.raises(CannotMapError):
        read_whole(read_mapped(path, 500_000))
    with pytest.raises(OSError, match="it ends 200000 bytes too early"):
        check._read(path, 500_000, None, [hashlib.sha256])
