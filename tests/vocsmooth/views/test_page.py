"""The page of a dataset: what is in it, and that it loads nothing."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import data_of
from numpy.typing import NDArray
from PIL import Image

from vocsmooth.errors import InputError
from vocsmooth.shards.entries import Index
from vocsmooth.shards.index import read_index
from vocsmooth.shards.reader import open_dataset
from vocsmooth.shards.scan import list_shards
from vocsmooth.views.page import choose_side, make_page, write_report

HOSTILE = "</script><script>document.title = 'broken'</script>@SCRIPT@"


def decode(uri: str) -> NDArray[np.uint8]:
    head, body = uri.split(",")
    assert head == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(body))) as picture:
        return np.asarray(picture)


def test_every_photograph_is_there_with_all_maps(page: str, screened: Path) -> None:
    data = data_of(page)
    index = read_index(screened)
    assert [one["id"] for one in data["photographs"]] == [
        name.decode() for name in index.columns.ids
    ]
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


@pytest.mark.parametrize("most", [1, 2, 3, 6, 7])
def test_a_large_dataset_is_sampled_evenly_over_its_shards(
    screened: Path, tmp_path: Path, most: int
) -> None:
    path, told = tmp_path / "report.html", list[tuple[int, int]]()
    summary = write_report(
        screened, path, most=most, jobs=1, progress=lambda *done: told.append(done)
    )
    data = data_of(path.read_text(encoding="utf-8"))
    ids = [name.decode() for name in read_index(screened).columns.ids]
    every = next(n for n in range(1, 8) if len(ids[::n]) <= most)
    assert [one["id"] for one in data["photographs"]] == ids[::every]
    assert summary.photographs == len(ids[::every]) <= most
    assert summary.dataset_photographs == data["datasetPhotographs"] == 7
    assert data["datasetLeftOut"] == 1
    shards = list_shards(screened, read_index(screened))
    with_some = [shard for shard in shards if set(shard.indexed.ids) & set(ids[::every])]
    assert told[-1] == (len(with_some), len(with_some))  # the others are not read


def test_what_was_left_out_is_sampled_too(screened: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    with pytest.raises(ValueError, match="most must be at least 1, got 0"):
        write_report(screened, path, most=0)
    for most, listed in ((7, 1), (1, 0)):  # the one is in a shard that a sample of one leaves out
        write_report(screened, path, most=most, jobs=1)
        assert len(data_of(path.read_text(encoding="utf-8"))["leftOut"]) == listed


@pytest.mark.parametrize("width", [375, 500])
def test_a_sample_makes_a_small_page(pristine_dataset: Path, width: int) -> None:
    index = read_index(pristine_dataset)
    shapes = np.repeat([[375, width]], 1_000_000, axis=0).astype(np.int32)
    million = replace(index, columns=replace(index.columns, shapes=shapes))
    maps = sum(len(names) for names in index.maps.values())
    side = choose_side(million, every=500)
    assert side >= 64
    assert (350 + side**2 * 375 / width * 0.22) * maps * 2000 < 18e6


@pytest.mark.parametrize(
    ("whole", "sample", "given", "expected"), [(7, 1, None, 7), (6, 4, None, 4), (6, 4, 7, 7)]
)
def test_a_dataset_is_shown_whole_or_as_a_smaller_sample(
    screened: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: int,
    sample: int,
    given: int | None,
    expected: int,
) -> None:
    monkeypatch.setattr("vocsmooth.views.page.MOST", whole)
    monkeypatch.setattr("vocsmooth.views.page.SAMPLE", sample)
    summary = write_report(screened, tmp_path / "page.html", most=given, side=16, jobs=1)
    assert summary.photographs == expected


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
    shapes = np.repeat(index.columns.shapes[:1], count, axis=0)
    many: Index = replace(index, columns=replace(index.columns, shapes=shapes))
    assert least <= choose_side(many) <= most


def test_a_page_loads_nothing_and_lets_no_id_out_of_its_data(screened: Path, page: str) -> None:
    index = read_index(screened)
    data = data_of(page)
    left_out = [{**data["leftOut"][0], "id": HOSTILE}]
    hostile = make_page(index, data["photographs"], left_out)
    assert hostile.count("</script>") == page.count("</script>") == 2
    assert data_of(hostile)["leftOut"][0]["id"] == HOSTILE
    assert "default-src 'none'" in page
    assert set(re.findall(r"https?://[^\s\"']+", page)) == {"http://www.w3.org/2000/svg"}
