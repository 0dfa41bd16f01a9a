"""Words of a command line become paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from vocsmooth.errors import InputError
from vocsmooth.images.finding import expand_inputs


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
