"""Prediction: images of any size, smoothed by a trained network in bounded memory.

Read `smoother` first; it cuts large images by `tiling` and groups the requests of several threads
by `batching`; `inputs` takes tensors and other kinds of images. `precision` chooses how a network
multiplies, and `fused`, `int8` and `compiled` are the network for that; `compiled` is built of
`compiled_layers`, which are computed as `matrix` or `winograd` say. `kinds` are the pictures on
which int8 is judged. `loading` finds the network by its name, and `spandrel` hands it to other
programs.

May import: the ground of both packages, `vocsmooth.operators`, `networks`, `checkpoints`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from csgisnet.prediction.loading import load
    from csgisnet.prediction.smoother import Smoother

__all__ = ["Smoother", "load"]

_MODULES = {"Smoother": "smoother", "load": "loading"}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
