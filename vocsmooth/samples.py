"""From one photograph to all its maps: label, inputs, negatives, edges, mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class ImageMaps:
    """All maps of one photograph (H x W) with its K texture-enhanced inputs."""

    id: str
    """The photograph's id."""
    split: str
    """The split it belongs to."""
    label: NDArray[np.uint8]
    """(H, W, 3) structure image."""
    edge: NDArray[np.uint8]
    """(H, W), 1 on edges of the label, else 0."""
    mask: NDArray[np.uint8]
    """(H, W) classes 0..20, 255 void."""
    image_negatives: Mapping[str, NDArray[np.uint8]]
    """(H, W, 3) by name: negatives of the photograph or the label."""
    inputs: NDArray[np.uint8]
    """(K, H, W, 3), exactly clip(label + texture, 0, 255)."""
    textures: NDArray[np.int16]
    """(K, H, W) grey texture fields, or (K, H, W, 3) when the recipe asks for colour."""
    input_negatives: Mapping[str, NDArray[np.uint8]]
    """(K, H, W, 3) by name: negatives of the inputs."""
    provenance: dict[str, Any]
    """Plain dicts, lists and scalars: source files, operator, scores, textures, checks."""


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A photograph that is not in the dataset."""

    id: str
    """The photograph's id."""
    split: str
    """The split it would have been in."""
    kind: Literal["rejected", "error"]
    """rejected: no label was good enough. error: its files cannot be used."""
    reason: str
    """A sentence: what, where, expected, got."""
