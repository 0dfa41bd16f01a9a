"""The texture part of a recipe: which fields are laid over a label, and how, also by class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vocsmooth.classes import VOC_CLASSES
from vocsmooth.maps.procedural import FAMILIES
from vocsmooth.settings import nearest


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Refuse a value outside [low, high], or NaN."""
    if not low <= value <= high:
        raise ValueError(f"{name} must be in [{low}, {high}], got {value}")


def check_pair(name: str, pair: tuple[float, float], low: float, high: float) -> None:
    """Refuse a range whose ends are in the wrong order or outside [low, high]."""
    for value in pair:
        check_range(name, value, low, high)
    if pair[0] > pair[1]:
        raise ValueError(f"{name} must run from small to large, got {list(pair)}")


@dataclass(frozen=True, kw_only=True)
class Textures:
    """Which texture fields are laid over a label, and how."""

    mode: Literal["random", "authors"] = "random"
    """"random": `count` draws a label. "authors": every texture once, unchanged, at strength 1."""
    count: int = 4
    """Inputs per photograph in random mode."""
    strength: tuple[float, float] = (0.5, 1.0)
    """Range of the factor on the texture's grey values."""
    contrast: float = 0.0
    """Standard deviation in grey levels that photographic tiles are brought to, as the procedural
    ones are; 0 leaves each photograph its own."""
    flatten: float = 0.0
    """Scale in pixels above which changes of light in photographs are removed; 0 keeps them."""
    scale: tuple[float, float] = (0.5, 1.25)
    """Range of the magnification."""
    rotation: float = 180.0
    """Largest turn to either side, in degrees."""
    color: float = 0.0
    """Largest deviation of a channel's strength from the common one; 0 keeps the texture grey."""
    procedural: bool = False
    """Draw from the procedural families, too, each as often as one photograph of the folder."""
    seamless: bool = True
    """Blend the borders of photographic tiles so that their copies join without a seam."""

    def __post_init__(self) -> None:
        check_range("count", self.count, 1, 10_000)
        check_range("rotation", self.rotation, 0, 180)
        check_range("color", self.color, 0, 1)
        check_range("contrast", self.contrast, 0, 127)
        check_range("flatten", self.flatten, 0, 10_000)
        check_pair("strength", self.strength, 0, 10)
        check_pair("scale", self.scale, 0.05, 20)
        if self.mode == "authors" and self.color:
            raise ValueError(f"color must be 0 in the authors' mode, got {self.color}")


@dataclass(frozen=True, kw_only=True)
class ClassTexture:
    """Which texture the pixels of a class carry; `textures` decides how it is laid."""

    index: int
    """The class in the masks, 0 to 20."""
    families: tuple[str, ...]
    """Procedural families, of which one is drawn."""
    strength: tuple[float, float] = (0.5, 1.0)
    """Range of the factor on the texture's grey values."""
    keep: bool = False
    """Whether the texture is structure: the label has it, too."""

    def __post_init__(self) -> None:
        check_range("index", self.index, 0, len(VOC_CLASSES) - 1)
        check_pair("strength", self.strength, 0, 10)
        for name in self.families:
            if name not in FAMILIES:
                raise ValueError(f"families has an unknown {name!r}.{nearest(name, FAMILIES)}")
        if not self.families:
            raise ValueError("families must name at least one")
