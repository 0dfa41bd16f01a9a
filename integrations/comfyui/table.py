"""The table of nodes: names, inputs, outputs and functions, without ComfyUI's own classes."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from csgisnet import Smoother
from csgisnet.checkpoints.networks import load_network
from csgisnet.checkpoints.pretrained import DEFAULT, bundled_models
from csgisnet.preview.methods import STRENGTHS, Control, Method, methods
from vocsmooth.operators import abstract, blend, detail_enhance, smooth

from .images import for_each_image

CATEGORY = "image/smoothing"

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An input or output that carries images or a mask."""

    name: str
    kind: Literal["IMAGE", "MASK"] = "IMAGE"
    optional: bool = False


@dataclass(frozen=True, kw_only=True)
class Node:
    """One node."""

    node_id: str
    """Must never change, as saved workflows name it."""
    title: str
    description: str
    pictures: tuple[Picture, ...]
    """Inputs that are connected by wires; they come before the `controls`."""
    controls: tuple[Control, ...]
    """Inputs that are set by hand."""
    outputs: tuple[Picture, ...]
    run: Callable[..., tuple[Tensor, ...]]
    """Takes all inputs by name, and returns the outputs in order."""


def number(name: str, default: float, low: float, high: float) -> Control:
    """Return a slider, for whole numbers if the default is one."""
    return Control(name=name, default=default, low=low, high=high, whole=isinstance(default, int))


def step_of(control: Control) -> float:
    """Return by how much one click changes a number: about a hundredth of a slider's length.

    Where the ends are far apart, as of 0.001 and 0.1, it is about the lower end.
    """
    if control.low > 0 and control.high / control.low > 20:
        return float(10.0 ** math.floor(math.log10(control.low)))
    return float(10.0 ** (math.floor(math.log10(control.high - control.low)) - 2))


def network_files() -> dict[str, str]:
    """Return the networks to choose from: those of the package, and files of ComfyUI's own folder.

    Files lie where ComfyUI keeps models for its node "Load Upscale Model".
    """
    found = {name: str(path) for name, path in bundled_models().items()}
    try:
        import folder_paths  # ComfyUI's own
    except ImportError:
        return found
    for name in folder_paths.get_filename_list("upscale_models"):
        if Path(name).suffix in (".safetensors", ".pth"):
            found[name] = folder_paths.get_full_path_or_raise("upscale_models", name)
    return found


@functools.lru_cache(maxsize=4)
def _network(path: str, _changed: int, level: float) -> Smoother:
    """Return a network, loaded when it is first asked for and when its file has changed."""
    network = load_network(path)
    return Smoother(network, level=level if network.config.level else None)


def _smooth_with_network(
    image: Tensor, network: str, strength: float, level: float
) -> tuple[Tensor, ...]:
    path = network_files()[network]
    smoother = _network(path, Path(path).stat().st_mtime_ns, level)
    return (for_each_image(lambda array: smoother.smooth(array, strength), image),)


def _smooth_with_operator(operator: str, image: Tensor, **params: Any) -> tuple[Tensor, ...]:
    def apply(array: Array) -> Array:
        return np.clip(np.asarray(smooth(array, operator, **params)), 0, 1)

    return (for_each_image(apply, image),)


def _texture(image: Tensor, smoothed: Tensor) -> tuple[Tensor, ...]:
    return (for_each_image(lambda a, b: 0.5 + (a - b) / 2, image, smoothed),)


def _add_texture(image: Tensor, texture: Tensor, strength: float) -> tuple[Tensor, ...]:
    def add(array: Array, layer: Array) -> Array:
        return np.clip(array + strength * (2 * layer - 1), 0, 1)

    return (for_each_image(add, image, texture),)


def _enhance(image: Tensor, smoothed: Tensor, amount: float) -> tuple[Tensor, ...]:
    return (for_each_image(lambda a, b: detail_enhance(a, b, amount), image, smoothed),)


def _blend(
    image: Tensor, smoothed: Tensor, strength: float, mask: Tensor | None = None
) -> tuple[Tensor, ...]:
    if mask is None:
        return (for_each_image(lambda a, b: blend(a, b, strength), image, smoothed),)
    return (for_each_image(lambda a, b, m: blend(a, b, strength * m), image, smoothed, mask),)


def _abstract(smoothed: Tensor, levels: int, edge_strength: float) -> tuple[Tensor, ...]:
    return (for_each_image(lambda array: abstract(array, levels, edge_strength), smoothed),)


_IMAGE, _SMOOTHED = Picture(name="image"), Picture(name="smoothed")

_OPERATORS = {
    "l0": ("L0 gradient minimisation", "Flat areas with crisp edges, few colours."),
    "rtv": (
        "Relative total variation",
        "Removes regular texture of any contrast; sigma is its size.",
    ),
    "guided": ("Guided filter", "Smooths mildly and fast."),
    "rolling": ("Rolling guidance", "Removes small objects whole; large ones keep their outline."),
    "ils": ("Iterative least squares", "Smooths fast for tone and detail manipulation."),
    "sd": ("Static and dynamic filter", "Keeps weak but long structure."),
    "pyramid": ("Pyramid texture filter", "Removes coarse texture that vanishes in a small copy."),
}
"""Title and description of each operator's node."""


def _operator_node(method: Method) -> Node:
    title, description = _OPERATORS[method.name]
    return Node(
        node_id=f"Vocsmooth_{method.name}",
        title=f"Smooth: {title}",
        description=description,
        pictures=(_IMAGE,),
        controls=method.controls,
        outputs=(_SMOOTHED,),
        run=functools.partial(_smooth_with_operator, method.name),
    )


def nodes() -> list[Node]:
    """Return all nodes, the network first."""
    networks = Control(name="network", default=DEFAULT, choices=tuple(network_files()))
    (bundled,) = (method for method in methods([DEFAULT]) if method.is_network)
    return [
        Node(
            node_id="Csgisnet_network",
            title="Smooth: CSGIS-Net",
            description="Removes texture and keeps structure, with a trained network. Strength 1 "
            "is its result, 0 the image; below 0 detail is enhanced. Level says how much faint "
            "structure goes with the texture, from 0 to 1; networks that were trained without "
            "levels take no notice of it. Without seams at any size.",
            pictures=(_IMAGE,),
            controls=(networks, *bundled.controls),
            outputs=(_SMOOTHED,),
            run=_smooth_with_network,
        ),
        *(_operator_node(method) for method in methods([])),
        Node(
            node_id="Vocsmooth_texture",
            title="Texture Layer",
            description="What smoothing took away, around middle grey, for 'Add Texture Layer'.",
            pictures=(_IMAGE, _SMOOTHED),
            controls=(),
            outputs=(Picture(name="texture"),),
            run=_texture,
        ),
        Node(
            node_id="Vocsmooth_add_texture",
            title="Add Texture Layer",
            description="Lay texture over an image, stronger or weaker, or inverted below 0.",
            pictures=(_IMAGE, Picture(name="texture")),
            controls=(number("strength", 1.0, -4.0, 4.0),),
            outputs=(_IMAGE,),
            run=_add_texture,
        ),
        Node(
            node_id="Vocsmooth_enhance",
            title="Enhance Detail",
            description="Add more of what smoothing would take away.",
            pictures=(_IMAGE, _SMOOTHED),
            controls=(number("amount", 1.5, 0.0, 5.0),),
            outputs=(_IMAGE,),
            run=_enhance,
        ),
        Node(
            node_id="Vocsmooth_blend",
            title="Blend Smoothed",
            description="Smooth more or less strongly, everywhere or by a mask.",
            pictures=(_IMAGE, _SMOOTHED, Picture(name="mask", kind="MASK", optional=True)),
            controls=(number("strength", 1.0, *STRENGTHS),),
            outputs=(_IMAGE,),
            run=_blend,
        ),
        Node(
            node_id="Vocsmooth_abstract",
            title="Abstract",
            description="Make a drawing of a smoothed image: steps of luminance, dark lines.",
            pictures=(_SMOOTHED,),
            controls=(number("levels", 8, 2, 32), number("edge_strength", 1.0, 0.0, 1.0)),
            outputs=(_IMAGE,),
            run=_abstract,
        ),
    ]
