"""CSGIS-Net: contrastive semantic-guided image smoothing (arXiv 2209.00977).

`load` returns a trained network, ready to smooth; torch is not imported before that.
`SmoothingNetwork` is the module itself, for a loop of your own, with `from_pretrained`,
`save_pretrained` and `push_to_hub`.

The wings, from the bottom to the top (the docstring of each says which others it may import):

- `networks`: modules that map tensors to tensors: the smoothing network, the segmenter, features
- `checkpoints`: files of weights and training states, each checked before it is used
- `evaluation`: smoothers of any kind, measured on the same images and reported side by side
- `objective`: what training minimises, and the teachers that some of its terms ask
- `prediction`: images of any size, smoothed by a trained network in bounded memory
- `preview`: a local page to try every operator and network on a picture
- `training`: from a dataset and a configuration to checkpoints

All of them use `errors` and `device`; `configs` and `models` hold data.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from csgisnet.checkpoints.hub import SmoothingNetwork
    from csgisnet.prediction.loading import load
    from csgisnet.prediction.smoother import Smoother

__version__ = "0.1.0"

__all__ = ["Smoother", "SmoothingNetwork", "__version__", "load"]

_MODULES = {
    "Smoother": "prediction.smoother",
    "SmoothingNetwork": "checkpoints.hub",
    "load": "prediction.loading",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module 'csgisnet' has no attribute {name!r}")
    value = getattr(import_module(f"csgisnet.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the lazy names as well."""
    return sorted(set(globals()) | set(__all__))
