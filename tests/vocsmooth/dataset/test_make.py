"""Shards whose workers die, and builds of which parts run at once."""

import os
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from helpers import content_of

from vocsmooth.dataset.build import build_dataset
from vocsmooth.dataset.make import ShardTask, finish_shard
from vocsmooth.files import temporary_path
from vocsmooth.maps.recipe import Recipe
from vocsmooth.settings import recipe_toml, to_dict
from vocsmooth.workers.processes import WorkerDied

soak_only = pytest.mark.skipif(not os.environ.get("SOAK"), reason="needs SOAK=1")


def test_shards_whose_workers_were_killed_from_outside_are_whole(
    pristine_tree: Path,
    pristine_dataset: Path,
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever killed them, it was no photograph: none is left out."""

    def run(
        function: Callable[[ShardTask], Any], tasks: Sequence[ShardTask]
    ) -> Generator[tuple[ShardTask, Any], None, None]:
        for task in tasks:
            yield task, WorkerDied() if function is finish_shard else function(task)

    monkeypatch.setattr("vocsmooth.dataset.build.open_runner", lambda *_: nullcontext(run))
    summary = build_dataset(pristine_tree, tmp_path, recipe)
    assert summary.errors == 0
    assert content_of(tmp_path) == content_of(pristine_dataset)


@pytest.mark.parametrize("parts", [2, pytest.param(5, marks=soak_only)])
def test_an_array_of_parts_that_was_submitted_twice(
    pristine_tree: Path, pristine_dataset: Path, recipe: Recipe, tmp_path: Path, parts: int
) -> None:
    """As Slurm runs an array: all parts at once, each in a process, here two for each part."""
    manifest, out = tmp_path / "recipe.toml", tmp_path / "out"
    manifest.write_text(recipe_toml(to_dict(recipe)))
    program = "from vocsmooth_cli.dataset import main; main()"
    words = ["build", "--voc-root", pristine_tree, "--out", out, "--manifest", manifest]
    command = [*map(str, [sys.executable, "-c", program, *words, "--jobs", 1, "--part"])]
    processes = [
        subprocess.Popen([*command, f"{number}/{parts}"], stderr=subprocess.PIPE)
        for number in range(1, parts + 1)
        for _ in range(2)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert content_of(out) == content_of(pristine_dataset)


def test_what_a_late_worker_left_in_a_finished_dataset_goes(
    pristine_tree: Path, dataset: Path, recipe: Recipe
) -> None:
    expected = content_of(dataset)
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    temporary_path(dataset / "train-00000.h5", int(dead.stdout)).write_bytes(b"half")
    assert build_dataset(pristine_tree, dataset, recipe).complete_before
    assert content_of(dataset) == expected
