"""What lies on disk: the format of a dataset, its records, writer and reader."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vocsmooth.shards.reader import Dataset, Split, open_dataset

__all__ = ["Dataset", "Split", "open_dataset"]

_MODULES = {"Dataset": "reader", "Split": "reader", "open_dataset": "reader"}


def __getattr__(name: str) -> Any:
    """Import a name when it is first asked for (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
