"""How photographs are dealt out to shards, and what a plan's digest depends on."""

import dataclasses
import gc
import tracemalloc
from pathlib import Path

import pytest
from PIL import Image

from vocsmooth.dataset.plan import make_plan, needed_bytes
from vocsmooth.maps.recipe import Recipe, load_recipe
from vocsmooth.maps.texture_settings import Textures
from vocsmooth.maps.textures import open_textures
from vocsmooth.sources.listing import Photographs
from vocsmooth.sources.voc import find_tree, list_photographs


@pytest.fixture
def photographs(pristine_tree: Path) -> Photographs:
    return list_photographs(find_tree(pristine_tree))


def test_cuts_each_split_in_order(photographs: Photographs, recipe: Recipe) -> None:
    plan = make_plan(photographs, recipe, open_textures(), ("train", "val", "test"))
    assert [(shard.name, shard.ids) for shard in plan.shards] == [
        ("train-00000.h5", ("a_1", "b_2")),
        ("train-00001.h5", ("c_3", "d_4")),
        ("train-00002.h5", ("é_5",)),
        ("val-00000.h5", ("v_1", "w_2")),
    ]
    assert plan.splits == ("train", "val", "test")


def test_digest_is_of_contents_not_of_places(
    photographs: Photographs, recipe: Recipe, tmp_path: Path
) -> None:
    textures = open_textures()
    plan = make_plan(photographs, recipe, textures, ("train", "val"))
    elsewhere = (dataclasses.replace(photographs.image_kinds[0], folder=tmp_path),)
    moved = dataclasses.replace(photographs, image_kinds=elsewhere)
    assert moved[0].image.parent == tmp_path
    assert make_plan(moved, recipe, textures, ("train", "val")).digest == plan.digest
    others = [
        make_plan(photographs[1:], recipe, textures, ("train", "val")),
        make_plan(photographs, dataclasses.replace(recipe, seed=1), textures, ("train", "val")),
        make_plan(photographs, recipe, textures, ("val", "train")),
        make_plan(
            photographs, recipe, dataclasses.replace(textures, families=()), ("train", "val")
        ),
    ]
    assert len({plan.digest, *(other.digest for other in others)}) == 5


def test_a_million_photographs_are_planned_in_columns(recipe: Recipe, tmp_path: Path) -> None:
    """No object is kept for a photograph: a string of its id alone would take 72 bytes."""
    (tmp_path / "JPEGImages").mkdir()
    for number in range(4000):
        (tmp_path / f"JPEGImages/photograph_{number:08d}.jpg").touch()
    textures = open_textures()
    recipe = dataclasses.replace(recipe, shards=dataclasses.replace(recipe.shards, images=16))
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    photographs = list_photographs(find_tree(tmp_path), ("train", "val"))
    plan = make_plan(photographs, recipe, textures, ("train", "val"))
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(plan.shards.ids) == 4000
    assert taken < 4000 * 72


def test_needed_bytes_is_the_size_of_all_maps(
    photographs: Photographs, pristine_dataset: Path, recipe: Recipe
) -> None:
    pixels = 40 * 56 + 33 * 47 + 48 * 40 + 25 * 61 + 40 * 40 + 36 * 52 + 45 * 31
    per_pixel = (3 + 1 + 1 + 3) + 2 * (3 + 2 + 3)
    needed = needed_bytes(photographs, recipe, open_textures())
    assert needed == pixels * per_pixel
    written = sum(path.stat().st_size for path in pristine_dataset.glob("*.h5"))
    assert needed < written < needed + 4 * 12 * 4096  # each dataset starts on a page
    authors = dataclasses.replace(recipe, textures=Textures(mode="authors"))
    every = len(open_textures().names)
    per_pixel = (3 + 1 + 1 + 3) + every * (3 + 2 + 3)
    assert needed_bytes(photographs, authors, open_textures()) == pixels * per_pixel


@pytest.mark.parametrize("name", ["voc-smooth", "demo", "paper150"])
def test_two_copies_of_a_bundled_recipes_shard_leave_a_worker_below_a_gigabyte(
    name: str, photographs: Photographs, tmp_path: Path
) -> None:
    Image.new("RGB", (500, 375)).save(tmp_path / "large.jpg")
    photograph = dataclasses.replace(photographs[0], image=tmp_path / "large.jpg")
    recipe = load_recipe(name)
    shard = needed_bytes([photograph] * recipe.shards.images, recipe, open_textures())
    assert 2 * shard < 700e6  # the rest is the libraries' and one photograph's intermediate results
