"""Checking a shard ends, whatever HDF5 makes of a damaged one."""

import subprocess
import sys

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
