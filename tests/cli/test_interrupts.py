"""Ctrl-C says how to go on and exits as shells expect; the same command then completes the work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def interrupt(words: tuple[object, ...], ready: Path) -> subprocess.CompletedProcess[str]:
    """Run a command, and interrupt it when `ready` exists."""
    command = [sys.executable, "-m", *map(str, words)]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as process:
        deadline = time.monotonic() + 60
        while not ready.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Pictures that take a second each, after one that takes none."""
    folder = tmp_path / "in"
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(folder / "0.png")
    noise = np.random.default_rng(0).integers(0, 256, (400, 500, 3), np.uint8)
    for number in range(1, 9):
        Image.fromarray(noise).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("jobs", [1, 2])
def test_smooth_says_how_to_go_on(photos: Path, tmp_path: Path, jobs: int) -> None:
    out = tmp_path / "out"
    words = ("vocsmooth", "smooth", photos, "--operator", "sd", "--jobs", jobs, "--out", out)
    result = interrupt(words, out / "0.png")
    assert result.returncode == 130, result.stderr
    last = result.stderr.splitlines()[-1]
    assert last == "Interrupted. The same command with --skip-existing continues where it stopped."
    assert "Traceback" not in result.stderr
    assert all(path.suffix == ".png" for path in out.iterdir())  # no temporary file is left


def test_build_says_how_to_go_on(pristine_tree: Path, recipe_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    recipe = tmp_path / "slow.toml"
    recipe.write_text(recipe_file.read_text().replace('operator = "guided"', 'operator = "sd"', 1))
    words = ("build", "--voc-root", pristine_tree, "--manifest", recipe, "--out", out, "--jobs", 1)
    result = interrupt(("vocsmooth", *words), out / "plan.json")
    assert result.returncode == 130, result.stderr
    assert result.stderr.splitlines()[-1] == (
        "Interrupted. The same command continues where it stopped."
    )
    assert not (out / "index.json").exists()
