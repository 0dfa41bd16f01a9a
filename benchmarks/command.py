"""The command of a benchmark, as its results record it: without the paths of one machine."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def recorded_command() -> str:
    """Return the command line; of files and folders outside the checkout only the names.

    The folder of the checkout is the working directory of whoever repeats the command.
    """
    module = Path(sys.argv[0]).resolve().relative_to(ROOT).with_suffix("")
    return shlex.join(["python", "-m", ".".join(module.parts), *map(_portable, sys.argv[1:])])


def _portable(word: str) -> str:
    """Shorten an argument that is a path out of the checkout."""
    if os.sep not in word or (Path.cwd() / word).resolve().is_relative_to(ROOT):
        return word
    return Path(word).name
