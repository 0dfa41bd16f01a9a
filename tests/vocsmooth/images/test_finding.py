"""Words of a command line become paths, and two folders pairs of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from vocsmooth.errors import InputError
from vocsmooth.images.finding import expand_inputs, pair_by_name


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b.png", "a.png", "c.jpg", "sub/d e.png", "odd[1].png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*words: str, listed: tuple[str, ...] = ()) -> list[str]:
    return [path.as_posix() for path in expand_inputs(words, listed)]


def test_paths_are_kept_in_order_and_patterns_sorted(folder: Path) -> None:
    assert names("sub", "c.jpg", "nowhere") == ["sub", "c.jpg", "nowhere"]
    assert names("c.jpg", "[ab].png") == ["c.jpg", "a.png", "b.png"]
    assert names("**/*.png") == ["a.png", "b.png", "odd[1].png", "sub/d e.png"]
    assert names(f"{folder}/?.jpg") == [f"{folder.as_posix()}/c.jpg"]


def test_a_name_that_looks_like_a_pattern_is_a_name(folder: Path) -> None:
    assert names("odd[1].png") == ["odd[1].png"]


def test_a_list_is_taken_line_by_line_as_it_is(folder: Path) -> None:
    lines = ("a.png\n", "\n", "sub/d e.png\r\n", " *.png")
    assert names("c.jpg", "-", listed=lines) == ["c.jpg", "a.png", "sub/d e.png", " *.png"]


def test_nothing_found_is_an_error(folder: Path) -> None:
    with pytest.raises(InputError, match=r"Nothing matches '\*\.gif'"):
        expand_inputs(["*.gif"])
    with pytest.raises(InputError, match="list on standard input is empty"):
        expand_inputs(["-"], ["\n"])


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
