"""`vocsmooth export` and `vocsmooth repack`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from click.testing import Result

Command = Callable[..., Result]


def test_export_says_what_it_wrote(vocsmooth: Command, built: Path, tmp_path: Path) -> None:
    words = ("--map", "input", "--map", "label", "--split", "val", "--jobs", 1)
    for counts in ("8 files written, 0 kept", "0 files written, 8 kept"):
        result = vocsmooth("export", built, "--out", tmp_path / "png", *words)
        assert result.exit_code == 0, result.output
        assert f"4 samples, {counts}" in result.stdout
    assert len(list((tmp_path / "png/val/label").glob("*.png"))) == 4


def test_an_image_folder_is_written_where_it_is_asked_for(
    vocsmooth: Command, built: Path, tmp_path: Path
) -> None:
    words = ("--map", "input", "--split", "val", "--jobs", 1, "--format", "imagefolder")
    result = vocsmooth("export", built, "--out", tmp_path / "hub", *words)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "hub/val/metadata.jsonl").is_file()
    result = vocsmooth("export", built, "--out", tmp_path / "hub", *words[:-2])
    assert result.exit_code == 1  # another form of it is there
    assert "holds other files" in result.stderr


def test_a_format_that_there_is_not(vocsmooth: Command, tmp_path: Path) -> None:
    words = ("export", tmp_path / "no", "--out", tmp_path / "png", "--format")
    assert vocsmooth(*words, "png").exit_code == 1  # there is no such dataset
    assert vocsmooth(*words, "jpg").exit_code == 2


def test_an_archive_gives_the_dataset_back(vocsmooth: Command, built: Path, tmp_path: Path) -> None:
    packed, back = tmp_path / "packed", tmp_path / "back"
    result = vocsmooth("repack", built, "--to", "archive", "--out", packed, "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert "4 shards (0 kept)" in result.stdout
    result = vocsmooth("repack", packed, "--to", "shards", "--out", back, "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert {path.name: path.read_bytes() for path in back.iterdir()} == {
        path.name: path.read_bytes() for path in built.iterdir()
    }


def test_what_is_no_archive_is_one_error_and_writes_nothing(
    vocsmooth: Command, built: Path, tmp_path: Path
) -> None:
    result = vocsmooth("repack", "--to", "shards", built, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("Error: ")
    assert "it is not an archive, or its packing has not finished" in result.stderr
    assert not (tmp_path / "out").exists()
