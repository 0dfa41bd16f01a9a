"""Parts run in any order or at once; whoever is last completes the dataset."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from helpers import content_of

from vocsmooth.dataset.build import build_dataset
from vocsmooth.dataset.parts import LISTING_NAME, Listing, read_listing, write_listing
from vocsmooth.errors import InputError
from vocsmooth.maps.recipe import Recipe
from vocsmooth.shards.index import PLAN_NAME
from vocsmooth.sources.voc import find_tree, list_photographs


def test_the_last_one_completes_the_dataset(
    pristine_tree: Path, pristine_dataset: Path, recipe: Recipe, tmp_path: Path
) -> None:
    expected = content_of(pristine_dataset)
    summaries = []
    for number in (3, 1, 2):
        assert "index.json" not in content_of(tmp_path)
        part = (number, 3)
        summaries.append(build_dataset(pristine_tree, tmp_path, recipe, jobs=1, part=part))
        final = content_of(tmp_path)
        final.pop(LISTING_NAME, None)
        assert all(data == expected[name] for name, data in final.items())
    assert [s.missing for s in summaries] == [3, 1, 0]
    assert [s.images for s in summaries] == [1, 4, 7]
    assert content_of(tmp_path) == expected


def test_at_once_and_more_parts_than_shards(
    pristine_tree: Path, pristine_dataset: Path, recipe: Recipe, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(6) as threads:
        parts = [
            threads.submit(build_dataset, pristine_tree, tmp_path, recipe, jobs=1, part=(number, 6))
            for number in range(1, 7)
        ]
    assert all(part.result().errors == 0 for part in parts)
    assert content_of(tmp_path) == content_of(pristine_dataset)


def test_the_first_one_lists_and_plans_for_all(
    pristine_tree: Path,
    pristine_dataset: Path,
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(pristine_tree)
    build_dataset(".", tmp_path, recipe, jobs=1, part=(2, 2))
    monkeypatch.chdir(pristine_tree.parent)
    monkeypatch.setattr("vocsmooth.dataset.build.list_photographs", None)
    monkeypatch.setattr("vocsmooth.dataset.plan.plan_digest", None)
    monkeypatch.setattr("vocsmooth.dataset.plan.holds_plan", None)
    for number in (2, 1):  # the second one was submitted twice
        build_dataset(pristine_tree.name, tmp_path, recipe, jobs=1, part=(number, 2))
    assert content_of(tmp_path) == content_of(pristine_dataset)


def test_a_listing_of_another_state_or_for_other_arguments_does_not_count(
    tree: Path, recipe: Recipe, tmp_path: Path
) -> None:
    out, ids = tmp_path / "out", tmp_path / "ids.txt"
    build_dataset(tree, out, recipe, jobs=1, part=(3, 3))
    ids.write_text("a_1")
    with pytest.raises(InputError, match="its photographs differ"):
        build_dataset(tree, out, recipe, ids_file=ids, part=(1, 3))
    with pytest.raises(InputError, match="its splits differ"):
        build_dataset(tree, out, recipe, splits=["val"], part=(1, 3))
    with (tree / "ImageSets/Segmentation/val.txt").open("a") as file:
        file.write("\nx_9\n")
    for name in ("JPEGImages/{}.jpg", "SegmentationClass/{}.png"):
        shutil.copy(tree / name.format("v_1"), tree / name.format("x_9"))
    with pytest.raises(InputError, match="its photographs differ"):
        build_dataset(tree, out, recipe, jobs=1, part=(1, 3))


def test_a_listing_that_is_damaged_or_for_others_is_none(
    pristine_tree: Path, tmp_path: Path
) -> None:
    tree = find_tree(pristine_tree)
    assert read_listing(tmp_path, "key", tree) is None
    written = Listing(photographs=list_photographs(tree), digest="digest of the plan")
    write_listing(tmp_path, "key", written)  # without a plan there is none
    plan = tmp_path / PLAN_NAME
    plan.write_text("{}")
    assert read_listing(tmp_path, "key", tree) is None
    write_listing(tmp_path, "key", written)
    found = read_listing(tmp_path, "key", tree)
    assert found is not None
    assert list(found.photographs) == list(written.photographs)
    assert found.digest == written.digest
    assert read_listing(tmp_path, "another key", tree) is None
    plan.write_text("{ }")
    assert read_listing(tmp_path, "key", tree) is None
    plan.write_text("{}")
    path = tmp_path / LISTING_NAME
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(b"c_3")] = ord("d")  # in the column of ids
    for damaged in (b"", b"no archive", whole[:-1], whole[:200], bytes(flipped)):
        path.write_bytes(damaged)
        assert read_listing(tmp_path, "key", tree) is None
    path.unlink()
    path.mkdir()
    write_listing(tmp_path, "key", written)  # a build goes on without it


def test_a_plain_build_takes_over(
    pristine_tree: Path, pristine_dataset: Path, recipe: Recipe, tmp_path: Path
) -> None:
    build_dataset(pristine_tree, tmp_path, recipe, jobs=1, part=(2, 2))
    build_dataset(pristine_tree, tmp_path, recipe, jobs=1)
    assert content_of(tmp_path) == content_of(pristine_dataset)


def test_impossible_ones_are_refused(pristine_tree: Path, recipe: Recipe, tmp_path: Path) -> None:
    for part in ((0, 2), (3, 2), (1, 0)):
        with pytest.raises(ValueError, match="1 <= I <= N"):
            build_dataset(pristine_tree, tmp_path / "out", recipe, part=part)
    assert not (tmp_path / "out").exists()
