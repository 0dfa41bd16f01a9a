"""The wheel holds every module, recipe and configuration, and nothing else at the top level."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

_PACKAGED = (".py", ".toml", ".txt", ".typed", ".html", ".css", ".js", ".md", ".safetensors")


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Build the wheel from a copy of what git does not ignore, and list its files."""
    folder = tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    source = folder / "source"
    for name in filter(None, tracked.decode().split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-q", "-w", folder, source], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


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
