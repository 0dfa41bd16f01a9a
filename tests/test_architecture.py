"""The picture of the wings shows the imports of today, and arrows only where they say something."""

from __future__ import annotations

import importlib.util
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def architecture() -> ModuleType:
    """Return the script docs/architecture.py as a module."""
    spec = importlib.util.spec_from_file_location("architecture", ROOT / "docs/architecture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_picture_is_that_of_the_code(architecture: ModuleType) -> None:
    drawn = architecture.draw()
    ET.fromstring(drawn)
    committed = (ROOT / "docs/architecture.svg").read_text(encoding="utf-8")
    assert drawn == committed, "run `python docs/architecture.py` and commit the picture"


def test_the_table_of_wings_is_complete(architecture: ModuleType) -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    for wing in architecture.WINGS:
        assert f"[`{wing}/`](../{wing})" in text, f"docs/architecture.md does not list {wing}/"


def test_arrows_that_follow_from_others_are_left_out(architecture: ModuleType) -> None:
    imports = {"a": {"b", "c", "d"}, "b": {"c"}, "c": set(), "d": {"c"}}
    assert architecture.direct(imports) == {"a": {"b", "d"}, "b": {"c"}, "c": set(), "d": {"c"}}
    assert architecture.rows(imports) == {"a": 2, "b": 1, "c": 0, "d": 1}


def test_a_circle_is_named(architecture: ModuleType) -> None:
    with pytest.raises(ValueError, match="a -> b -> a"):
        architecture.reach({"a": {"b"}, "b": {"a"}})
