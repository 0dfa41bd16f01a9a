"""CSGIS-Net: contrastive semantic-guided image smoothing (arXiv 2209.00977).

`load` gives a trained network, ready to smooth; torch is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from csgisnet.prediction.smoother import Smoother, load

__version__ = "0.1.0"

__all__ = ["Smoother", "__version__", "load"]

_LAZY = ("Smoother", "load")


def __getattr__(name: str) -> Any:
    """Import what smooths when it is first asked for (PEP 562)."""
    if name not in _LAZY:
        raise AttributeError(f"module 'csgisnet' has no attribute {name!r}")
    value = getattr(import_module("csgisnet.prediction.smoother"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the lazy names too."""
    return sorted(set(globals()) | set(__all__))
