"""--set changes single keys of configurations and recipes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

Command = Callable[..., Result]


def test_keys_of_a_run_are_set_and_recorded(
    csgisnet: Command, built: Path, config_file: Path, tmp_path: Path
) -> None:
    """The same command resumes the run; another value is another run."""
    words: tuple[object, ...] = ("train", "--data", built, "--out", tmp_path / "run")
    words += ("--config", config_file, "--device", "cpu", "--ablate", "contrast,semantic")
    words += ("--set", "run.steps=2")
    result = csgisnet(*words, "--set", "optimizer.lr=1e-4")
    assert result.exit_code == 0, result.output
    config = json.loads((tmp_path / "run/run.json").read_text())["config"]
    assert (config["optimizer"]["lr"], config["run"]["steps"]) == (1e-4, 2)
    assert csgisnet(*words, "--set", "optimizer.lr=1e-4", "--resume").exit_code == 0
    other = csgisnet(*words, "--set", "optimizer.lr=2e-4", "--resume")
    assert other.exit_code == 1
    assert "optimizer.lr was 0.0001, given 0.0002" in other.stderr
    for command in ("train", "train-segmenter"):
        wrong = csgisnet(command, *words[1:3], "--out", tmp_path / "b", "--set", "optimiser.lr=1")
        assert wrong.exit_code == 2
        assert "--set: unknown key 'optimiser'. Did you mean 'optimizer'?" in wrong.stderr


def test_keys_of_a_recipe_are_set_and_recorded(
    vocsmooth: Command, pristine_tree: Path, recipe_file: Path, tmp_path: Path
) -> None:
    words: tuple[object, ...] = (
        "build",
        "--voc-root",
        pristine_tree,
        "--out",
        tmp_path / "out",
        "--jobs",
        1,
    )
    words += ("--manifest", recipe_file)
    result = vocsmooth(*words, "--set", "textures.count=1", "--set", "name=mine", "--split", "val")
    assert result.exit_code == 0, result.output
    recipe = json.loads((tmp_path / "out/index.json").read_text())["recipe"]
    assert (recipe["textures"]["count"], recipe["name"]) == (1, "mine")
    wrong = vocsmooth(*words, "--set", "textures.cuont=1")
    assert wrong.exit_code == 2
    assert "--set: textures: unknown key 'cuont'. Did you mean 'count'?" in wrong.stderr
