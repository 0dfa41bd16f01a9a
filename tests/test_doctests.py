"""Every example in a docstring runs and gives what it says."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in ("vocsmooth", "csgisnet")
    for path in sorted((ROOT / package).rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]

FEWEST = 17
"""Modules with examples; a change that loses some would otherwise pass unseen."""


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
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
