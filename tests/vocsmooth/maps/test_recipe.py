"""Recipes: the bundled ones, expansion, and one clear error for each kind of mistake."""

from pathlib import Path

import pytest

from vocsmooth.errors import InputError
from vocsmooth.maps.recipe import Grid, Operator, Recipe, load_recipe
from vocsmooth.settings import from_dict, to_dict

MINIMAL = """
[labels.fixed]
operator = "guided"
"""


@pytest.mark.parametrize("name", ["voc-smooth", "demo", "paper150"])
def test_bundled_recipes_load_and_survive_json(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert from_dict(Recipe, to_dict(recipe), "stored") == recipe
    assert {(n.name, n.of, n.worse) for n in recipe.negatives} == {
        ("over", "photo", "boundaries"),
        ("under", "input", "inside"),
    }


def test_paper_recipe_has_the_150_ids_and_the_authors_mode() -> None:
    recipe = load_recipe("paper150")
    assert len(recipe.ids) == 150
    assert recipe.ids[0] == "2007_000363"
    assert recipe.textures.mode == "authors"
    assert recipe.labels.fixed is not None


def test_ids_of_the_paper_are_those_of_its_authors(shared: Path) -> None:
    ids = (shared / "paper_voc_ids.txt").read_text().split()
    assert sorted(load_recipe("paper150").ids) == sorted(ids)


def test_grid_expands_to_every_combination_in_order() -> None:
    grid = Grid(operator="rtv", values={"lam": [0.1, 0.2], "sigma": [1.0, 2.0, 3.0]})
    expanded = grid.expand()
    assert len(expanded) == 6
    assert expanded[1] == Operator(operator="rtv", params={"lam": 0.1, "sigma": 2.0})
    assert expanded[-1].params == {"lam": 0.2, "sigma": 3.0}


def test_defaults_fill_a_minimal_recipe(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MINIMAL)
    recipe = load_recipe(path)
    assert recipe.ids == ()
    assert recipe.labels.fixed == Operator(operator="guided")
    assert recipe.labels.expand() == ()


def test_id_list_is_read_from_beside_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "few.txt").write_text("a\nb\n")
    path = tmp_path / "mine.toml"
    path.write_text('ids = "few.txt"\n' + MINIMAL)
    assert load_recipe(str(path)).ids == ("a", "b")
    path.write_text('ids = ["c"]\n' + MINIMAL)
    assert load_recipe(path).ids == ("c",)
    path.write_text('ids = "gone.txt"\n' + MINIMAL)
    with pytest.raises(InputError, match=r"No id list .*gone\.txt"):
        load_recipe(path)


NEGATIVE = '[[negatives]]\nname = "{}"\noperator = "l0"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sed = 1\n" + MINIMAL, "unknown key 'sed'. Did you mean 'seed'?"),
        ("seed = -1\n" + MINIMAL, r"seed must be in \[0, .*\], got -1"),
        ("val_fraction = nan\n" + MINIMAL, "val_fraction must be in"),
        ("[labels]\nmin_score = 0.5", "one of candidates, fixed and exact"),
        (MINIMAL + '[[labels.candidates]]\noperator = "l0"\nvalues = {}', "give exactly one of"),
        (MINIMAL + "[labels.min_score]", "min_score"),
        ('[labels.fixed]\noperator = "guded"', "No operator 'guded'. Did you mean 'guided'?"),
        (MINIMAL + "params = { raduis = 3 }", "no parameter 'raduis'. Did you mean 'radius'?"),
        (
            '[[labels.candidates]]\noperator = "l0"\nvalues = { lam = [] }',
            r"values.lam must be a non-empty array, got \[\]",
        ),
        ('[[labels.candidates]]\noperator = "l0"\nvalues = { lam = 0.1 }', "non-empty array"),
        (MINIMAL + "params = { radius = -3 }", "operator 'guided': "),
        (MINIMAL + 'params = { eps = "much" }', "operator 'guided': "),
        (MINIMAL + "[textures]\nstrength = [1.0, 0.5]", "from small to large"),
        (MINIMAL + "[textures]\nscale = [0.0, 1.0]", r"scale must be in \[0.05, 20\], got 0.0"),
        (MINIMAL + "[textures]\ncount = 0", "count must be in"),
        (MINIMAL + '[textures]\nmode = "autors"', "one of 'random', 'authors', got 'autors'"),
        (MINIMAL + '[textures]\nmode = "authors"\ncolor = 0.1', "color must be 0 in the authors'"),
        (MINIMAL + NEGATIVE.format("Über"), r"name must match .*, got 'Über'"),
        (MINIMAL + NEGATIVE.format("label"), "'label' is taken"),
        (MINIMAL + NEGATIVE.format("a") * 2, "two negatives are named 'a'"),
        (MINIMAL + "[shards]\nimages = 0", "images must be in"),
        (MINIMAL + "[shards]\nbytes = -1", r"bytes must be in \[0, 1000000000000\], got -1"),
        (MINIMAL + "[shards]\nbytes = 250e6", "bytes must be of type int, got 250000000.0"),
        (MINIMAL + "[edges]\nthreshold = -1", "threshold must be in"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        load_recipe(path)
    assert str(path) in str(caught.value)


def test_unknown_name_lists_the_bundled() -> None:
    with pytest.raises(InputError, match="Did you mean 'paper150'"):
        load_recipe("paper15")
    with pytest.raises(InputError, match="No settings file"):
        load_recipe("nowhere/x.toml")
