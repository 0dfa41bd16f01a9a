"""`vocsmooth`: every command once for real, and one clear error for each kind of bad input."""

from __future__ import annotations

import inspect
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from helpers import content_of, make_version1
from pictures import pixels_of
from PIL import Image

from vocsmooth.operators.table import OPERATORS, smooth

Command = Callable[..., Result]


def build_words(tree: Path, out: Path, recipe: Path) -> list[object]:
    return ["build", "--voc-root", tree, "--out", out, "--manifest", recipe, "--jobs", 1]


def test_sample_writes_a_tree_that_lists_what_it_holds(vocsmooth: Command, tmp_path: Path) -> None:
    result = vocsmooth("sample", tmp_path / "voc")
    assert result.exit_code == 0, result.output
    names = (tmp_path / "voc/ImageSets/Segmentation/trainval.txt").read_text().split()
    assert len(names) >= 10
    assert {p.stem for p in (tmp_path / "voc/JPEGImages").iterdir()} == set(names)
    assert result.stdout == f"{len(names)} photographs with masks in {tmp_path / 'voc'}\n"


def test_generate_draws_scenes_that_build_with_exact_labels(
    vocsmooth: Command, tmp_path: Path
) -> None:
    scenes, out = tmp_path / "scenes", tmp_path / "out"
    result = vocsmooth("generate", scenes, "--train", 1, "--val", 1, "--size", "64x48")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"2 scenes with masks in {scenes}\n"
    with Image.open(scenes / "JPEGImages/val_00000.png") as scene:
        assert scene.size == (64, 48)
    recipe = tmp_path / "exact.toml"
    recipe.write_text("[labels]\nexact = true\n[textures]\ncount = 1\n")
    result = vocsmooth(*build_words(scenes, out, recipe))
    assert result.exit_code == 0, result.output
    assert vocsmooth("verify", out).exit_code == 0


def test_generate_draws_in_processes_and_shows_its_progress(
    vocsmooth: Command, tmp_path: Path
) -> None:
    words = ("--train", 70, "--val", 0, "--size", "40x32", "--family", "ragged", "--jobs", 2)
    result = vocsmooth("generate", tmp_path, *words)
    assert result.exit_code == 0, result.output
    assert "scenes: 70 of 70" in result.stderr
    assert len(list((tmp_path / "JPEGImages").iterdir())) == 70


def test_a_built_dataset_is_intact_until_a_bit_flips(
    vocsmooth: Command, built: Path, tmp_path: Path
) -> None:
    result = vocsmooth("verify", built)
    assert result.exit_code == 0, result.output
    assert result.stdout.rstrip().endswith("intact")
    damaged = shutil.copytree(built, tmp_path / "damaged")
    shard = damaged / "val-00000.h5"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 4
    shard.write_bytes(content)
    result = vocsmooth("verify", damaged, "--json")
    assert result.exit_code == 1
    problems = json.loads(result.stdout)["problems"]
    assert {problem["shard"] for problem in problems} == {"val-00000.h5"}


def test_repair_restores_a_damaged_dataset(
    vocsmooth: Command, built: Path, pristine_tree: Path, tmp_path: Path
) -> None:
    broken = shutil.copytree(built, tmp_path / "broken")
    (broken / "val-00000.h5").unlink()
    assert vocsmooth("verify", broken, "--jobs", 1).exit_code == 1
    result = vocsmooth("verify", broken, "--repair", "--voc-root", pristine_tree, "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert "rebuilt: val-00000.h5" in result.stderr
    assert "Found intact by an earlier run: 3 of 4 shards" in result.stdout
    assert (broken / "val-00000.h5").read_bytes() == (built / "val-00000.h5").read_bytes()


@pytest.mark.parametrize("words", [["--repair"], ["--voc-root", "."], ["--textures", "."]])
def test_repair_needs_the_tree(vocsmooth: Command, built: Path, words: list[str]) -> None:
    result = vocsmooth("verify", built, *words)
    assert result.exit_code == 2
    assert "--repair needs --voc-root" in result.stderr


def test_upgrade_takes_an_intact_dataset_of_an_older_version(
    vocsmooth: Command, built: Path, tmp_path: Path
) -> None:
    old = shutil.copytree(built, tmp_path / "old")
    make_version1(old)
    result = vocsmooth("verify", old, "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert "--upgrade turns it into version 2" in result.stderr
    (old / "more").touch()
    result = vocsmooth("verify", old, "--upgrade", "--jobs", 1)
    assert result.exit_code == 1
    assert "It was not upgraded" in result.stderr
    (old / "more").unlink()
    (old / "README.md").unlink()
    result = vocsmooth("verify", old, "--upgrade", "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert "has version 2 now" in result.stderr
    assert content_of(old) == content_of(built)
    result = vocsmooth("verify", old, "--upgrade", "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert "version 2, the newest, already" in result.stderr


def test_building_again_keeps_everything(
    vocsmooth: Command, built: Path, pristine_tree: Path, recipe_file: Path
) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in built.iterdir()}
    result = vocsmooth(*build_words(pristine_tree, built, recipe_file))
    assert result.exit_code == 0, result.output
    assert "already complete" in result.stderr
    assert {path.name: path.stat().st_mtime_ns for path in built.iterdir()} == before


def test_parts_make_the_same_dataset(
    vocsmooth: Command, built: Path, pristine_tree: Path, recipe_file: Path, tmp_path: Path
) -> None:
    words = build_words(pristine_tree, tmp_path / "out", recipe_file)
    first = vocsmooth(*words, "--part", "2/2")
    assert first.exit_code == 0, first.output
    assert "Still missing, from other parts: 2 shards" in first.stderr
    last = vocsmooth(*words, "--part", "1/2")
    assert "still missing" not in last.stderr
    assert "7 photographs, 14 samples" in last.stdout
    for path in built.iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()


def test_too_small_a_disk_is_said_at_the_start(
    vocsmooth: Command,
    pristine_tree: Path,
    recipe_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    words = build_words(pristine_tree, tmp_path / "out", recipe_file)
    result = vocsmooth(*words, "--part", "1/9")  # whose one shard fits all the same
    assert result.exit_code == 0, result.output
    assert result.stderr.count("GB are needed, but the disk of") == 1


@pytest.mark.parametrize("part", ["0/2", "3/2", "1", "a/b", "1/2/3"])
def test_impossible_parts_are_refused(vocsmooth: Command, tmp_path: Path, part: str) -> None:
    result = vocsmooth(*build_words(tmp_path, tmp_path, tmp_path), "--part", part)
    assert result.exit_code == 2
    assert f"'{part}' is not I/N with 1 <= I <= N" in result.stderr


def test_a_corrupt_photograph_is_named_and_the_rest_is_built(
    vocsmooth: Command, tree: Path, recipe_file: Path, tmp_path: Path
) -> None:
    photo = tree / "JPEGImages/a_1.jpg"
    photo.write_bytes(photo.read_bytes()[:500])
    words = build_words(tree, tmp_path / "out", recipe_file)
    result = vocsmooth(*words)
    assert result.exit_code == 1
    assert "a_1.jpg" in result.stderr
    assert "6 photographs, 12 samples, 0 rejected, 1 unusable" in result.stdout
    assert vocsmooth("verify", tmp_path / "out").exit_code == 0
    strict = vocsmooth(*build_words(tree, tmp_path / "strict", recipe_file), "--strict")
    assert strict.exit_code == 1
    assert "a_1.jpg" in strict.stderr
    assert not (tmp_path / "strict/index.json").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--voc-root": "nowhere"}, "nowhere is not a folder"),
        ({"--manifest": "nowhere.toml"}, "No settings file nowhere.toml"),
        ({"--ids": "empty.txt"}, "empty.txt"),
        ({"--ids": "unknown.txt"}, "2009_009999"),
        ({"--textures": "empty"}, "empty"),
    ],
)
def test_bad_input_is_one_error_and_writes_nothing(
    vocsmooth: Command,
    pristine_tree: Path,
    recipe_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").touch()
    Path("unknown.txt").write_text("2009_009999\n")
    Path("empty").mkdir()
    words = {"--voc-root": str(pristine_tree), "--out": "out", "--manifest": str(recipe_file)}
    flat = [word for pair in (words | change).items() for word in pair]
    result = vocsmooth("build", *flat)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("Error: ")
    assert message in result.stderr
    assert not Path("out").exists()


def test_unknown_recipe_keys_name_the_nearest(
    vocsmooth: Command, pristine_tree: Path, recipe_file: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text(recipe_file.read_text().replace("count", "cuont"))
    result = vocsmooth(*build_words(pristine_tree, tmp_path / "out", bad))
    assert result.exit_code == 1
    assert "unknown key 'cuont'. Did you mean 'count'?" in result.stderr


def test_another_datasets_folder_is_left_alone(
    vocsmooth: Command, built: Path, pristine_tree: Path, recipe_file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.toml"
    other.write_text("seed = 7\n" + recipe_file.read_text())
    before = {path.name: path.read_bytes() for path in built.iterdir()}
    result = vocsmooth(*build_words(pristine_tree, built, other))
    assert result.exit_code == 1
    assert "another dataset" in result.stderr
    assert {path.name: path.read_bytes() for path in built.iterdir()} == before


def test_smooth_gives_what_the_function_gives(vocsmooth: Command, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    (tmp_path / "in/deep").mkdir(parents=True)
    Image.fromarray(pixels).save(tmp_path / "in/deep/ä b.png")
    (tmp_path / "in/broken.jpg").write_bytes(b"\xff\xd8\xff")
    out = tmp_path / "out"
    words = ("smooth", tmp_path / "in", "--operator", "guided", "--radius", 3, "--jobs", 1)
    result = vocsmooth(*words, "--out", out)
    assert result.exit_code == 1
    assert "broken.jpg" in result.stderr
    assert "1 written, 0 skipped, 1 failed" in result.stdout
    expected = smooth((pixels / 255).astype(np.float32), "guided", radius=3)
    found = pixels_of(out / "deep/ä b.png")
    assert np.array_equal(found, np.rint(expected * 255).astype(np.uint8))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--operator", "rvt"], "Did you mean 'rtv'?"),
        (["--operator", "l0", "--radius", "3"], "no parameter 'radius'"),
        (["--operator", "l0", "--lam", "-1"], "lam"),
    ],
)
def test_bad_operator_or_parameter_is_refused_before_any_file_is_read(
    vocsmooth: Command, tmp_path: Path, words: list[str], message: str
) -> None:
    result = vocsmooth("smooth", tmp_path / "nowhere", *words, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert message in result.stderr


def test_smooth_has_an_option_for_every_parameter_of_every_operator(vocsmooth: Command) -> None:
    text = vocsmooth("smooth", "--help").stdout
    for operator, function in OPERATORS.items():
        for name in list(inspect.signature(function).parameters)[1:]:
            option = re.search(rf"--{name.replace('_', '-')} [A-Z]+ +([a-z0-9, ]+): ", text)
            assert (option is None) == (name == "guide")
            assert option is None or operator in option[1].split(", ")


def test_one_picture_into_one_file(vocsmooth: Command, tmp_path: Path) -> None:
    Image.new("RGB", (8, 6)).save(tmp_path / "a.png")
    words = ("smooth", tmp_path / "a*.png", "--operator", "guided", "--jobs", 1)
    out = tmp_path / "deep/one.jpg"
    result = vocsmooth(*words, "-o", out)
    assert result.exit_code == 0, result.output
    with Image.open(out) as picture:
        assert (picture.format, picture.size) == ("JPEG", (8, 6))


def test_smooth_takes_patterns(vocsmooth: Command, tmp_path: Path) -> None:
    for name in ("a1.png", "a2.png", "b.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    words = ("smooth", tmp_path / "a*.png", "--operator", "guided", "--jobs", 1)
    result = vocsmooth(*words, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a1.png", "a2.png"]
