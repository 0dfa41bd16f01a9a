"""Checking a shard ends, whatever HDF5 makes of a damaged one."""

import hashlib
import mmap
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vocsmooth.dataset import check

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


@pytest.mark.parametrize("size", [0, 1, mmap.PAGESIZE, (1 << 17) + 1, 300_001])
def test_a_file_is_read_and_hashed_alike_mapped_or_copied(tmp_path: Path, size: int) -> None:
    content = np.random.default_rng(size).bytes(size)
    path = tmp_path / "file"
    path.write_bytes(content)
    ways = [check._read(path, size), check._copy(path, size), check._map(path, size)]
    for way in ways[: 3 if ways[2] else 2]:  # not every system can map so
        assert way is not None
        data, digest = way
        assert data.tobytes() == content
        assert digest == hashlib.sha256(content).hexdigest()


def test_a_file_that_is_shorter_than_it_was_is_an_error(tmp_path: Path) -> None:
    """A process that touched a page which the file lacks would be killed."""
    path = tmp_path / "file"
    path.write_bytes(bytes(300_000))
    assert check._map(path, 500_000) is None
    with pytest.raises(OSError, match="it ends 200000 bytes too early"):
        check._read(path, 500_000)
