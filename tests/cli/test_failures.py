"""What the system refuses is named, and leaves no file behind; the command runs as a process."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

Process = Callable[..., subprocess.CompletedProcess[str]]


def test_a_link_to_itself_is_named(process: Process, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    loop = tmp_path / "in/loop.jpg"
    loop.symlink_to(loop)
    words = ("smooth", tmp_path / "in", "--operator", "guided", "--jobs", 1)
    result = process("vocsmooth", *words, "--out", tmp_path / "out")
    assert result.returncode == 1
    assert f"failed: {loop}: " in result.stderr


@pytest.fixture
def two_images(tmp_path: Path) -> Path:
    """A picture whose result is small, and one whose result is 120 kB."""
    folder = tmp_path / "in"
    folder.mkdir()
    Image.new("RGB", (20, 20)).save(folder / "small.png")
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    Image.fromarray(noise).save(folder / "large.png")
    return folder


def test_a_full_disk_is_named_and_leaves_no_partial_file(
    process: Process, two_images: Path, tmp_path: Path
) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    out = tmp_path / "out"
    words = ("smooth", two_images, "--operator", "guided", "--eps", 0.0001, "--jobs", 1)
    result = process("vocsmooth", *words, "--out", out, before=limit)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    large = two_images / "large.png"
    assert (
        f"failed: {large}: the result {out / 'large.png'} cannot be written: File too large."
        in result.stderr
    )
    assert "1 written, 0 skipped, 1 failed" in result.stdout
    assert {path for path in out.rglob("*") if path.is_file()} == {out / "small.png"}


@pytest.mark.parametrize("jobs", [1, 2])
def test_decoders_add_nothing_to_our_errors(process: Process, tmp_path: Path, jobs: int) -> None:
    """OpenCV logs what it cannot decode, Pillow warns: here of 16-bit CMYK, and a cut TIFF."""
    folder = tmp_path / "in"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", np.ones((8, 8, 4), np.uint16), photometric="separated")
    tifffile.imwrite(folder / "b.tif", np.ones((8, 8, 3), np.uint8), photometric="rgb")
    (folder / "b.tif").write_bytes((folder / "b.tif").read_bytes()[:150])
    words = ("smooth", folder, "--operator", "guided", "--jobs", jobs, "--out", tmp_path / "out")
    result = process("vocsmooth", *words)
    assert result.returncode == 1
    lines = [x for x in result.stderr.splitlines() if not x.startswith("images: ")]  # progress
    assert sorted(line.split(": ")[:2] for line in lines) == [
        ["failed", str(folder / "a.tif")],
        ["failed", str(folder / "b.tif")],
    ]


def test_a_folder_that_cannot_be_written_is_named(
    process: Process, two_images: Path, tmp_path: Path
) -> None:
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:  # root writes anywhere, unless it gives up that right
        if shutil.which("setpriv") is None:
            pytest.skip("root can write anywhere")
        prefix = ("setpriv", "--bounding-set=-dac_override")
    out = tmp_path / "out"
    out.mkdir(mode=0o555)
    words = ("smooth", two_images, "--operator", "guided", "--jobs", 1)
    result = process("vocsmooth", *words, "--out", out, prefix=prefix)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    for name in ("small.png", "large.png"):
        assert (
            f"failed: {two_images / name}: the result {out / name} cannot be written: "
            "Permission denied." in result.stderr
        )
    result = process("vocsmooth", *words, "--out", out / "deeper", prefix=prefix)
    assert result.returncode == 1
    assert f"Error: {out / 'deeper'}: cannot make folder: Permission denied." in result.stderr
    assert {path for path in out.rglob("*") if path.is_file()} == set()
