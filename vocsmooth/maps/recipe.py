"""Dataset recipes: every setting that decides what a dataset holds, checked when read."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vocsmooth.errors import InputError, UnknownNameError
from vocsmooth.files import AnyPath, as_path
from vocsmooth.maps.texture_settings import ClassTexture, Textures, check_range
from vocsmooth.operators.table import check_params, smooth
from vocsmooth.overrides import override
from vocsmooth.settings import bundled_toml, load_toml, nearest, to_dict
from vocsmooth.shards.schema import BASE_MAPS
from vocsmooth.sources.ids import read_ids

Params = dict[str, Any]
"""Keyword arguments of an operator: numbers or names."""

_MAP_NAMES = ("input", "label", "edge", "mask", "texture", "id", "shape", "start", "image")


@dataclass(frozen=True, kw_only=True)
class Operator:
    """A smoothing operator with its parameters."""

    operator: str
    """Name in `vocsmooth.operators.OPERATORS`."""
    params: Params = field(default_factory=dict)
    """Its keyword arguments; those left out take the operator's defaults."""

    def __post_init__(self) -> None:
        check_params(self.operator, self.params)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Label candidates of one operator: every combination of the values given."""

    operator: str
    """Name in `vocsmooth.operators.OPERATORS`."""
    values: dict[str, Any]
    """Parameter name to a list of values."""

    def __post_init__(self) -> None:
        check_params(self.operator, self.values)
        for name, values in self.values.items():
            if not isinstance(values, (list, tuple)) or not values:
                raise ValueError(f"values.{name} must be a non-empty array, got {values!r}")

    def expand(self) -> tuple[Operator, ...]:
        """Return the candidates, the last parameter varying fastest."""
        combinations = itertools.product(*self.values.values())
        return tuple(
            Operator(operator=self.operator, params=dict(zip(self.values, c, strict=True)))
            for c in combinations
        )


@dataclass(frozen=True, kw_only=True)
class Labels:
    """How the label of a photograph is made."""

    candidates: tuple[Grid, ...] = ()
    """Grids to screen; see `vocsmooth.maps.labels`."""
    fixed: Operator | None = None
    """One operator for all photographs instead of screening."""
    exact: bool = False
    """The photographs are structure images already, as `vocsmooth generate` draws them."""
    fallback: Operator = Operator(operator="rtv", params={"lam": 0.005, "sigma": 3.0})
    """What takes the place of screening for photographs without a mask."""
    min_score: float = 0.65
    """Photographs whose best candidate scores less are left out; scores are in [0, 1]."""

    def __post_init__(self) -> None:
        if bool(self.candidates) + (self.fixed is not None) + self.exact != 1:
            raise ValueError("give exactly one of candidates, fixed and exact")
        check_range("min_score", self.min_score, 0, 1)

    def expand(self) -> tuple[Operator, ...]:
        """Return every candidate of every grid, in order."""
        return tuple(itertools.chain.from_iterable(grid.expand() for grid in self.candidates))


@dataclass(frozen=True, kw_only=True)
class Negative:
    """A bad smoothing that the network learns to avoid."""

    name: str
    """Name of its map in the shards: lower case, digits and underscores."""
    operator: str
    """Name in `vocsmooth.operators.OPERATORS`."""
    params: Params = field(default_factory=dict)
    """The operator's keyword arguments."""
    of: Literal["photo", "label", "input"] = "photo"
    """What the operator is applied to; "input" makes one negative for each texture."""
    worse: Literal["boundaries", "inside", "unchecked"] = "unchecked"
    """Where it must be worse than the label: it keeps less of the class boundaries, or leaves more
    texture inside regions. The outcome is recorded for every photograph."""

    def __post_init__(self) -> None:
        check_params(self.operator, self.params)
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            raise ValueError(f"name must match [a-z][a-z0-9_]*, got {self.name!r}")
        if self.name in _MAP_NAMES:
            raise ValueError(f"name {self.name!r} is taken by one of the maps {_MAP_NAMES}")


@dataclass(frozen=True, kw_only=True)
class Edges:
    """Binary edges of the label."""

    threshold: float = 50.0
    """Gradient above which a pixel is an edge, in grey levels; see `vocsmooth.operators.edges`."""

    def __post_init__(self) -> None:
        check_range("threshold", self.threshold, 0, 1020)


@dataclass(frozen=True, kw_only=True)
class Shards:
    """How the dataset is cut into files."""

    images: int = 16
    """Most photographs per shard; a worker has two copies of one in memory when it writes it."""
    bytes: int = 0
    """About how large a shard may become, as some of the images' headers tell; 0 sets no bound."""

    def __post_init__(self) -> None:
        check_range("images", self.images, 1, 10_000)
        check_range("bytes", self.bytes, 0, 10**12)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A dataset: with the same photographs and version, the same recipe gives the same bytes."""

    labels: Labels
    """The structure images."""
    name: str = ""
    """The name that reports show."""
    seed: int = 0
    """Start of every random draw, together with the photograph's id and the input's number."""
    ids: tuple[str, ...] | str = ()
    """Ids to take, or the name of a list beside the recipe (read by `load_recipe`); empty: all."""
    val_fraction: float = 0.1
    """Share of the photographs that go into val in a tree without ImageSets."""
    textures: Textures = field(default_factory=Textures)
    """The texture fields."""
    classes: tuple[ClassTexture, ...] = ()
    """Textures by class, in the place of those drawn for the whole image; empty for the latter."""
    negatives: tuple[Negative, ...] = ()
    """The negatives, any number of them."""
    edges: Edges = Edges()
    """The edge maps."""
    shards: Shards = Shards()
    """The files."""

    def __post_init__(self) -> None:
        check_range("seed", self.seed, 0, 2**63 - 1)
        check_range("val_fraction", self.val_fraction, 0, 1)
        names = [negative.name for negative in self.negatives]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two negatives are named {twice[0]!r}")
        indices = [texture.index for texture in self.classes]
        if len(set(indices)) < len(indices):
            raise ValueError("two entries of classes have the same index")
        if self.classes and self.textures.mode == "authors":
            raise ValueError("classes need textures.mode = 'random'")

    def record(self) -> dict[str, Any]:
        """Return the recipe as plain dicts, without keys that older datasets lack.

        These are `classes` and `shards.bytes`, as long as they have their defaults. So the digests
        of datasets stay what they are.
        """
        content = to_dict(self)
        if not self.classes:
            del content["classes"]
        if not self.shards.bytes:
            del content["shards"]["bytes"]
        return content


def load_recipe(path_or_name: AnyPath, changes: Iterable[str] = ()) -> Recipe:
    """Read a recipe from a TOML file, or a bundled one ("voc-smooth", "demo", "paper150") by name.

    `changes` are keys to change in it, see `vocsmooth.overrides.override`.

    Raises
    ------
    UnknownNameError
        There is no such recipe.
    InputError
        There is no such file, or a key in it is unknown, mistyped or out of range, an operator's
        parameters included.
    """
    path = as_path(path_or_name, "recipe")
    if path.suffix != ".toml" and not path.is_file():
        path = _bundled(str(path))
    recipe = override(load_toml(Recipe, path), changes)
    if isinstance(recipe.ids, str):
        recipe = dataclasses.replace(recipe, ids=read_ids(path.parent / recipe.ids))
    for operator in _list_operators(recipe):
        _try(operator, path)
    return recipe


def as_recipe(recipe: Recipe | AnyPath) -> Recipe:
    """Return a recipe that may be given by its name or the path of its file.

    Raises
    ------
    TypeError
        None of these.
    UnknownNameError, InputError
        As `load_recipe`.
    """
    return recipe if isinstance(recipe, Recipe) else load_recipe(recipe)


def _list_operators(recipe: Recipe) -> list[Operator | Negative]:
    """Return every operator that a recipe may apply."""
    labels = recipe.labels
    fixed = [labels.fixed] if labels.fixed else []
    return [*fixed, labels.fallback, *labels.expand(), *recipe.negatives]


def _try(operator: Operator | Negative, path: Path) -> None:
    """Run an operator on a few pixels, so that a bad parameter is found before any work."""
    pixels = np.linspace(0, 1, 8 * 8 * 3, dtype=np.float32).reshape(8, 8, 3)
    try:
        smooth(pixels, operator.operator, **operator.params)
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: operator {operator.operator!r}: {error}") from None


def _bundled(name: str) -> Path:
    """Return the file of a bundled recipe."""
    bundled = bundled_toml("vocsmooth.manifests")
    if name not in bundled:
        raise UnknownNameError(
            f"No recipe {name!r}: it is neither a file nor bundled.{nearest(name, bundled)}"
        )
    return bundled[name]


def maps_of(recipe: Recipe) -> dict[str, dict[str, int]]:
    """Return the channels of every map that `recipe` asks for, by group and name."""
    maps = {group: dict(names) for group, names in BASE_MAPS.items()}
    if recipe.textures.color:
        maps["samples"]["texture"] = 3
    for negative in recipe.negatives:
        maps["samples" if negative.of == "input" else "images"][negative.name] = 3
    return maps
