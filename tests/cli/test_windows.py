"""The commands work without what Python lacks on Windows; see support/windows/sitecustomize.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pictures import noise, pixels_of
from PIL import Image

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

SUPPORT = Path(__file__).parents[1] / "support/windows"

RUN = """
import json, sys
from {module} import main
for words in json.loads(sys.argv[1]):
    try:
        main(words)
    except SystemExit as end:
        if end.code:
            sys.exit(f"{{words}}: {{end.code}}")
"""


def python(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python that lacks what it lacks on Windows, as do its children."""
    environment = {**os.environ, "PYTHONPATH": str(SUPPORT), "PYTHONSAFEPATH": "1"}
    line = [sys.executable, "-c", code, *words]
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False)


def run(module: str, *commands: list[object]) -> str:
    """Run commands one after the other in one process; return what they print."""
    words = json.dumps([[str(word) for word in command] for command in commands])
    result = python(RUN.format(module=module), words)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import fcntl", "ModuleNotFoundError"),
        ("import os; os.fork()", "AttributeError"),
        ("import os; os.open('.', os.O_RDONLY)", "PermissionError"),
        ("from signal import SIGALRM", "ImportError"),
        ("import ctypes; ctypes.CDLL(None)", "TypeError"),
        ("import os; file = open('a', 'w'); os.replace('a', 'b')", "PermissionError"),
        ("import sys; sys.exit(sys.platform != 'win32')", ""),
    ],
)
def test_what_is_missing_is_missed(
    code: str, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = python(f"exec({code!r}, {{'__name__': 'vocsmooth.somewhere'}})")
    assert (result.returncode != 0) == bool(error)
    assert error in result.stderr


def test_datasets_and_operators(
    pristine_tree: Path, recipe_file: Path, built: Path, tmp_path: Path
) -> None:
    Image.fromarray(noise(12, 16, 3)).save(tmp_path / "a.png")
    out = tmp_path / "built"
    stdout = run(
        "vocsmooth_cli.dataset",
        ["sample", tmp_path / "sample"],
        ["generate", tmp_path / "scenes", "--train", 1, "--val", 0, "--size", "48x32"],
        ["build", "--voc-root", pristine_tree, "--manifest", recipe_file, "-o", out, "--jobs", 2],
        ["verify", out, "--jobs", 2],
        ["smooth", tmp_path / "a.png", "--operator", "guided", "-o", tmp_path / "out"],
    )
    assert "intact" in stdout
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        path.name: path.read_bytes() for path in built.iterdir()
    }
    assert pixels_of(tmp_path / "out/a.png").shape == (12, 16, 3)


def test_networks(built: Path, config_file: Path, tmp_path: Path) -> None:
    Image.fromarray(noise(12, 16, 3)).save(tmp_path / "a.png")
    runs = ["--out", tmp_path / "run", "--device", "cpu"]
    run(
        "vocsmooth_cli.network",
        ["train", "--data", built, "--config", config_file, "--ablate", "contrast,semantic", *runs],
        ["predict", tmp_path / "a.png", "--checkpoint", tmp_path / "run", "-o", tmp_path / "out"],
    )
    assert np.ptp(pixels_of(tmp_path / "out/a.png")) > 0
    assert list(tmp_path.glob(".*.lock")) == []
