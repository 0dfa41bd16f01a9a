"""Photographs in columns: a sequence like any other."""

from pathlib import Path

import numpy as np
import pytest

from vocsmooth.sources.ids import encode_ids, places_of
from vocsmooth.sources.listing import Photograph, Photographs, list_files
from vocsmooth.sources.voc import find_tree, list_photographs

IDS = ["z", "\U0001f40e", "\uffee", "\u00e9", "a", "Z", "a0"]


@pytest.fixture
def listed(tmp_path: Path) -> Photographs:
    for folder, suffix in (("JPEGImages", "JPG"), ("SegmentationClass", "png")):
        (tmp_path / folder).mkdir()
        for name in IDS:
            (tmp_path / folder / f"{name}.{suffix}").touch()
    return list_photographs(find_tree(tmp_path), val_fraction=0.5)


def test_is_a_sequence_of_photographs(listed: Photographs, tmp_path: Path) -> None:
    photographs = list(listed)
    assert {one.id for one in photographs} == set(IDS)
    # As strings sort, not as the bytes of some other encoding.
    assert photographs == sorted(photographs, key=lambda one: (one.split, one.id))
    assert listed[-1] == photographs[-1]
    assert list(listed[1::2]) == photographs[1::2]
    assert list(listed.take(np.array([3, 0]))) == [photographs[3], photographs[0]]
    first = photographs[0]
    assert first == Photograph(
        id=first.id,
        split="train",
        image=tmp_path / f"JPEGImages/{first.id}.JPG",
        mask=tmp_path / f"SegmentationClass/{first.id}.png",
    )
    assert photographs[-1] in listed
    with pytest.raises(IndexError):
        listed[len(IDS)]
    assert sum(len(listed.ids_of(split)) for split in ("train", "val")) == len(IDS)
    assert not len(listed.ids_of("test"))


def test_of_several_folders_the_first_wins_whatever_the_case_of_suffixes(tmp_path: Path) -> None:
    for path in ("one/a.PNG", "two/a.png", "two/b.Png", "one/c.txt", "one/.png", "one/d e.png"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    files = list_files([tmp_path / "one", tmp_path / "two"], [".png"])
    found = [
        files.kinds[kind].folder / f"{name.decode()}{files.kinds[kind].suffix}"
        for name, kind in zip(files.ids, files.kind, strict=True)
    ]
    assert found == [tmp_path / "one/a.PNG", tmp_path / "two/b.Png"]
    assert files.bad == ("d e",)


def test_places_of_ids_of_other_widths() -> None:
    ids = encode_ids(["a", "ab", "abc"])
    assert places_of(encode_ids(["abcd", "ab", "", "abc", "b"]), ids).tolist() == [-1, 1, -1, 2, -1]
    assert places_of(ids, encode_ids([])).tolist() == [-1, -1, -1]
