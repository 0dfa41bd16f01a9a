"""`vocsmooth enhance`, `abstract` and `compose` give what the functions of the library give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from numpy.typing import NDArray
from pictures import noise, pixels_of, write_plain
from PIL import Image

from vocsmooth.arrays import to_float, to_uint
from vocsmooth.operators.applications import abstract, blend, detail_enhance, strength_map
from vocsmooth.operators.guided import guided_filter

Command = Callable[..., Result]

PERSON = 15


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "in/deep/a.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(noise(20, 30, 3)).save(path)
    return path


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """A folder with the mask of `photo`: a person on the right."""
    mask = np.zeros((20, 30), np.uint8)
    mask[:, 15:] = PERSON
    path = tmp_path / "masks/deep/a.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(mask).save(path)
    return path.parents[1]


def expected(result: NDArray[np.floating[Any]]) -> NDArray[Any]:
    return to_uint(result, np.uint8)


def run(vocsmooth: Command, command: str, tmp_path: Path, *words: object) -> Result:
    common = ("--operator", "guided", "--radius", 3, "--jobs", 1, "--out", tmp_path / "out")
    return vocsmooth(command, tmp_path / "in", *common, *words)


def test_enhance_adds_detail_and_one_bad_file_stops_nothing(
    vocsmooth: Command, photo: Path, tmp_path: Path
) -> None:
    (tmp_path / "in/broken.jpg").write_bytes(b"\xff\xd8\xff")
    result = run(vocsmooth, "enhance", tmp_path, "--amount", 0.7)
    assert result.exit_code == 1
    assert "broken.jpg" in result.stderr
    assert "1 written, 0 skipped, 1 failed" in result.stdout
    image = to_float(pixels_of(photo))
    wanted = expected(detail_enhance(image, guided_filter(image, radius=3), 0.7))
    assert np.array_equal(pixels_of(tmp_path / "out/deep/a.png"), wanted)
    assert wanted.std() > pixels_of(photo).std()


def test_abstract_draws(vocsmooth: Command, photo: Path, tmp_path: Path) -> None:
    result = run(vocsmooth, "abstract", tmp_path, "--tones", 3, "--edge-strength", 0.5)
    assert result.exit_code == 0, result.output
    wanted = abstract(guided_filter(to_float(pixels_of(photo)), radius=3), 3, 0.5)
    assert np.array_equal(pixels_of(tmp_path / "out/deep/a.png"), expected(wanted))


def test_the_number_of_tones_does_not_hide_an_operator_s_parameter(
    vocsmooth: Command, photo: Path, tmp_path: Path
) -> None:
    words = ("--operator", "pyramid", "--levels", 3, "--tones", 4, "--jobs", 1)
    result = vocsmooth("abstract", photo, *words, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output


def test_compose_smooths_each_class_as_it_is_told(
    vocsmooth: Command, photo: Path, masks: Path, tmp_path: Path
) -> None:
    words = ("--masks", masks, "--strength", "person=0", "--strength", "background=0.5")
    result = run(vocsmooth, "compose", tmp_path, *words, "--feather", 0)
    assert result.exit_code == 0, result.output
    image = to_float(pixels_of(photo))
    amounts = strength_map(
        pixels_of(masks / "deep/a.png"), {"person": 0.0, "background": 0.5}, feather=0
    )
    wanted = expected(blend(image, guided_filter(image, radius=3), amounts))
    found = pixels_of(tmp_path / "out/deep/a.png")
    assert np.array_equal(found, wanted)
    assert np.array_equal(found[:, 15:], pixels_of(photo)[:, 15:])


def test_compose_takes_one_mask_for_one_image_and_its_processes(
    vocsmooth: Command, photo: Path, masks: Path, tmp_path: Path
) -> None:
    mask, out = masks / "deep/a.png", tmp_path / "one.png"
    words = ("--operator", "guided", "--strength", "person=0", "--masks", mask, "--jobs", 2)
    result = vocsmooth("compose", photo, *words, "--feather", 0, "--out", out)
    assert result.exit_code == 0, result.output
    assert np.array_equal(pixels_of(out)[:, 15:], pixels_of(photo)[:, 15:])
    write_plain(photo.with_name("b.png"), shape=(20, 30, 3))
    result = vocsmooth("compose", photo.parent, *words, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "would be the mask of" in result.stderr


def test_an_image_without_a_mask_is_named_before_the_work(
    vocsmooth: Command, photo: Path, masks: Path, tmp_path: Path
) -> None:
    write_plain(photo.with_name("b.jpg"))
    result = run(vocsmooth, "compose", tmp_path, "--masks", masks, "--strength", "person=0")
    assert result.exit_code == 1
    assert f"No mask {masks / 'deep/b.png'}." in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_mask_of_another_size_fails_its_image_only(
    vocsmooth: Command, photo: Path, masks: Path, tmp_path: Path
) -> None:
    write_plain(photo.with_name("b.png"))  # 5 x 6
    write_plain(masks / "deep/b.png", value=0, shape=(6, 4))
    result = run(vocsmooth, "compose", tmp_path, "--masks", masks, "--strength", "person=0")
    assert result.exit_code == 1
    assert "b.png has 4 x 6 pixels, the image has 5 x 6" in result.stderr
    assert "1 written, 0 skipped, 1 failed" in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("enhance --operator rvt", "Did you mean 'rtv'?"),
        ("enhance --operator l0 --radius 3", "no parameter 'radius'"),
        ("enhance --operator l0 --amount nan", "not a finite number"),
        ("abstract --operator l0 --tones 1", "'--tones'"),
        ("compose --operator l0 --masks m --strength prson=1", "Did you mean 'person'?"),
        ("compose --operator l0 --masks m --strength person", "is not CLASS=NUMBER"),
        ("compose --operator l0 --masks m --strength person=inf", "not a finite number"),
    ],
)
def test_misuse_is_refused_before_any_file_is_read(
    vocsmooth: Command, tmp_path: Path, words: str, message: str
) -> None:
    result = vocsmooth(*words.split(), tmp_path / "nowhere", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
