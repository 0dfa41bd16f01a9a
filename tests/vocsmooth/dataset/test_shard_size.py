"""Shards of a number of bytes: how many photographs they hold, whoever cuts them and when."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import content_of

from vocsmooth.dataset.build import build_dataset
from vocsmooth.dataset.plan import make_plan, shard_size
from vocsmooth.dataset.repair import repair_dataset
from vocsmooth.errors import InputError
from vocsmooth.maps.recipe import Recipe, Shards
from vocsmooth.maps.textures import open_textures
from vocsmooth.sources.voc import find_tree, list_photographs

PIXELS = 40 * 56 + 33 * 47 + 48 * 40 + 25 * 61 + 40 * 40 + 36 * 52 + 45 * 31
"""Of the seven photographs, which are all of other sizes."""

PER_PIXEL = (3 + 1 + 1 + 3) + 2 * (3 + 2 + 3)
"""Bytes of a photograph's maps and of those of its two inputs."""

AVERAGE = PIXELS * PER_PIXEL // 7


def sized(recipe: Recipe, limit: int, images: int = 1000) -> Recipe:
    """Return the recipe with shards of about `limit` bytes."""
    return dataclasses.replace(recipe, shards=Shards(images=images, bytes=limit))


def size_of(tree: Path, recipe: Recipe) -> int:
    """Return how many photographs a shard of this tree holds."""
    return shard_size(list_photographs(find_tree(tree)), recipe, open_textures())


@pytest.mark.parametrize(
    ("limit", "images", "expected"),
    [
        (1, 1000, 1),
        (AVERAGE, 1000, 1),
        (2 * AVERAGE - 2, 1000, 1),
        (2 * AVERAGE + 2, 1000, 2),
        (250_000_000, 1000, 1000),
        (250_000_000, 3, 3),
        (0, 16, 16),
    ],
)
def test_bytes_or_photographs_whichever_comes_first(
    pristine_tree: Path, recipe: Recipe, limit: int, images: int, expected: int
) -> None:
    assert size_of(pristine_tree, sized(recipe, limit, images)) == expected


def test_a_shard_has_about_the_bytes(pristine_tree: Path, recipe: Recipe, tmp_path: Path) -> None:
    build_dataset(pristine_tree, tmp_path, sized(recipe, 3 * AVERAGE + 3), jobs=1)
    sizes = [path.stat().st_size for path in sorted(tmp_path.glob("*.h5"))]
    assert len(sizes) == 3  # of 3 and 2 photographs in train, and 2 in val
    assert sizes[0] == pytest.approx(3 * AVERAGE, rel=0.4)  # with the padding of tiny maps


def test_files_that_cannot_be_read_do_not_count(tree: Path, recipe: Recipe) -> None:
    (tree / "JPEGImages/c_3.jpg").write_bytes(b"no picture")
    others = (PIXELS - 48 * 40) * PER_PIXEL // 6
    assert size_of(tree, sized(recipe, 2 * others + 2)) == 2
    assert size_of(tree, sized(recipe, 2 * others - 2)) == 1
    for path in (tree / "JPEGImages").iterdir():
        path.write_bytes(b"")
    assert size_of(tree, sized(recipe, 1, images=5)) == 5


def test_the_order_in_which_files_are_found_does_not_matter(
    pristine_tree: Path, recipe: Recipe, tmp_path: Path
) -> None:
    names = sorted(path.relative_to(pristine_tree) for path in pristine_tree.rglob("*.*"))
    trees = [tmp_path / "forwards", tmp_path / "backwards"]
    for tree, order in zip(trees, (names, names[::-1]), strict=True):
        for name in order:
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(pristine_tree / name, tree / name)
    textures, splits = open_textures(), ("train", "val")
    plans = [
        make_plan(list_photographs(find_tree(tree)), sized(recipe, 100_000), textures, splits)
        for tree in trees
    ]
    assert plans[0].digest == plans[1].digest
    assert list(plans[0].shards) == list(plans[1].shards)


def test_of_many_photographs_some_evenly_spread_are_measured(
    pristine_tree: Path, recipe: Recipe
) -> None:
    """Of 2,000 photographs every fourth, which here are larger than the others."""
    few = list_photographs(find_tree(pristine_tree))
    assert few.ids[:2].tolist() == [b"a_1", b"b_2"]
    many = few.take(np.tile([0, 1, 1, 1], 500))
    limit = 7 * 40 * 56 * PER_PIXEL
    assert shard_size(many, sized(recipe, limit), open_textures()) == 7
    assert shard_size(many[1:], sized(recipe, limit), open_textures()) == 10  # 7 * 2240 / 1551


def test_same_bytes_for_any_number_of_workers_parts_and_runs(
    pristine_tree: Path, recipe: Recipe, tmp_path: Path
) -> None:
    by_bytes = sized(recipe, 2 * AVERAGE + 2)
    build_dataset(pristine_tree, tmp_path / "two", by_bytes, jobs=2)
    expected = content_of(tmp_path / "two")
    assert len([name for name in expected if name.endswith(".h5")]) == 4
    for number in (2, 3, 1):
        build_dataset(pristine_tree, tmp_path / "parts", by_bytes, jobs=1, part=(number, 3))
    assert content_of(tmp_path / "parts") == expected
    for name in ("index.json", "train-00001.json", "val-00000.h5"):
        (tmp_path / "parts" / name).unlink()
    build_dataset(pristine_tree, tmp_path / "parts", by_bytes, jobs=1)
    assert content_of(tmp_path / "parts") == expected
    assert build_dataset(pristine_tree, tmp_path / "parts", by_bytes, jobs=1).complete_before


def test_a_dataset_that_was_begun_keeps_its_cut(tree: Path, recipe: Recipe, tmp_path: Path) -> None:
    """A file that could not be read may be put right before the same command runs again."""
    by_bytes = sized(recipe, 82_000)
    photo = tree / "JPEGImages/c_3.jpg"
    whole = photo.read_bytes()
    photo.write_bytes(b"no picture")
    assert size_of(tree, by_bytes) == 2
    assert build_dataset(tree, tmp_path / "out", by_bytes, jobs=1, part=(1, 2)).errors == 0
    assert build_dataset(tree, tmp_path / "out", by_bytes, jobs=1).errors == 1
    photo.write_bytes(whole)
    assert size_of(tree, by_bytes) == 1
    summary = build_dataset(tree, tmp_path / "out", by_bytes, jobs=1)
    assert (summary.images, summary.errors) == (7, 0)
    expected = content_of(tmp_path / "out")
    (tmp_path / "out/plan.json").unlink()
    (tmp_path / "out/train-00001.h5").unlink()
    assert not repair_dataset(tmp_path / "out", tree, jobs=1).verification.problems
    assert content_of(tmp_path / "out") == expected
    for other in (sized(recipe, 82_001), sized(recipe, 82_000, images=999), recipe):
        with pytest.raises(InputError, match="its recipe differs"):
            build_dataset(tree, tmp_path / "out", other, jobs=1)


def test_the_record_has_the_bound_only_if_there_is_one(
    pristine_tree: Path, pristine_dataset: Path, recipe: Recipe
) -> None:
    assert recipe.record()["shards"] == {"images": 2}
    assert sized(recipe, 5).record()["shards"] == {"images": 1000, "bytes": 5}
    plan = json.loads((pristine_dataset / "plan.json").read_bytes())
    assert plan["recipe"]["shards"] == {"images": 2}
    photographs = list_photographs(find_tree(pristine_tree))
    same = make_plan(photographs, recipe, open_textures(), ("train", "val"))
    assert same.digest == plan["digest"]
