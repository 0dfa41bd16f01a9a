"""What users import: documented with examples, which test_doctests.py runs, and light to load."""

from __future__ import annotations

import ast
import doctest
import re
import subprocess
import sys
import types
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]

FACES = ["vocsmooth", "vocsmooth.operators", "vocsmooth.shards", "csgisnet", "csgisnet.prediction"]

NAMES = [(face, name) for face in FACES for name in import_module(face).__all__]

MODULES_LOADED = {
    "vocsmooth": (2, 12),
    "csgisnet": (1, 12),
    "vocsmooth.operators": (3, 12),
    "vocsmooth.shards": (3, 12),
    "csgisnet.prediction": (2, 12),
    "vocsmooth.operators.rtv": (14, None),
    "vocsmooth.shards.reader": (21, None),
    "csgisnet.prediction.smoother": (28, None),
}
"""Largest number of our modules, and of modules beyond those of a bare interpreter, after an
import. Raise a number only for a module that is needed."""


def test_every_package_that_names_its_face_is_tested() -> None:
    found = [
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in ("vocsmooth", "csgisnet")
        for path in (ROOT / package).rglob("__init__.py")
        if "__all__" in path.read_text(encoding="utf-8")
    ]
    assert sorted(found) == sorted(FACES)


@pytest.mark.parametrize(("face", "name"), NAMES, ids=[f"{f}.{n}" for f, n in NAMES])
def test_every_public_name_has_a_docstring_with_an_example(face: str, name: str) -> None:
    value = getattr(import_module(face), name)
    if not isinstance(value, type | types.FunctionType):
        return  # data, such as a version or a table, is documented where it is defined
    docstring = value.__doc__ or ""
    first = docstring.splitlines()[0] if docstring else ""
    assert re.match(r"[A-Z].*[.:;]$", first), first
    if isinstance(value, types.FunctionType):
        assert "Parameters\n    ------" in docstring
        returns = value.__annotations__["return"] not in (None, "None")
        told = any(f"{name}\n    -----" in docstring for name in ("Returns", "Yields"))
        assert told == returns
    assert "Examples\n    ------" in docstring
    finder = doctest.DocTestFinder(recurse=False)
    module = import_module(value.__module__)
    examples = finder.find(value, name, module=False, globs=dict(vars(module)))
    assert sum(len(test.examples) for test in examples) > 0


def loaded(statement: str) -> list[str]:
    """Return what a fresh interpreter has loaded after a statement, beyond what it starts with."""
    code = (
        f"import sys; before = set(sys.modules)\n{statement}\n"
        "print(sorted(set(sys.modules) - before))"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    found: Any = ast.literal_eval(result.stdout)
    return list(found)


def ours(names: list[str]) -> list[str]:
    return [name for name in names if name.split(".")[0] in ("vocsmooth", "csgisnet")]


@pytest.mark.parametrize("module", MODULES_LOADED)
def test_an_import_loads_no_more_modules_than_it_needs(module: str) -> None:
    most_of_ours, most = MODULES_LOADED[module]
    names = loaded(f"import {module}")
    assert len(ours(names)) <= most_of_ours, ours(names)
    if most is not None:
        assert len(names) <= most, names


def test_prediction_loads_nothing_of_training() -> None:
    names = ours(loaded("import csgisnet; csgisnet.load"))
    assert "csgisnet.prediction.smoother" in names
    wings = {name.split(".")[1] for name in names if name.startswith("csgisnet.")}
    assert wings == {"errors", "device", "networks", "checkpoints", "prediction"}
    wings = {name.split(".")[1] for name in names if name.startswith("vocsmooth.")}
    assert not wings & {"dataset", "maps", "operators"}
