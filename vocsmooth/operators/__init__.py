"""Arrays in, arrays out: the smoothing operators, and what is made of their results."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vocsmooth.operators.table import OPERATORS, check_params, smooth

__all__ = ["OPERATORS", "check_params", "smooth"]

_MODULES = {"OPERATORS": "table", "check_params": "table", "smooth": "table"}


def __getattr__(name: str) -> Any:
    """Import a name when it is first asked for (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
