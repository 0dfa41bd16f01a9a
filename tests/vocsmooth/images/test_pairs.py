"""Pairs by name: complete, or one error that names what is alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from vocsmooth.errors import InputError
from vocsmooth.images.finding import pair_by_name


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_names_pair_whatever_their_endings_and_sub_folders_count(tmp_path: Path) -> None:
    images = touch(tmp_path / "in", "b c.JPG", "a/é.png", "a/x.1.tif", "notes.txt", ".hidden.png")
    labels = touch(tmp_path / "labels", "b c.png", "a/é.webp", "a/x.1.png")
    pairs = pair_by_name(images, labels)
    assert [pair.name for pair in pairs] == ["a/x.1", "a/é", "b c"]
    assert pairs[2].image == images / "b c.JPG"
    assert pairs[1].label == labels / "a/é.webp"


def test_images_on_either_side_that_are_alone_are_named(tmp_path: Path) -> None:
    images = touch(tmp_path / "in", "a.png", "b.png", "sub/c.png")
    labels = touch(tmp_path / "labels", "a.png", "c.png")
    with pytest.raises(InputError) as error:
        pair_by_name(images, labels)
    for path in (images / "b.png", images / "sub/c.png", labels / "c.png"):
        assert str(path) in str(error.value)
    assert str(images / "a.png") not in str(error.value)


def test_a_long_list_is_cut(tmp_path: Path) -> None:
    images = touch(tmp_path / "in", *(f"{n}.png" for n in range(9)))
    with pytest.raises(InputError, match=r"4\.png and 3 more\. Every image"):
        pair_by_name(images, touch(tmp_path / "labels", "8.png"))


def test_one_name_for_two_files_and_missing_or_empty_folders_are_errors(tmp_path: Path) -> None:
    labels = touch(tmp_path / "labels", "a.png")
    with pytest.raises(InputError, match=r"a\.jpg and .*a\.png have the same name"):
        pair_by_name(touch(tmp_path / "in", "a.png", "a.jpg"), labels)
    with pytest.raises(InputError, match=r"No folder .*nowhere"):
        pair_by_name(tmp_path / "nowhere", labels)
    with pytest.raises(InputError, match=r"No images in .*text"):
        pair_by_name(labels, touch(tmp_path / "text", "a.txt"))
