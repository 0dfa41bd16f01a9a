"""The page of a dataset in a browser: filters, sorting, the viewer, and hostile names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from browser import open_page
from helpers import data_of

from vocsmooth.shards.index import read_index
from vocsmooth.views.page import make_page

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
  result.count = document.getElementById("count").textContent;
  result.leftOutHead = document.querySelector("#left-out h2").textContent;
  scrollTo(0, document.body.scrollHeight);
  // What comes into view is looked for when a frame is drawn: wait for frames, not for time.
  const { photographs } = JSON.parse(document.getElementById("data").textContent);
  const more = result.reset.length < photographs.length;
  for (let i = 0; more && i < 100 && shown().length === result.reset.length; i++) {
    await new Promise(requestAnimationFrame);
    await wait(10);
  }
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


def look(page: str, folder: Path) -> tuple[dict[str, Any], str]:
    """Open a page with the check in it; return what the check found and the browser's messages."""
    path = folder / "checked.html"
    path.write_text(page.replace("</body>", CHECK), encoding="utf-8")
    return open_page(path.as_uri(), folder)


def test_the_page_works_in_a_browser(page: str, screened: Path, tmp_path: Path) -> None:
    photographs = data_of(page)["photographs"]
    photographs[3]["classes"] = ["cat"]
    left_out = data_of(page)["leftOut"]
    found, messages = look(make_page(read_index(screened), photographs, left_out), tmp_path)
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
    assert found["count"] == "7 of 7 photographs"
    assert found["leftOutHead"] == "Left out: 1"


def test_cards_are_added_as_one_scrolls(page: str, screened: Path, tmp_path: Path) -> None:
    index = read_index(screened)
    photographs = data_of(page)["photographs"] * 60
    found, _ = look(make_page(index, photographs, []), tmp_path)
    assert found["errors"] == []
    assert len(found["all"]) < len(photographs)
    assert len(found["reset"]) < found["scrolled"] <= len(photographs)


def test_a_page_of_a_sample_says_so(page: str, screened: Path, tmp_path: Path) -> None:
    photographs = data_of(page)["photographs"][::2]
    found, _ = look(make_page(read_index(screened), photographs, []), tmp_path)
    assert found["errors"] == []
    assert found["count"] == "4 of 4 photographs, a sample of the dataset's 7"
    assert found["leftOutHead"] == "Left out: 1, of which 0 are listed"


def test_an_id_that_looks_like_a_program_is_shown_as_it_is(
    page: str, screened: Path, tmp_path: Path
) -> None:
    index = read_index(screened)
    first, *others = data_of(page)["photographs"]
    left_out = [{**data_of(page)["leftOut"][0], "id": HOSTILE}]
    hostile = make_page(index, [{**first, "id": HOSTILE}, *others], left_out)
    found, _ = look(hostile, tmp_path)
    assert found["errors"] == []
    assert found["all"][0] == HOSTILE
    assert found["leftOut"].startswith(HOSTILE)
    assert found["title"] == "VOC-smooth"
