"""A shard that something cuts short while `verify` reads it is a problem, with its name."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from vocsmooth.dataset.build import build_dataset
from vocsmooth.maps.recipe import Recipe
from vocsmooth.settings import from_dict
from vocsmooth.shards import native
from vocsmooth.sources.tree import Entry, write_tree

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or native.library is None, reason="files are not mapped here"
)

VERIFY = """
from vocsmooth.dataset.verify import verify_dataset
for problem in verify_dataset({root!r}, jobs={jobs}, fresh=True).problems:
    print(problem.shard, problem.field, problem.message)
"""

RECIPE = {
    "labels": {"fixed": {"operator": "guided"}},
    "textures": {"count": 1},
    "shards": {"images": 1},
    "val_fraction": 0.0,
}

SHARD = "train-00001.h5"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of three shards of 30 MB, long enough to cut one short while it is read."""
    folder = tmp_path_factory.mktemp("large")
    pixels = np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), np.uint8)
    entries = [Entry(name, pixels, np.zeros(pixels.shape[:2], np.uint8)) for name in "abc"]
    write_tree(folder / "voc", {"train": list("abc")}, entries, sources="noise", suffix=".jpg")
    recipe = from_dict(Recipe, RECIPE, "the test recipe")
    build_dataset(folder / "voc", folder / "out", recipe, splits=("train",), jobs=2)
    return folder / "out"


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("cut", [0, 100_000, 20_000_001])
def test_is_one_problem_and_no_traceback(large: Path, jobs: int, cut: int) -> None:
    path = large / SHARD
    whole = path.read_bytes()
    command = [sys.executable, "-c", VERIFY.format(root=str(large), jobs=jobs)]
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **piped) as process:  # type: ignore[call-overload]
        while process.poll() is None and not is_mapped(path, process.pid):
            time.sleep(0.001)
        was_running = process.poll() is None
        os.truncate(path, cut)
        out, err = process.communicate()
    path.write_bytes(whole)
    assert was_running
    assert err == ""
    assert process.returncode == 0
    found = out.splitlines()
    if not found:  # every byte had been read before the file was cut
        return
    (line,) = found
    assert line.startswith(SHARD)
    assert "crashes" not in line
    assert f"it ends {len(whole) - cut} bytes too early" in line or f"{cut} bytes" in line


def is_mapped(path: Path, parent: int) -> bool:
    """Return whether a process that another one started has mapped a file."""
    return any(maps_file(folder, path, parent) for folder in Path("/proc").glob("[0-9]*"))


def maps_file(process: Path, path: Path, parent: int) -> bool:
    """Return whether a process, by its folder in /proc, is a child that has mapped a file."""
    try:
        found = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        return found == parent and str(path) in (process / "maps").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
