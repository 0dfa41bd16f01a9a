"""Structure-preserving smoothing operators and the VOC-smooth dataset builder.

The operators are loaded on first use: ``import vocsmooth`` alone costs milliseconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vocsmooth.errors import ConvergenceError, DatasetError, InputError, VocsmoothError

if TYPE_CHECKING:
    from vocsmooth.guided import guided_filter
    from vocsmooth.l0 import l0_smooth
    from vocsmooth.operators import OPERATORS, smooth
    from vocsmooth.rtv import rtv_smooth

__version__ = "0.1.0"

__all__ = [
    "OPERATORS",
    "ConvergenceError",
    "DatasetError",
    "InputError",
    "VocsmoothError",
    "__version__",
    "guided_filter",
    "l0_smooth",
    "rtv_smooth",
    "smooth",
]

_MODULES = {
    "OPERATORS": "operators",
    "guided_filter": "guided",
    "l0_smooth": "l0",
    "rtv_smooth": "rtv",
    "smooth": "operators",
}


def __getattr__(name: str) -> Any:
    """Import an operator when it is first asked for (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module 'vocsmooth' has no attribute {name!r}")
    value = getattr(import_module(f"vocsmooth.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the lazy names too."""
    return sorted(set(globals()) | set(__all__))
