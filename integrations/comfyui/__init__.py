"""Nodes of ComfyUI for smoothing: the network, every operator, texture and detail layers.

Clone or copy this folder into ComfyUI's `custom_nodes`. Read `table` first, which says what nodes
there are; `images` applies functions of arrays to ComfyUI's tensors; `v3` and `v1` make classes for
the two interfaces of ComfyUI, of which one is offered.
"""

import contextlib

from csgisnet.errors import ConfigError
from csgisnet.prediction.spandrel import register

with contextlib.suppress(ConfigError):  # without spandrel nothing else could load our networks
    register()

try:
    import comfy_api.latest  # noqa: F401
except ImportError:  # ComfyUI from before version 3 of its interface
    from .v1 import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

    __all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
else:
    from .v3 import comfy_entrypoint

    __all__ = ["comfy_entrypoint"]
