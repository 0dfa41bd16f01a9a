"""What a build says of the photographs that it leaves out, a few or very many."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from rich.console import Console
from rich.progress import Progress
from vocsmooth_cli.progress import Bar

from vocsmooth.sources.tree import Entry, write_tree

Command = Callable[..., Result]

RECIPE = """
[labels.fixed]
operator = "guided"
[textures]
count = 1
[shards]
images = 1
"""

REJECTING = """
[labels]
min_score = 1.0
[[labels.candidates]]
operator = "guided"
values = {eps = [1e-8]}
[textures]
count = 1
[shards]
images = 1
"""
"""Its only candidate smooths nothing."""


def make_tree(root: Path, good: int, bad: int) -> Path:
    """Write photographs of which some cannot be read."""
    names = [f"bad_{number:03d}" for number in range(bad)]
    names += [f"good_{number:03d}" for number in range(good)]
    mask = np.zeros((33, 47), np.uint8)
    mask[8:16, 11:23] = 12
    mask[0] = 255
    noise = np.random.default_rng(2).integers(-25, 26, (1, 47, 3))
    pixels = (np.where(mask[..., None] == 12, 180, 70) + noise).astype(np.uint8)
    entries = (Entry(name, pixels, mask) for name in names)
    write_tree(root, {"train": names}, entries, sources="drawn for tests", suffix=".jpg")
    for path in root.glob("JPEGImages/bad_*"):
        path.write_bytes(b"no picture")
    return root


def build(
    vocsmooth: Command, tmp_path: Path, tree: Path, recipe: str = RECIPE, *more: object
) -> Result:
    (tmp_path / "recipe.toml").write_text(recipe)
    options = ("--manifest", tmp_path / "recipe.toml", "--split", "train", "--jobs", 1)
    return vocsmooth("build", "--voc-root", tree, "--out", tmp_path / "out", *options, *more)


def test_a_few_have_a_line_each(vocsmooth: Command, tmp_path: Path) -> None:
    result = build(vocsmooth, tmp_path, make_tree(tmp_path / "voc", 2, 20))
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert sum(line.startswith("error: ") for line in lines) == 20
    assert "left out" not in result.stderr.lower()
    assert lines[-1] == "The unusable photographs are named above and in the shards' JSON files."


def test_of_many_only_the_first_have(
    vocsmooth: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines of progress, here one for each step, count the others; where they are is said."""
    monkeypatch.setattr("vocsmooth_cli.progress._SECONDS_BETWEEN_LINES", 0)
    result = build(vocsmooth, tmp_path, make_tree(tmp_path / "voc", 2, 60))
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert [line for line in lines if line.startswith("error: ")] == [
        line for line in lines if re.match(r"error: .*bad_0[01]\d\.jpg", line)
    ]
    assert sum(line.startswith("error: ") for line in lines) == 20
    found = (re.search(r"; (\d+) unusable left out$", line) for line in lines)
    counts = [int(match[1]) for match in found if match]
    assert counts[0] == 21
    assert counts[-1] == 60
    assert counts == sorted(counts)
    assert len(set(counts)) == 40
    assert lines[-1] == (
        "Left out: 60 unusable. The first 20 of each are named above; "
        "the JSON files beside the shards list all of them."
    )
    sidecars = (json.loads(p.read_text()) for p in (tmp_path / "out").glob("train-*.json"))
    assert sum(len(sidecar["left_out"]) for sidecar in sidecars) == 60


def test_who_wants_errors_only_is_told_of_the_others(vocsmooth: Command, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "voc", 1, 40)
    result = build(vocsmooth, tmp_path, tree, RECIPE, "--quiet")
    lines = result.stderr.splitlines()
    assert (result.exit_code, result.stdout, len(lines)) == (1, "", 21)
    assert lines[-1].startswith("Left out: 40 unusable.")


def test_rejections_do_not_take_the_lines_of_errors(vocsmooth: Command, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "voc", 30, 25)
    result = build(vocsmooth, tmp_path, tree, REJECTING)
    lines = result.stderr.splitlines()
    for kind in ("rejected", "error"):
        assert sum(line.startswith(f"{kind}: ") for line in lines) == 20
    assert "Left out: 30 rejected, 25 unusable." in result.stderr
    quiet = build(vocsmooth, tmp_path, tree, REJECTING, "--quiet").stderr.splitlines()
    assert [line.split(":")[0] for line in quiet] == ["error"] * 20 + ["Left out"]


def test_a_terminal_shows_the_count_in_the_bar() -> None:
    console = Console(force_terminal=True, width=200, record=True, stderr=True)
    with Progress(console=console) as progress:
        bar = Bar(progress, "photographs", 300)
        for number in range(1, 301):
            bar.leave_out("rejected", f"photograph {number}")
            bar.update(number, 300)
    text = console.export_text()
    assert text.count("rejected: photograph") == 20
    assert "photographs (300 rejected left out)" in text
