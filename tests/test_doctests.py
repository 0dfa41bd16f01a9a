"""Every example in a docstring runs and gives what it says."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest
from pictures import write_plain

from vocsmooth.dataset.build import build_dataset
from vocsmooth.maps.recipe import Labels, Recipe

ROOT = Path(__file__).resolve().parents[1]

MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in ("vocsmooth", "csgisnet")
    for path in sorted((ROOT / package).rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]

FEWEST = 17
"""Modules with examples; a change that loses some would otherwise pass unseen."""


@pytest.fixture(scope="module")
def reader_s_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the dataset that examples read."""
    folder = tmp_path_factory.mktemp("reader")
    write_plain(folder / "voc/JPEGImages/a.jpg", shape=(12, 16, 3))
    recipe = Recipe(labels=Labels(exact=True))
    build_dataset(folder / "voc", folder / "voc-smooth", recipe, splits=["train"], jobs=1)
    return folder


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str, reader_s_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(reader_s_folder)
    results = doctest.testmod(import_module(name), optionflags=doctest.FAIL_FAST)
    assert results.attempted > 0
    assert results.failed == 0


def test_what_users_call_has_examples() -> None:
    assert len(MODULES) >= FEWEST
    assert {
        "csgisnet.prediction.smoother",
        "vocsmooth.operators.applications",
        "vocsmooth.operators.video",
    } <= set(MODULES)
