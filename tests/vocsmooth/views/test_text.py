"""What `vocsmooth info` prints, and recipes as TOML."""

from pathlib import Path

import pytest

from vocsmooth.maps.recipe import Recipe, load_recipe
from vocsmooth.settings import load_toml, recipe_toml, to_dict
from vocsmooth.shards.index import read_index
from vocsmooth.views.text import count_splits, describe_dataset

TRICKY = {
    "labels": {
        "fixed": {"operator": "guided", "params": {"eps": 1e-05}},
        "fallback": {"operator": "ils", "params": {"penalty": "charbonnier"}},
    },
    "name": 'quotes " and \\ and ünïcode\n',
    "ids": ["2007_000032", "é_5"],
    "textures": {"seamless": False},
}


@pytest.mark.parametrize("name", ["voc-smooth", "demo", "paper150"])
def test_bundled_recipes_survive_the_way_through_toml(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    path = tmp_path / "again.toml"
    path.write_text(recipe_toml(to_dict(recipe)), encoding="utf-8")
    assert load_recipe(path) == recipe


def test_awkward_values_survive_the_way_through_toml(tmp_path: Path) -> None:
    path = tmp_path / "again.toml"
    path.write_text(recipe_toml(TRICKY), encoding="utf-8")
    recipe = load_toml(Recipe, path)
    assert recipe.name == TRICKY["name"]
    assert recipe.ids == ("2007_000032", "é_5")
    assert recipe.labels.fixed is not None
    assert recipe.labels.fixed.params == {"eps": 1e-05}
    assert not recipe.textures.seamless


def test_splits_are_counted(pristine_dataset: Path) -> None:
    rows = count_splits(read_index(pristine_dataset))
    assert [row[:4] for row in rows] == [
        ("train", "5", "10", "3"),
        ("val", "2", "4", "1"),
        ("all", "7", "14", "4"),
    ]


def test_description_names_what_the_index_says(pristine_dataset: Path, recipe: Recipe) -> None:
    index = read_index(pristine_dataset)
    text = describe_dataset(index)
    assert index.digest in text
    assert "left out: 0 without a good label, 0 unusable" in text
    assert "photographs: 47 x 33 to 52 x 36 pixels" not in text
    assert "photographs: 31 x 45 to 52 x 36 pixels" not in text
    assert "photographs: 31 x 45 to 56 x 40 pixels" in text
    assert "maps of an input: input, texture, under" in text
    assert f"h5py {index.versions['h5py']}" in text
    assert text.endswith(recipe_toml(to_dict(recipe)))
