"""Settings changed from the command line are checked like those of a file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from csgisnet.training.config import Config, load_config
from vocsmooth.errors import InputError, OverrideError
from vocsmooth.maps.recipe import Operator, load_recipe
from vocsmooth.overrides import override
from vocsmooth.settings import bundled_toml


@pytest.mark.parametrize("name", bundled_toml("csgisnet.configs"))
def test_no_change_changes_no_configuration(name: str) -> None:
    config = load_config(name)
    assert override(config, []) == config


@pytest.mark.parametrize("name", bundled_toml("vocsmooth.manifests"))
def test_no_change_changes_no_recipe(name: str) -> None:
    recipe = load_recipe(name)
    assert override(recipe, []) == recipe


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("optimizer.lr=1e-4", 1e-4),
        ("optimizer.lr = 1", 1.0),
        ("run.steps=20", 20),
        ("run.precision=bfloat16", "bfloat16"),
        ('run.precision="bfloat16"', "bfloat16"),
        ("run.compile=true", True),
        ("augment.scale=[0.5, 2]", (0.5, 2.0)),
        ('data.negatives=["input"]', ("input",)),
        ("seed=3", 3),
    ],
)
def test_values_have_the_types_of_their_keys(change: str, expected: object) -> None:
    changed: Any = override(Config(), [change])
    for key in change.partition("=")[0].strip().split("."):
        changed = getattr(changed, key)
    assert changed == expected
    assert type(changed) is type(expected)


def test_only_the_keys_named_change_and_the_last_of_several_counts() -> None:
    before = load_config("full")
    after = override(before, ["optimizer.lr=1", "run.steps=5", "optimizer.lr=2"])
    optimizer = dataclasses.replace(before.optimizer, lr=2.0)
    run = dataclasses.replace(before.run, steps=5)
    assert after == dataclasses.replace(before, optimizer=optimizer, run=run)


def test_a_recipe_is_changed_before_its_ids_are_read_and_its_operators_tried(
    tmp_path: Path,
) -> None:
    (tmp_path / "mine.toml").write_text('[labels.fixed]\noperator = "l0"\n')
    (tmp_path / "list.txt").write_text("a\nb\n")
    assert load_recipe(tmp_path / "mine.toml", ["ids=list.txt"]).ids == ("a", "b")
    with pytest.raises(InputError, match="lam"):
        load_recipe(tmp_path / "mine.toml", ["labels.fixed.params.lam=-1.0"])


def test_changes_must_fit_together_only_in_the_end() -> None:
    config = override(Config(), ["network.width=8", "augment.scale=[3.0, 3.5]"])
    assert config.augment.scale == (3.0, 3.5)
    recipe = load_recipe("paper150")
    changed = override(recipe, ["labels.fixed.operator=l0", "labels.fixed.params={lam = 0.03}"])
    assert changed.labels.fixed == Operator(operator="l0", params={"lam": 0.03})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("optimizer.lrr=1", r"--set: optimizer: unknown key 'lrr'. Did .* 'lr'\?"),
        ("optimiser.lr=1", r"unknown key 'optimiser'. Did you mean 'optimizer'\?"),
        ("optimizer.lr=fast", "optimizer: lr must be of type float, got 'fast'"),
        ("optimizer.lr=", "optimizer: lr must be of type float, got ''"),
        ("run.steps=1.5", "run: steps must be of type int, got 1.5"),
        ("run.steps=0", "steps must be at least 1, got 0"),
        ("run.steps=1\nseed=2", "run: steps must be of type int"),
        ("run=5", "run must be a table, got 5"),
        ("run.steps.more=5", "steps is not a section but 100000. Set it as a whole."),
        ("run.steps", "expected KEY=VALUE"),
        ("=5", "unknown key ''"),
        ("run.precision=half", "precision must be one of .* got 'half'"),
    ],
)
def test_what_cannot_be_set_is_named(change: str, words: str) -> None:
    with pytest.raises(OverrideError, match=words):
        override(Config(), [change])
