"""The page that shows a dataset: its data, and what it does in a browser where there is one."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vocsmooth.errors import InputError
from vocsmooth.shards.entries import Index, LeftOutEntry
from vocsmooth.shards.index import read_index, write_object
from vocsmooth.shards.reader import open_dataset
from vocsmooth.views.page import choose_side, make_page, write_report

SCORES = {"a_1": 0.9, "b_2": 0.5, "c_3": 0.7}
HOSTILE = "</script><script>document.title = 'broken'</script>@SCRIPT@"

CHECK = """
<script>
"use strict";
const errors = [];
addEventListener("error", ({ message }) => errors.push(message));
addEventListener("securitypolicyviolation", ({ blockedURI }) => errors.push(blockedURI));
const set = (name, value) => {
  const control = controls.elements[name];
  control[control.type === "checkbox" ? "checked" : "value"] = value;
  control.dispatchEvent(new Event("input", { bubbles: true }));
};
const shown = () => [...document.querySelectorAll("article h2")].map((h) => h.textContent.trim());
const only = (filters) => {
  for (const [name, value] of Object.entries(filters)) set(name, value);
  const ids = shown();
  for (const name of Object.keys(filters)) set(name, name === "failed" ? false : "");
  return ids;
};
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

async function check() {
  const result = { errors };
  const compare = document.querySelector(".compare");
  const left = compare.querySelector(".left");
  const slider = compare.querySelector("input");
  result.decoded = [left.naturalWidth, left.naturalHeight];
  const clip = () => getComputedStyle(left).clipPath;
  result.clip = [clip()];
  slider.value = 80;
  slider.dispatchEvent(new Event("input"));
  result.clip.push(clip());
  result.all = shown();
  result.val = only({ split: "val" });
  set("operator", "l0(lam=0.5)");
  result.unscored = document.querySelectorAll("#plots svg").length;
  set("operator", "");
  result.dog = only({ class: "dog" });
  result.scored = only({ low: "0.6" });
  result.between = only({ low: "0.6", high: "0.8" });
  result.operator = only({ operator: "l0(lam=0.5)" });
  result.found = only({ id: "_2" });
  result.failed = only({ failed: true });
  set("order", "worst");
  result.worst = shown().slice(0, 3);
  set("order", "best");
  result.best = shown().slice(0, 3);
  controls.reset();
  await wait(50);
  result.reset = shown();
  const before = document.querySelector(".left").src;
  set("left", "edge");
  result.changed = document.querySelector(".left").src !== before;
  set("overlay", true);
  result.overlay = !document.querySelector(".overlay").hidden;
  document.querySelector("article h2 button").click();
  result.viewer = [...viewer.querySelectorAll("figcaption")].map((one) => one.textContent);
  viewer.close();
  result.plots = [...document.querySelectorAll("#plots svg")].map((one) => one.children.length > 0);
  result.leftOut = document.querySelector("#left-out tbody").textContent;
  result.title = document.title;
  scrollTo(0, document.body.scrollHeight);
  for (let i = 0; i < 100 && shown().length === result.reset.length; i++) await wait(50);
  result.scrolled = shown().length;
  return result;
}
// On load all pictures are decoded: virtual time does not wait for what other threads do.
addEventListener("load", async () => {
  const out = document.createElement("pre");
  out.id = "check";
  out.textContent = JSON.stringify(
    await check().catch((error) => ({ errors: [String(error)] })),
  );
  document.body.append(out);
});
</script>
</body>"""


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    content: dict[str, Any] = json.loads(found[1])
    return content


def decode(uri: str) -> NDArray[np.uint8]:
    head, body = uri.split(",")
    assert head == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(body))) as picture:
        return np.asarray(picture)


@pytest.fixture(scope="module")
def screened(pristine_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset with scores, another operator, a failed check and a photograph left out."""
    root = shutil.copytree(pristine_dataset, tmp_path_factory.mktemp("screened") / "dataset")
    index = read_index(root)
    images = []
    for image in index.images:
        label = image.provenance["label"] | {"score": SCORES.get(image.id)}
        checks = image.provenance["negatives"]
        if image.id == "v_1":
            label |= {"operator": "l0", "params": {"lam": 0.5}}
            checks = checks | {"over": {"worse": False}}
        provenance = {**image.provenance, "label": label, "negatives": checks}
        images.append(replace(image, provenance=provenance))
    left_out = LeftOutEntry(
        id="bad_9", split="val", kind="rejected", reason="too weak", provenance={}
    )
    write_object(root / "index.json", replace(index, images=tuple(images), left_out=(left_out,)))
    return root


@pytest.fixture(scope="module")
def page(screened: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    summary = write_report(screened, path, jobs=1)
    assert (summary.photographs, summary.side) == (7, 320)
    assert summary.bytes == path.stat().st_size
    return path.read_text(encoding="utf-8")


def test_every_photograph_is_there_with_all_maps(page: str, screened: Path) -> None:
    data = data_of(page)
    index = read_index(screened)
    assert [one["id"] for one in data["photographs"]] == [image.id for image in index.images]
    assert data["maps"] == ["input", "texture", "under", "label", "edge", "mask", "over"]
    first = data["photographs"][0]
    assert first["operator"] == "guided()"
    assert first["score"] == 0.9
    assert first["classes"] == ["dog"]
    assert [one["failed"] for one in data["photographs"]] == [[]] * 5 + [["over"], []]
    assert set(first["thumbnails"]) == set(data["maps"])
    assert data["leftOut"][0]["reason"] == "too weak"


def test_thumbnails_show_the_maps_of_the_first_input(page: str, screened: Path) -> None:
    maps = open_dataset(screened).split("train").read(0, ("input", "label", "edge", "mask"))
    shown = data_of(page)["photographs"][0]["thumbnails"]
    for name in ("input", "label"):
        assert decode(shown[name]).shape == maps[name].shape
        other = "label" if name == "input" else "input"
        near, far = (
            np.abs(decode(shown[name]).astype(int) - maps[which]).mean() for which in (name, other)
        )
        assert near < 8
        assert near < far / 2
    background = maps["mask"] == 0
    np.testing.assert_array_equal(decode(shown["mask"])[..., 3] == 0, background)


def test_thumbnails_shrink_to_the_side_asked_for(screened: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(screened, path, side=20, jobs=1)
    shapes = [
        max(decode(uri).shape[:2])
        for one in data_of(path.read_text(encoding="utf-8"))["photographs"]
        for uri in one["thumbnails"].values()
    ]
    assert set(shapes) == {20}


def test_a_page_without_a_folder_is_refused_before_the_work(
    pristine_dataset: Path, tmp_path: Path
) -> None:
    told: list[int] = []
    with pytest.raises(InputError, match="no does not exist"):
        write_report(
            pristine_dataset, tmp_path / "no/page", progress=lambda *done: told.extend(done)
        )
    assert told == []


@pytest.mark.parametrize(
    ("count", "least", "most"), [(0, 320, 320), (100, 320, 320), (3000, 100, 200)]
)
def test_thumbnails_get_smaller_where_there_are_many(
    pristine_dataset: Path, count: int, least: int, most: int
) -> None:
    index = read_index(pristine_dataset)
    many: Index = replace(index, images=(index.images[0],) * count)
    assert least <= choose_side(many) <= most


def test_a_page_loads_nothing_and_lets_no_id_out_of_its_data(screened: Path, page: str) -> None:
    index = read_index(screened)
    first = replace(index.left_out[0], id=HOSTILE)
    hostile = make_page(replace(index, left_out=(first,)), data_of(page)["photographs"])
    assert hostile.count("</script>") == page.count("</script>") == 2
    assert data_of(hostile)["leftOut"][0]["id"] == HOSTILE
    assert "default-src 'none'" in page
    assert set(re.findall(r"https?://[^\s\"']+", page)) == {"http://www.w3.org/2000/svg"}


@pytest.fixture(scope="module")
def browser() -> str:
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("needs Chromium or Chrome")
    return found


def look(browser: str, page: str, folder: Path) -> tuple[dict[str, Any], str]:
    """Open a page with the check in it; return what the check found and the browser's messages."""
    path = folder / "checked.html"
    path.write_text(page.replace("</body>", CHECK), encoding="utf-8")
    command = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={folder}/u",
    ]
    command += ["--disable-background-networking", "--no-first-run", "--enable-logging=stderr"]
    command += [
        "--window-size=1000,700",
        "--virtual-time-budget=20000",
        "--dump-dom",
        path.as_uri(),
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="check">(.*?)</pre>', run.stdout, re.DOTALL)
    assert found, run.stdout[-2000:] + run.stderr[-2000:]
    content: dict[str, Any] = json.loads(unescape(found[1]))
    return content, run.stderr


def test_the_page_works_in_a_browser(
    browser: str, page: str, screened: Path, tmp_path: Path
) -> None:
    photographs = data_of(page)["photographs"]
    photographs[3]["classes"] = ["cat"]
    found, messages = look(browser, make_page(read_index(screened), photographs), tmp_path)
    assert found["errors"] == []
    assert "CONSOLE" not in messages
    everything = ["a_1", "b_2", "c_3", "d_4", "é_5", "v_1", "w_2"]
    assert found["all"] == found["reset"] == everything
    assert found["dog"] == [*everything[:3], *everything[4:]]
    assert found["decoded"] == [56, 40]
    assert found["clip"] == ["inset(0px 50% 0px 0px)", "inset(0px 20% 0px 0px)"]
    assert found["val"] == ["v_1", "w_2"]
    assert found["scored"] == ["a_1", "c_3"]
    assert found["between"] == ["c_3"]
    assert found["operator"] == found["failed"] == ["v_1"]
    assert found["found"] == ["b_2", "w_2"]
    assert found["worst"] == ["b_2", "c_3", "a_1"]
    assert found["best"] == ["a_1", "c_3", "b_2"]
    assert found["changed"]
    assert found["overlay"]
    assert found["viewer"] == ["input", "texture", "under", "label", "edge", "mask", "over"]
    assert found["plots"] == [True] * 3
    assert found["unscored"] == 2
    assert found["leftOut"] == "bad_9valtoo weak"


def test_cards_are_added_as_one_scrolls(
    browser: str, page: str, screened: Path, tmp_path: Path
) -> None:
    index = read_index(screened)
    photographs = data_of(page)["photographs"] * 60
    found, _ = look(browser, make_page(index, photographs), tmp_path)
    assert found["errors"] == []
    assert len(found["all"]) < len(photographs)
    assert len(found["reset"]) < found["scrolled"] <= len(photographs)


def test_an_id_that_looks_like_a_program_is_shown_as_it_is(
    browser: str, page: str, screened: Path, tmp_path: Path
) -> None:
    index = read_index(screened)
    first, *others = data_of(page)["photographs"]
    left_out = replace(index.left_out[0], id=HOSTILE)
    hostile = make_page(replace(index, left_out=(left_out,)), [{**first, "id": HOSTILE}, *others])
    found, _ = look(browser, hostile, tmp_path)
    assert found["errors"] == []
    assert found["all"][0] == HOSTILE
    assert found["leftOut"].startswith(HOSTILE)
    assert found["title"] == "VOC-smooth"
