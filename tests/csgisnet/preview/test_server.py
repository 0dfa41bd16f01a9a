"""The preview's server: what it shows, whom it answers, and errors that are sentences."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from werkzeug.test import Client, TestResponse

from csgisnet.preview.server import Preview
from csgisnet.preview.views import CROP_MARGIN, CROP_SIDE, WHOLE_SIDE
from vocsmooth.arrays import to_float, to_uint
from vocsmooth.operators.table import smooth

GUIDED = 2  # its place among the methods


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    small, large = folder / "small <é>.png", folder / "large.png"
    Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8)).save(small)
    Image.fromarray(rng.integers(0, 256, (700, 1500), np.uint8)).save(large)
    broken = folder / "broken.jpg"
    broken.write_bytes(b"no picture")
    return [small, large, broken]


@pytest.fixture(scope="module")
def preview(photographs: list[Path]) -> Preview:
    return Preview(photographs, ["compact"], device="cpu")


def get(preview: Preview, path: str, **arguments: Any) -> TestResponse:
    """Ask the server as the page does."""
    url = f"http://127.0.0.1:1234/{preview.token}/{path}"
    return Client(preview).get(url, query_string=arguments)


def sent_pixels(response: TestResponse) -> NDArray[np.uint8]:
    """Return the picture that the server sent."""
    assert response.status_code == 200, response.text
    return np.asarray(Image.open(io.BytesIO(response.data)))


def test_the_page_gets_its_files_and_what_is_offered(preview: Preview) -> None:
    assert "page.js" in get(preview, "").text
    for name in ("page.css", "page.js"):
        assert get(preview, name).status_code == 200
    offer = json.loads(get(preview, "offer").text)
    assert [method["name"] for method in offer["methods"]][-1] == "compact"
    assert offer["photographs"][0].endswith("small <é>.png")


def test_names_begin_at_the_folder_of_all_photographs(
    photographs: list[Path], tmp_path: Path
) -> None:
    def names(paths: list[Path]) -> list[str]:
        return list(get(Preview(paths, device="cpu"), "offer").get_json()["photographs"])

    (tmp_path / "a/b").mkdir(parents=True)
    inner, outer = tmp_path / "a/b/one.png", tmp_path / "a/two.png"
    inner.touch()
    outer.symlink_to(photographs[0])
    assert names([inner]) == ["one.png"]
    assert names([inner, outer]) == [str(Path("b/one.png")), "two.png"]


def test_a_photograph_is_shown_as_it_is(preview: Preview, photographs: list[Path]) -> None:
    response = get(preview, "photograph", photograph=0, view="whole")
    np.testing.assert_array_equal(sent_pixels(response), np.asarray(Image.open(photographs[0])))
    assert (response.headers["X-Size"], response.headers["X-Scale"]) == ("60 40", "1.000000")


def test_a_photograph_is_smoothed_as_the_operator_does(
    preview: Preview, photographs: list[Path]
) -> None:
    image = to_float(np.asarray(Image.open(photographs[0])))
    response = get(preview, "smoothed", photograph=0, method=GUIDED, radius=2, view="whole")
    expected = to_uint(smooth(image, "guided", radius=2), np.uint8)
    np.testing.assert_array_equal(sent_pixels(response), expected)
    command = bytes.fromhex(response.headers["X-Command"]).decode()
    assert command.endswith("small <é>.png' --operator guided --radius 2 --out smoothed")
    assert float(response.headers["X-Seconds"]) >= 0


def test_a_large_photograph_is_shown_smaller_or_as_a_crop(
    preview: Preview, photographs: list[Path]
) -> None:
    whole = get(preview, "photograph", photograph=1)
    assert sent_pixels(whole).shape == (round(700 * WHOLE_SIDE / 1500), WHOLE_SIDE)
    assert whole.headers["X-Size"] == "1500 700"
    pixels = np.asarray(Image.open(photographs[1]))
    place = {"photograph": 1, "view": "crop", "row": 100, "column": 5000}
    column = 1500 - CROP_SIDE
    shown = pixels[100 : 100 + CROP_SIDE, column:]
    np.testing.assert_array_equal(sent_pixels(get(preview, "photograph", **place)), shown)
    # The margin is wider than what a window of the guided filter sees: the crop is exact.
    smoothed = sent_pixels(get(preview, "smoothed", method=GUIDED, **place))
    expected = to_uint(smooth(to_float(pixels), "guided"), np.uint8)
    difference = smoothed.astype(int) - expected[100 : 100 + CROP_SIDE, column:]
    assert CROP_MARGIN > 8
    assert np.abs(difference).max() <= 1


def test_requests_that_a_newer_one_replaced_are_not_computed(preview: Preview) -> None:
    smoothed = {"photograph": 0, "method": GUIDED, "tab": "a"}
    assert get(preview, "smoothed", **smoothed, turn=7, radius=3).status_code == 200
    assert get(preview, "smoothed", **smoothed, turn=6, radius=4).status_code == 409
    other = {**smoothed, "tab": "b"}
    assert get(preview, "smoothed", **other, turn=1, radius=4).status_code == 200


def test_many_tabs_at_once_get_each_their_own(preview: Preview) -> None:
    found: dict[int, bytes] = {}

    def ask(radius: int) -> None:
        arguments = {"photograph": 0, "method": GUIDED, "tab": f"t{radius}", "radius": radius}
        found[radius] = get(preview, "smoothed", **arguments).data

    threads = [threading.Thread(target=ask, args=(radius,)) for radius in range(5, 13)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for radius, data in found.items():
        alone = get(preview, "smoothed", photograph=0, method=GUIDED, radius=radius).data
        assert data == alone
    assert len(set(found.values())) == len(threads)


@pytest.mark.parametrize(
    ("path", "arguments", "reason"),
    [
        ("smoothed", {"photograph": 2}, "is not an image"),
        ("smoothed", {"photograph": 9}, "There is no such photograph"),
        ("smoothed", {"photograph": 0, "method": 99}, "There is no such method"),
        ("smoothed", {"photograph": 0, "lam": "-1"}, "lam must be 0.001 to 0.2"),
        ("smoothed", {"photograph": "-1"}, "photograph must be a whole number"),
        ("photograph", {"photograph": "0", "view": "crop", "row": "²"}, "row must be"),
    ],
)
def test_what_cannot_be_shown_is_a_sentence(
    preview: Preview, path: str, arguments: dict[str, Any], reason: str
) -> None:
    response = get(preview, path, **arguments)
    assert response.status_code == 400
    assert reason in response.text


def test_nobody_else_is_answered(preview: Preview) -> None:
    client = Client(preview)
    for path in ("/", "/offer", "/wrong/offer", f"/{preview.token}x/offer", "/é/offer"):
        assert client.get(f"http://127.0.0.1:1234{path}").status_code == 403
    # A name of somebody else's that points to this machine.
    rebound = client.get(f"/{preview.token}/offer", headers={"Host": "example.org:1234"})
    assert rebound.status_code == 403
    assert client.post(f"/{preview.token}/offer").status_code == 400
    assert get(preview, "../../../etc/passwd").status_code in (403, 404)
    assert get(preview, "methods.py").status_code == 404
    policy = get(preview, "").headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
