"""The wheel holds every module, recipe and configuration, and nothing else at the top level."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

_PACKAGED = (".py", ".toml", ".txt", ".typed", ".html", ".css", ".js", ".md", ".safetensors")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of what git does not ignore."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    copy = tmp_path_factory.mktemp("source")
    for name in filter(None, tracked.decode().split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    return copy


@pytest.fixture(scope="module")
def wheel_names(source: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Build the wheel and list its files."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-q", "-w", folder, source], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_source_distribution_holds_every_tracked_file(
    source: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Tests with what they share, and all that the README points to."""
    before = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    folder = tmp_path_factory.mktemp("sdist")
    code = f"from setuptools import build_meta; build_meta.build_sdist({str(folder)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    left_out = {".gitignore"}
    assert before - names - left_out == set()


def test_every_file_of_the_packages_is_in_the_wheel(wheel_names: set[str]) -> None:
    folders = {"vocsmooth": "vocsmooth", "csgisnet": "csgisnet", "cli": "vocsmooth_cli"}
    folders |= {"manifests": "vocsmooth/manifests"}
    for folder, installed in folders.items():
        for path in (ROOT / folder).glob("**/*"):
            if path.suffix in _PACKAGED:
                assert f"{installed}/{path.relative_to(ROOT / folder)}" in wheel_names


def test_the_wheel_installs_no_other_top_level_name(wheel_names: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel_names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "vocsmooth",
        "csgisnet",
        "vocsmooth_cli",
    }
