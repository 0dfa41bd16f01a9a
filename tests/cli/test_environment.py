"""What `vocsmooth info` says for a bug report, and what a broken installation looks like."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import torch
from click.testing import Result
from PIL import Image

import vocsmooth as package

Command = Callable[..., Result]


def test_info_names_versions_kernels_and_the_machine(vocsmooth: Command) -> None:
    result = vocsmooth("info")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == f"vocsmooth {package.__version__}"
    assert f"torch {torch.__version__}" in lines
    assert any(line.startswith(f"opencv {cv2.__version__} (opencv-") for line in lines)
    for name in (
        "kernels",
        "reading of shards",
        "python",
        "platform",
        "cores",
        "instructions",
        "accelerators",
        "precision",
    ):
        assert any(line.startswith(f"{name}: ") for line in lines), name


def test_info_as_json_says_the_same(vocsmooth: Command) -> None:
    found = json.loads(vocsmooth("info", "--json").stdout)
    lines = vocsmooth("info").stdout.splitlines()
    assert all(f"{name} {version}" in lines for name, version in found["packages"].items())
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))


def test_info_of_a_dataset_as_json(vocsmooth: Command, built: Path) -> None:
    found = json.loads(vocsmooth("info", built, "--json").stdout)
    index = json.loads((built / "index.json").read_text())
    assert found["digest"] == index["digest"]
    assert found["totals"] == index["totals"]
    assert [shard["sha256"] for shard in found["shards"]] == [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(built.glob("*.h5"))
    ]


@pytest.fixture
def without_libgl(tmp_path: Path) -> dict[str, str]:
    """An environment whose OpenCV fails as the one that misses libGL does."""
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object')")
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def run(environment: dict[str, str], *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vocsmooth", *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_info_says_which_package_cannot_be_imported(without_libgl: dict[str, str]) -> None:
    result = run(without_libgl, "info")
    assert result.returncode == 1
    assert "opencv broken (libGL.so.1: cannot open shared object)" in result.stdout
    assert result.stderr.startswith("Error: opencv is needed and cannot be used: broken (libGL")


def test_commands_say_in_one_line_which_package_cannot_be_imported(
    without_libgl: dict[str, str], tmp_path: Path
) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    result = run(
        without_libgl, "smooth", tmp_path / "a.png", "--operator", "rtv", "--out", tmp_path / "out"
    )
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert "cannot be imported: libGL.so.1" in result.stderr
    assert "vocsmooth info" in result.stderr


@pytest.mark.parametrize("name", ["vocsmooth", "csgisnet"])
def test_the_commands_run_as_modules_and_say_their_version(name: str) -> None:
    for flag in ("-V", "--version"):
        result = subprocess.run(
            [sys.executable, "-m", name, flag], capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr
        assert package.__version__ in result.stdout


def test_a_log_gets_a_first_and_a_last_line_of_progress(vocsmooth: Command, tmp_path: Path) -> None:
    for number in range(5):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
    words = ("smooth", tmp_path, "--operator", "guided", "--out", tmp_path / "out", "--jobs", 1)
    result = vocsmooth(*words)
    assert result.exit_code == 0, result.output
    progress = [line for line in result.stderr.splitlines() if line.startswith("images: ")]
    assert progress == ["images: 1 of 5", "images: 5 of 5 in 0:00:00"]


def test_lines_of_progress_say_rate_and_time_left(
    vocsmooth: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vocsmooth_cli.progress._SECONDS_BETWEEN_LINES", 0)
    for number in range(4):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
    words = ("smooth", tmp_path, "--operator", "guided", "--out", tmp_path / "out", "--jobs", 1)
    lines = [line for line in vocsmooth(*words).stderr.splitlines() if line.startswith("images: ")]
    assert re.fullmatch(r"images: 2 of 4, [\d.e+]+ a second, 0:00:\d\d left", lines[1])
    assert len(lines) == 4
