"""Photograph our pages in a real Chromium: the preview at work, and the start of the documentation.

Example: make docs && PYTHONPATH=tests/support python -m benchmarks.screenshots benchmarks/results
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.server
import io
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from browser import photograph_page
from PIL import Image

from vocsmooth.files import write_atomically
from vocsmooth.sources.photographs import bundled_folder

SITE = Path(__file__).parents[1] / "docs/site"

LOADED = (
    'document.readyState === "complete" && document.images.length > 0',
    "[...document.images].every((one) => one.complete && one.naturalWidth)",
)

SETTLED = '$("after").complete && $("after").src && !$("frame").classList.contains("waiting")'

STEPS = (
    f"offer && {SETTLED}",
    'field("method").value = "rtv"; field("method").dispatchEvent(new Event("input", '
    "{bubbles: true})); true",
    f'$("command").textContent.includes("rtv") && {SETTLED}',
    '$("split").value = 45; $("split").dispatchEvent(new Event("input", {bubbles: true})); true',
)
"""What a visitor of the preview does: chooses RTV, and draws the slider over the picture."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder of preview.jpg and start.jpg")
    out: Path = parser.parse_args().out
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        with documentation() as url:
            start = photograph_page(url, Path(folder), LOADED, (1280, 1000))
        write_jpeg(out / "start.jpg", start)
        shutil.copy(bundled_folder() / "coffee.png", Path(folder) / "coffee.png")
        with preview(Path(folder)) as url:
            at_work = photograph_page(url, Path(folder), STEPS, (960, 790))
        write_jpeg(out / "preview.jpg", at_work)


@contextlib.contextmanager
def documentation() -> Iterator[str]:
    """Serve the documentation, whose search needs a server; the address of its start."""
    handler = functools.partial(SilentHandler, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/index.html"
        server.shutdown()


class SilentHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def preview(folder: Path) -> Iterator[str]:
    """Serve the preview of a picture in a folder; the address."""
    command = [sys.executable, "-m", "vocsmooth", "preview", "coffee.png", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder) as server:
        assert server.stdout is not None
        try:
            line = next(line for line in server.stdout if "http://" in line)
            yield next(word for word in line.split() if word.startswith("http://"))
        finally:
            server.terminate()


def write_jpeg(path: Path, png: bytes) -> None:
    encoded = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(encoded, "JPEG", quality=85)
    write_atomically(path, encoded.getvalue())


if __name__ == "__main__":
    main()
