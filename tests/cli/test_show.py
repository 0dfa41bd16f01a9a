"""`vocsmooth info`, `labels report` and `report`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

import vocsmooth as package

Command = Callable[..., Result]


def test_info_without_a_folder_is_about_the_installation(vocsmooth: Command) -> None:
    result = vocsmooth("info")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"vocsmooth {package.__version__}\nkernels: ")


def test_info_of_a_dataset_ends_with_a_recipe_that_builds_it_again(
    vocsmooth: Command, built: Path, pristine_tree: Path, tmp_path: Path
) -> None:
    result = vocsmooth("info", built)
    assert result.exit_code == 0, result.output
    assert "train            5       10" in result.stdout
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(result.stdout.split("\n\n", 1)[1])
    words = ("--voc-root", pristine_tree, "--manifest", recipe, "--out", built)
    again = vocsmooth("build", *words)
    assert again.exit_code == 0, again.output
    assert "already complete" in again.stderr


def test_labels_report_names_the_operators(vocsmooth: Command, built: Path) -> None:
    result = vocsmooth("labels", "report", built)
    assert result.exit_code == 0, result.output
    assert "7  guided(), fixed" in result.stdout


def test_report_writes_one_page(vocsmooth: Command, built: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    result = vocsmooth("report", built, "--out", page, "--side", 16, "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{page}: 7 photographs at 16 pixels")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_report_replaces_nothing_but_a_page(vocsmooth: Command, built: Path) -> None:
    for name in ("index.json", "train-00000.h5", "README.md", "page.png"):
        result = vocsmooth("report", built, "--out", built / name)
        assert result.exit_code == 2
        assert "does not end in .html" in result.stderr
    assert vocsmooth("verify", built).exit_code == 0


@pytest.mark.parametrize("command", [["info"], ["labels", "report"], ["report", "--out", "page"]])
def test_a_folder_without_a_dataset_is_one_error(
    vocsmooth: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = vocsmooth(*command, ".")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: . holds no index.json")
    assert list(tmp_path.iterdir()) == []
