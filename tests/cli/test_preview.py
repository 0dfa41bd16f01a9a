"""`vocsmooth preview`: a server that a real client can use, and that ends when it is told to."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image
from vocsmooth_cli.dataset import main


def test_it_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    Image.new("RGB", (20, 10), "teal").save(tmp_path / "a.png")
    command = [sys.executable, "-m", "vocsmooth", "preview", str(tmp_path), "--no-browser"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        url = run.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{url}smoothed?photograph=0&method=1") as answer:
            assert answer.read().startswith(b"\x89PNG")
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(url.rsplit("/", 2)[0])
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=30)
    assert (run.returncode, errors.splitlines()) == (0, ["Press Ctrl-C to stop.", "Stopped."])


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["missing.png"], 1, "No file or folder missing.png"),
        (["."], 1, "No images in ."),
        ([__file__, "--checkpoint", "unknown"], 2, "names no bundled network"),
    ],
)
def test_what_cannot_be_shown_is_said_at_once(
    words: list[str], code: int, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["preview", *words, "--no-browser"])
    assert result.exit_code == code
    assert reason in result.output
