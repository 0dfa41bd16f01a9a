"""Textures by class: what the label keeps, what the inputs add, and where."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vocsmooth.classes import VOID
from vocsmooth.dataset.build import build_dataset
from vocsmooth.dataset.verify import verify_dataset
from vocsmooth.errors import InputError
from vocsmooth.images.reading import read_rgb
from vocsmooth.maps.by_class import draw_class_fields, fill_void
from vocsmooth.maps.photograph import make_maps
from vocsmooth.maps.recipe import Labels, Recipe, load_recipe
from vocsmooth.maps.texture_settings import ClassTexture, Textures
from vocsmooth.maps.textures import open_textures
from vocsmooth.settings import from_dict, to_dict
from vocsmooth.shards.writer import ImageMaps
from vocsmooth.sources.scenes import write_scene_tree
from vocsmooth.sources.voc import find_tree, list_photographs

RECIPE = Recipe(
    labels=Labels(exact=True),
    textures=Textures(count=2, scale=(0.3, 0.5)),
    classes=(
        ClassTexture(index=1, families=("stripes",), keep=True),
        ClassTexture(index=2, families=("dots", "weave"), strength=(1.0, 1.0)),
    ),
)


@pytest.fixture
def mask() -> NDArray[np.uint8]:
    mask = np.zeros((60, 90), np.uint8)
    mask[:, 30:60], mask[:, 60:] = 1, 2
    mask[:, 58:62] = VOID
    return mask


def test_every_class_gets_its_texture_and_the_others_none(mask: NDArray[np.uint8]) -> None:
    kept, fields = draw_class_fields(RECIPE, mask, "a")
    whole = fill_void(mask)
    drawn = list(fields)
    assert len(drawn) == 2
    for field, where in ((kept, 1), *((field, 2) for field, _ in drawn)):
        assert field.dtype == np.int16
        assert not field[whole != where].any()
        assert field[whole == where].std() > 5
        assert abs(field[whole == where].mean()) < 1
    assert not np.array_equal(drawn[0][0], drawn[1][0])
    for _, provenance in drawn:
        assert set(provenance["classes"]) == {"2"}
        assert provenance["texture"] == provenance["classes"]["2"]["texture"]


def test_void_goes_with_the_class_beside_it(mask: NDArray[np.uint8]) -> None:
    whole = fill_void(mask)
    np.testing.assert_array_equal(whole[mask != VOID], mask[mask != VOID])
    assert whole[0, 56:64].tolist() == [1, 1, 1, 1, 2, 2, 2, 2]
    nothing = np.full((4, 4), VOID, np.uint8)
    assert (fill_void(nothing) == VOID).all()


def test_fields_depend_on_seed_id_and_number_alone(mask: NDArray[np.uint8]) -> None:
    kept, fields = draw_class_fields(RECIPE, mask, "a")
    again, others = draw_class_fields(RECIPE, mask, "a")
    np.testing.assert_array_equal(kept, again)
    for (field, _), (other, _) in zip(fields, others, strict=True):
        np.testing.assert_array_equal(field, other)
    assert not np.array_equal(kept, draw_class_fields(RECIPE, mask, "b")[0])
    without = dataclasses.replace(RECIPE, seed=9)
    assert not np.array_equal(kept, draw_class_fields(without, mask, "a")[0])


def test_colour_gives_three_channels(mask: NDArray[np.uint8]) -> None:
    recipe = dataclasses.replace(RECIPE, textures=Textures(count=1, color=0.3))
    kept, fields = draw_class_fields(recipe, mask, "a")
    assert kept.shape == next(fields)[0].shape == (60, 90, 3)


def test_the_label_keeps_structure_and_the_input_adds_the_rest(tmp_path: Path) -> None:
    write_scene_tree(
        tmp_path / "scenes", {"train": 2, "val": 1}, size=(64, 80), seed=2, families={"classes": 1}
    )
    recipe = load_recipe("classes")
    keeps = [c.index for c in recipe.classes if c.keep]
    for photograph in list_photographs(find_tree(tmp_path / "scenes")):
        maps = make_maps(photograph, recipe, open_textures(), strict=True)
        assert isinstance(maps, ImageMaps)
        scene = read_rgb(photograph.image).astype(int)
        keep = np.isin(fill_void(maps.mask), keeps)
        np.testing.assert_array_equal(maps.label[~keep], scene[~keep])
        for image in maps.inputs:
            np.testing.assert_array_equal(image[keep], maps.label[keep])
            assert (image[~keep] != maps.label[~keep]).any()


def test_a_dataset_of_classes_is_built_and_verified(tmp_path: Path) -> None:
    write_scene_tree(
        tmp_path / "scenes", {"train": 2, "val": 1}, size=(48, 48), families={"classes": 1}
    )
    recipe = dataclasses.replace(RECIPE, name="two")
    build_dataset(tmp_path / "scenes", tmp_path / "data", recipe, jobs=1)
    assert verify_dataset(tmp_path / "data").problems == ()


def test_recipes_without_classes_are_recorded_as_before_there_were_any() -> None:
    plain = dataclasses.replace(RECIPE, classes=())
    assert "classes" not in plain.record()
    assert from_dict(Recipe, plain.record(), "stored") == plain
    assert RECIPE.record()["classes"] == to_dict(RECIPE)["classes"]
    assert from_dict(Recipe, RECIPE.record(), "stored") == RECIPE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("index = 1\nfamilies = ['stripe']", "unknown 'stripe'. Did you mean 'stripes'"),
        ("index = 1\nfamilies = []", "must name at least one"),
        ("index = 21\nfamilies = ['dots']", r"index must be in \[0, 20\], got 21"),
        (
            "index = 1\nfamilies = ['dots']\n[[classes]]\nindex = 1\nfamilies = ['dots']",
            "same index",
        ),
        ("index = 1\nfamilies = ['dots']\n[textures]\nmode = 'authors'", "mode = 'random'"),
    ],
)
def test_wrong_classes_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f"[labels]\nexact = true\n[[classes]]\n{text}\n")
    with pytest.raises(InputError, match=message):
        load_recipe(path)
