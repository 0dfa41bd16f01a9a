"""Arrays in, arrays out: the smoothing operators, and what people do with smoothed images.

Read in this order: `table` names the operators; `rtv`, `l0`, `guided`, `rolling`, `ils`, `sd` and
`pyramid` hold one each, with `multigrid` for the linear systems of RTV and `bilateral` for the
filter inside `rolling` and `pyramid`. `kernels` chooses compiled code or NumPy, `compiled` and
`compiled_solvers` call the C functions, and `interface` checks their structs. `edges`, `tuning`,
`applications` and `video` build on the operators.

May import the ground of `vocsmooth` and no other wing. Names are imported when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vocsmooth.operators.applications import abstract, blend, detail_enhance, strength_map
    from vocsmooth.operators.table import OPERATORS, check_params, smooth
    from vocsmooth.operators.video import smooth_frames

__all__ = [
    "OPERATORS",
    "abstract",
    "blend",
    "check_params",
    "detail_enhance",
    "smooth",
    "smooth_frames",
    "strength_map",
]

_MODULES = {
    "OPERATORS": "table",
    "abstract": "applications",
    "blend": "applications",
    "check_params": "table",
    "detail_enhance": "applications",
    "smooth": "table",
    "smooth_frames": "video",
    "strength_map": "applications",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first asked for (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the lazy names too."""
    return sorted(set(globals()) | set(__all__))
