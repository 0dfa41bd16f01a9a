"""A real headless browser, for tests of pages."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest


def find_browser() -> str:
    """Return the path of Chromium or Chrome; skip the test if this machine has neither."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("needs Chromium or Chrome")
    return found


def open_page(url: str, folder: Path) -> tuple[dict[str, Any], str]:
    """Open a page that writes JSON into an element with the id "check" once it is done.

    Returns
    -------
    content : dict
        The JSON.
    messages : str
        What the browser had to say.
    """
    command = [
        *(find_browser(), "--headless", "--no-sandbox", "--disable-gpu"),
        *(f"--user-data-dir={folder}/u", "--disable-background-networking", "--no-first-run"),
        *("--enable-logging=stderr", "--window-size=1000,700", "--virtual-time-budget=20000"),
        *("--dump-dom", url),
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="check">(.*?)</pre>', run.stdout, re.DOTALL)
    assert found, run.stdout[-2000:] + run.stderr[-2000:]
    content: dict[str, Any] = json.loads(unescape(found[1]))
    return content, run.stderr
