"""Misuse exits with 2, as click's own does: unknown names of every kind, impossible options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image

Command = Callable[..., Result]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(path)
    return path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("smooth PHOTO --operator rvt", "No operator 'rvt'. Did you mean 'rtv'?"),
        ("smooth PHOTO --operator l0 --format jpge", "Did you mean 'jpg'?"),
        ("export DATA --map lable", "No map 'lable' to export. Did you mean 'label'?"),
        ("export DATA --split vall", "No split 'vall' to export. Did you mean 'val'?"),
        ("build --voc-root TREE --manifest voc-smoth", "Did you mean 'voc-smooth'?"),
        ("build --voc-root TREE --split test", "splits present: train, trainval, val"),
    ],
)
def test_names_that_vocsmooth_does_not_know(
    vocsmooth: Command,
    built: Path,
    pristine_tree: Path,
    photo: Path,
    tmp_path: Path,
    words: str,
    message: str,
) -> None:
    paths = {"PHOTO": photo, "DATA": built, "TREE": pristine_tree}
    expect_misuse(vocsmooth, paths, words, tmp_path / "out", message)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("predict PHOTO --device gpu", "Unknown device 'gpu'"),
        ("predict PHOTO --checkpoint compat", "Did you mean 'compact'?"),
        ("predict PHOTO --format jpge", "Did you mean 'jpg'?"),
        ("sheet --data DATA --split vall", "no split 'vall'; splits present: train, val"),
        ("sheet --data DATA --checkpoint compat", "Did you mean 'compact'?"),
        ("export --checkpoint compat", "Did you mean 'compact'?"),
        ("evaluate --data DATA --operator none --split vall", "no split 'vall'"),
        ("evaluate --data DATA --operator rvt", "Did you mean 'rtv'?"),
        ("train --data DATA --config smal", "No configuration 'smal'"),
        ("train --data DATA --ablate contrst", "Did you mean 'contrast'?"),
        ("train-segmenter --data DATA --device gpu", "Unknown device 'gpu'"),
    ],
)
def test_names_that_csgisnet_does_not_know(
    csgisnet: Command, built: Path, photo: Path, tmp_path: Path, words: str, message: str
) -> None:
    out = tmp_path / ("out.png" if words.startswith("sheet") else "out")
    expect_misuse(csgisnet, {"PHOTO": photo, "DATA": built}, words, out, message)


def expect_misuse(
    command: Command, paths: dict[str, Path], words: str, out: Path, message: str
) -> None:
    result = command(*(paths.get(word, word) for word in words.split()), "-o", out)
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.stderr.split())
    assert not out.exists()


def test_a_file_that_cannot_be_written_is_refused_before_the_work(
    vocsmooth: Command, csgisnet: Command, built: Path, tmp_path: Path
) -> None:
    out = tmp_path / "nowhere/file.png"
    for command, *words in (
        (vocsmooth, "report", built),
        (csgisnet, "sheet", "--data", built),
        (csgisnet, "export"),
        (csgisnet, "train-segmenter", "--data", built),
    ):
        result = command(*words, "--out", out)
        assert result.exit_code == 2
        assert "does not exist" in result.stderr
    assert not out.parent.exists()


def test_the_old_order_of_a_scene_s_sides_is_refused(vocsmooth: Command, tmp_path: Path) -> None:
    for size in (("256", "288"), ("256",), ("31x64",), ("64x",), ("-64x64",)):
        result = vocsmooth("generate", tmp_path / "out", "--size", *size)
        assert result.exit_code == 2
        assert "WIDTHxHEIGHT" in result.stderr
    assert not (tmp_path / "out").exists()


def test_no_scene_at_all_is_refused(vocsmooth: Command, tmp_path: Path) -> None:
    result = vocsmooth("generate", tmp_path / "out", "--train", 0, "--val", 0)
    assert result.exit_code == 2
    assert "leave no scene to draw" in result.stderr


def test_quiet_and_verbose_exclude_each_other(vocsmooth: Command, tmp_path: Path) -> None:
    result = vocsmooth("sample", tmp_path / "voc", "-q", "-v")
    assert result.exit_code == 2
    assert "Give --quiet or --verbose, not both." in result.stderr
