"""The names that the operators offer are loaded on first use and hide no module."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from importlib import import_module

import pytest

import vocsmooth
from vocsmooth import operators


@pytest.mark.parametrize("package", [vocsmooth, operators], ids=lambda package: package.__name__)
def test_no_name_is_also_a_module(package: object) -> None:
    names, path = vars(package)["__all__"], vars(package)["__path__"]
    modules = {module.name for module in pkgutil.iter_modules(path)}
    assert modules.isdisjoint(names)
    for name in names:
        assert getattr(package, name) is not None
    assert set(names) <= set(dir(package))


@pytest.mark.parametrize("module", ["applications", "table", "video"])
def test_modules_stay_importable_beside_their_names(module: str) -> None:
    found = import_module(f"vocsmooth.operators.{module}")
    assert all(
        getattr(operators, name) is getattr(found, name)
        for name in operators.__all__
        if operators._MODULES[name] == module
    )


def test_importing_the_operators_loads_none_of_them() -> None:
    code = (
        "import sys, vocsmooth.operators; sys.exit(any(m in sys.modules for m in ('numpy', 'cv2')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_other_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'blur'"):
        _ = operators.blur
