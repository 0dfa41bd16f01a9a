"""Decide which photographs go into which shard, before the first of them is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import vocsmooth
from vocsmooth.dataset.claim import CLAIM_NAME
from vocsmooth.errors import DatasetError, InputError
from vocsmooth.files import refuse_special
from vocsmooth.folders import refuse_other_files
from vocsmooth.maps.recipe import Recipe, maps_of
from vocsmooth.maps.textures import TextureSource
from vocsmooth.shards.entries import shard_name
from vocsmooth.shards.index import PLAN_NAME
from vocsmooth.shards.planned import Plan, PlannedShards, holds_plan, plan_digest, read_plan
from vocsmooth.shards.schema import map_dtype
from vocsmooth.shards.table import starts
from vocsmooth.sources.listing import Photograph, Photographs

_MEASURED = 500


def make_plan(
    photographs: Photographs,
    recipe: Recipe,
    textures: TextureSource,
    splits: Sequence[str],
    size: int | None = None,
    digest: str | None = None,
) -> Plan:
    """Cut the photographs of each split, in order, into shards.

    Parameters
    ----------
    photographs : Photographs
        In the order that they will have in the dataset, one split after the other.
    recipe : Recipe
        The recipe.
    textures : TextureSource
        The textures; their names and hashes count for the digest, their folder does not.
    splits : sequence of str
        Names of the splits, in order; a split without photographs gets no shard.
    size : int, optional
        Photographs of a shard; those of the largest one where a dataset with the same recipe and
        photographs exists. If not given, see `shard_size`.
    digest : str, optional
        The plan's digest, where it is known; finding that of a million takes seconds.
    """
    plan = Plan(
        package=vocsmooth.__version__,
        digest=digest or "",
        recipe=recipe.record(),
        textures=describe_textures(textures),
        maps=maps_of(recipe),
        splits=tuple(splits),
        shards=_cut(photographs, splits, size or shard_size(photographs, recipe, textures)),
    )
    return plan if digest else replace(plan, digest=plan_digest(plan))


def shard_size(photographs: Sequence[Photograph], recipe: Recipe, textures: TextureSource) -> int:
    """Return how many photographs a shard shall hold.

    They are ``recipe.shards.images``, or so many fewer, but not none, that they take about
    ``recipe.shards.bytes``. Of many photographs only some, evenly spread, are measured, so that all
    shards have the same number, whoever cuts them; unreadable files do not count.
    """
    most, limit = recipe.shards.images, recipe.shards.bytes
    pixels = [count for count in _measure(photographs) if count] if limit else []
    if not pixels:
        return most
    return min(most, max(1, limit * len(pixels) // (_pixel_bytes(recipe, textures) * sum(pixels))))


def _cut(photographs: Photographs, splits: Sequence[str], size: int) -> PlannedShards:
    """Cut the photographs of each split into shards of this size; the last may be smaller."""
    columns = [photographs.ids_of(split) for split in splits]
    cuts = [
        (split, number, len(ids[start : start + size]))
        for split, ids in zip(splits, columns, strict=True)
        for number, start in enumerate(range(0, len(ids), size))
    ]
    return PlannedShards(
        names=tuple(shard_name(split, number) for split, number, _ in cuts),
        splits=tuple(split for split, _, _ in cuts),
        starts=starts(np.array([count for _, _, count in cuts], np.int64)),
        ids=photographs.ids if photographs.splits == tuple(splits) else np.concatenate(columns),
    )


def describe_textures(textures: TextureSource) -> dict[str, Any]:
    """Return what a plan says about the textures: names and hashes, but not their folder."""
    return {"photographs": textures.photographs, "families": textures.families}


def check_folder(out: Path, plan: Plan) -> None:
    """Check that `out` is new, empty, or holds a dataset of the same plan, finished or not.

    Raises
    ------
    InputError
        It is not a folder, holds another dataset, or other files.
    """
    path = out / PLAN_NAME
    if not path.exists():
        # Looked for again for each file found: another part may write it at this very moment.
        refuse_other_files(
            out,
            lambda other: other.name == CLAIM_NAME or path.exists(),
            f"give a new or empty one: it has no {PLAN_NAME}",
        )
    if not path.exists() or holds_plan(path, plan):
        return
    try:
        there = read_plan(path)
    except DatasetError as error:
        raise InputError(f"--out cannot be continued: {error} Give another folder.") from None
    if there.digest != plan.digest:
        raise InputError(
            f"--out {out} holds another dataset: {_difference(there, plan)}. "
            "Give another folder, or the same arguments to go on with this one."
        )


def needed_bytes(photographs: Sequence[Photograph], recipe: Recipe, textures: TextureSource) -> int:
    """Estimate the size of the dataset if no photograph is left out, from the images' headers.

    Of many photographs only some, evenly spread, are measured; unreadable files count as empty.
    """
    pixels = _measure(photographs)
    average = _pixel_bytes(recipe, textures) * sum(pixels) / max(len(pixels), 1)
    return round(average * len(photographs))


def _pixel_bytes(recipe: Recipe, textures: TextureSource) -> int:
    """Return the bytes that all maps of a photograph and its inputs take for each pixel."""
    inputs = recipe.textures.count if recipe.textures.mode == "random" else len(textures.names)
    weight = {"images": 1, "samples": inputs}
    return sum(
        weight[group] * channels * map_dtype(name).itemsize
        for group, names in maps_of(recipe).items()
        for name, channels in names.items()
    )


def _measure(photographs: Sequence[Photograph]) -> list[int]:
    """Return the pixels of some photographs, evenly spread; 0 for files that cannot be read."""
    step = -(-len(photographs) // _MEASURED) or 1
    return [_pixels(photograph.image) for photograph in photographs[::step]]


def _pixels(path: Path) -> int:
    """Return height times width from the header of an image, 0 if it cannot be read."""
    try:
        refuse_special(path)
        with Image.open(path) as image:
            return image.width * image.height
    except (OSError, ValueError, Image.DecompressionBombError):
        return 0


def _difference(there: Plan, wanted: Plan) -> str:
    """Say in which respect two plans differ, the most telling one."""
    if there.package != wanted.package:
        return f"it was built by vocsmooth {there.package}, and this is {wanted.package}"
    for key in ("recipe", "textures", "splits"):
        if there.head()[key] != wanted.head()[key]:
            return f"its {key} differ" if key.endswith("s") else f"its {key} differs"
    return "its photographs differ"
