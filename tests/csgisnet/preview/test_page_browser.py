"""The preview in a real browser: sliders change the picture, and a stopped server says so."""

from __future__ import annotations

import base64
import contextlib
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import find_browser, open_page, open_tabs
from PIL import Image
from werkzeug.serving import BaseWSGIServer

from csgisnet.preview.server import Preview, address, start
from vocsmooth.arrays import to_float, to_uint
from vocsmooth.operators.table import OPERATORS, smooth

CHECK = """
"use strict";
const errors = [];
addEventListener("error", ({ message }) => errors.push(message));
addEventListener("unhandledrejection", ({ reason }) => errors.push(String(reason)));
addEventListener("securitypolicyviolation", ({ blockedURI }) => errors.push(blockedURI));
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const until = async (reached) => {
  for (let i = 0; i < 400 && !reached(); i++) await wait(20);
  return reached();
};
const settled = () => $("after").complete && !$("frame").classList.contains("waiting");
const change = async (control, value) => {
  const before = $("after").src;
  control.value = value;
  control.dispatchEvent(new Event("input", { bubbles: true }));
  await until(() => $("after").src !== before && settled());
};
const slider = (name) => $("parameters").querySelector(`[name="${name}"]`);

async function check() {
  const result = { errors };
  await until(() => offer && $("after").src && settled());
  result.size = [$("after").naturalWidth, $("after").naturalHeight];
  result.methods = [...field("method").options].map((one) => one.text);
  result.photograph = field("photograph").options[0].text;
  await change(field("method"), "guided");
  result.command = [$("command").textContent];
  const first = $("after").src;
  await change(slider("radius"), 500);
  result.changed = $("after").src !== first;
  result.radius = slider("radius").dataset.value;
  result.command.push($("command").textContent);
  $("split").value = 25;
  $("split").dispatchEvent(new Event("input", { bubbles: true }));
  result.clip = getComputedStyle($("before")).clipPath;
  await change(field("method"), "l0");
  result.parameters = [...$("parameters").querySelectorAll("[name]")].map((one) => one.name);
  field("zoom").value = "4";
  field("zoom").dispatchEvent(new Event("input", { bubbles: true }));
  result.shown = $("after").getBoundingClientRect().width * devicePixelRatio;
  field("photograph").selectedIndex = 1;
  field("photograph").dispatchEvent(new Event("input", { bubbles: true }));
  await until(() => !$("error").hidden);
  result.broken = $("error").textContent;
  await fetch("/stop");
  $("defaults").click();
  await until(() => $("error").textContent.includes("stopped"));
  result.gone = $("error").textContent;
  return result;
}
addEventListener("load", async () => {
  const out = document.createElement("pre");
  out.id = "check";
  out.textContent = JSON.stringify(await check().catch((error) => ({ errors: [String(error)] })));
  document.body.append(out);
});
"""

ENTER = """(() => {{
  const control = {control};
  control.value = "{value}";
  return control.dispatchEvent(new Event("input", {{ bubbles: true }}));
}})()"""

SHOWN = """(() => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [$("after").naturalWidth, $("after").naturalHeight];
  canvas.getContext("2d").drawImage($("after"), 0, 0);
  return canvas.toDataURL();
})()"""


class Checked:
    """The application with the check in its page, and an address that stops the server."""

    def __init__(self, preview: Preview) -> None:
        self.preview = preview
        self.server: BaseWSGIServer | None = None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        if path == "/stop":
            assert self.server is not None
            threading.Thread(target=self.stop).start()
            start_response("200 OK", [])
            return [b""]
        if path.endswith("/check.js"):
            start_response("200 OK", [("Content-Type", "text/javascript; charset=utf-8")])
            return [CHECK.encode()]
        body = b"".join(self.preview(environ, lambda *head: start_response(*drop_length(*head))))
        return [body.replace(b"</body>", b'<script src="check.js"></script></body>')]

    def stop(self) -> None:
        """Stop answering, as a server that was killed does."""
        assert self.server is not None
        self.server.shutdown()
        self.server.server_close()


def drop_length(status: str, headers: list[tuple[str, str]]) -> tuple[str, list[tuple[str, str]]]:
    """Return a response's head without its length, which the check changes."""
    return status, [(name, value) for name, value in headers if name != "Content-Length"]


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    find_browser()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    hostile, broken = tmp_path / "<img src=x onerror=alert(1)>.png", tmp_path / "broken.png"
    hostile.write_bytes(buffer.getvalue())
    broken.write_bytes(buffer.getvalue()[:100])
    checked = Checked(Preview([hostile, broken], ["compact"], device="cpu"))
    checked.server = server = start(checked)  # type: ignore[arg-type]
    with serving(server):
        yield address(checked.preview, server)


@contextlib.contextmanager
def serving(server: BaseWSGIServer) -> Iterator[None]:
    """Let a server answer until the context ends."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_page_works_in_a_browser(url: str, tmp_path: Path) -> None:
    found, _ = open_page(url, tmp_path)
    assert found["errors"] == []
    assert found["size"] == [60, 40]
    assert found["methods"] == [*OPERATORS, "compact (network)"]
    assert found["photograph"].endswith("<img src=x onerror=alert(1)>.png")
    assert found["changed"]
    assert found["radius"] == "13"
    assert found["command"][0].endswith("--operator guided --out smoothed")
    assert found["command"][1].endswith("--operator guided --radius 13 --out smoothed")
    assert found["clip"] == "inset(0px 75% 0px 0px)"
    assert found["parameters"] == ["lam", "kappa"]
    assert found["shown"] == 240
    assert "broken.png" in found["broken"]
    assert found["gone"].startswith("The preview's server has stopped.")


def test_two_tabs_show_each_their_own(tmp_path: Path) -> None:
    """Their requests take turns; each tab ends with what its own slider says."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    preview = Preview([tmp_path / "photo.png"], device="cpu")
    find_browser()
    server = start(preview)
    with serving(server), open_tabs(address(preview, server), tmp_path, 2) as tabs:
        for tab in tabs:
            assert tab("typeof offer === 'object' && $('after').src")
            assert tab(ENTER.format(control="field('method')", value="guided"))
        for place in (900, 100, 500):
            for number, tab in enumerate(tabs):
                radius = "$('parameters').querySelector('[name=radius]')"
                assert tab(ENTER.format(control=radius, value=place + 100 * number))
        radii = []
        for tab in tabs:
            radii.append(int(tab("$('parameters').querySelector('[name=radius]').dataset.value")))
            assert tab(
                f"$('command').textContent.includes('--radius {radii[-1]} ')"
                " && !$('frame').classList.contains('waiting')"
            )
            data = base64.b64decode(tab(SHOWN).partition(",")[2])
            shown = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
            expected = smooth(to_float(pixels), "guided", radius=radii[-1])
            np.testing.assert_array_equal(shown, to_uint(expected, np.uint8))
    assert radii[0] != radii[1]
