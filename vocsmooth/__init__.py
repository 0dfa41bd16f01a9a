"""Structure-preserving smoothing operators and the VOC-smooth dataset builder.

The wings, from the bottom to the top (the docstring of each says which others it may import):

- `workers`: run tasks in processes or on a cluster
- `operators`: arrays in, arrays out: the smoothing operators
- `images`: find, read, smooth and write image files
- `shards`: what lies on disk: format, records, writer and reader
- `views`: what people and other programs see of a dataset
- `sources`: where photographs and masks come from
- `maps`: turn one photograph into all its maps
- `dataset`: plan, build, verify, repair and archive a dataset

All stand on the ground: `errors`, `arrays`, `classes`, `seeds`, `files`, `folders`, `settings`,
`overrides` and `libraries`. The operators are loaded on first use: ``import vocsmooth`` alone costs
milliseconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vocsmooth.errors import ConvergenceError, DatasetError, InputError, VocsmoothError

if TYPE_CHECKING:
    from vocsmooth.operators.guided import guided_filter
    from vocsmooth.operators.ils import ils_smooth
    from vocsmooth.operators.l0 import l0_smooth
    from vocsmooth.operators.pyramid import pyramid_texture_filter
    from vocsmooth.operators.rolling import rolling_guidance_filter
    from vocsmooth.operators.rtv import rtv_smooth
    from vocsmooth.operators.sd import sd_filter
    from vocsmooth.operators.table import OPERATORS, smooth

__version__ = "0.1.0"

__all__ = [
    "OPERATORS",
    "ConvergenceError",
    "DatasetError",
    "InputError",
    "VocsmoothError",
    "__version__",
    "guided_filter",
    "ils_smooth",
    "l0_smooth",
    "pyramid_texture_filter",
    "rolling_guidance_filter",
    "rtv_smooth",
    "sd_filter",
    "smooth",
]

_MODULES = {
    "OPERATORS": "operators.table",
    "guided_filter": "operators.guided",
    "ils_smooth": "operators.ils",
    "l0_smooth": "operators.l0",
    "pyramid_texture_filter": "operators.pyramid",
    "rolling_guidance_filter": "operators.rolling",
    "rtv_smooth": "operators.rtv",
    "sd_filter": "operators.sd",
    "smooth": "operators.table",
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
