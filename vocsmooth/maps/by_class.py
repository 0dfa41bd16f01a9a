"""Textures by class: a region's class decides which texture it has, and whether that is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vocsmooth.classes import VOID
from vocsmooth.maps.procedural import draw_tile
from vocsmooth.maps.recipe import Recipe
from vocsmooth.maps.texture_settings import ClassTexture
from vocsmooth.maps.textures import draw_placement, lay
from vocsmooth.seeds import generator
from vocsmooth.settings import to_dict

Field = NDArray[np.int16]


def draw_class_fields(
    recipe: Recipe, mask: NDArray[np.uint8], image_id: str
) -> tuple[Field, Iterator[tuple[Field, dict[str, Any]]]]:
    """Draw the texture that the label keeps, and the fields to lay over it.

    Each class of `recipe.classes` gets a tile of one of its families over its pixels, with the mean
    over them taken off; void pixels go with the class nearest to them. Classes that the recipe does
    not name stay plain.

    Parameters
    ----------
    recipe : Recipe
        With `classes`; its `textures` decide number, scale, rotation and colour.
    mask : (H, W) uint8
        Class indices, `VOID` where unknown.
    image_id : str
        With the recipe's seed it decides everything that is random.

    Returns
    -------
    kept : (H, W) or (H, W, 3) int16
        Grey levels that belong to the label; three channels when `textures.color` is not 0.
    fields : iterator of (field, provenance)
        For each input, grey levels to add to the label, and each class's family and placement.
    """
    known = fill_void(mask)
    keeps = [c for c in recipe.classes if c.keep]
    removes = [c for c in recipe.classes if not c.keep]
    kept, _ = _draw(recipe, keeps, known, generator(recipe.seed, f"{image_id}/label", 0))
    fields = (
        _draw(recipe, removes, known, generator(recipe.seed, image_id, number))
        for number in range(recipe.textures.count)
    )
    return kept, fields


def fill_void(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give void pixels the class of the nearest pixel that has one; if none has, all stay void."""
    void = mask == VOID
    if void.all() or not void.any():
        return mask
    nearest = ndimage.distance_transform_edt(void, return_distances=False, return_indices=True)
    filled: NDArray[np.uint8] = mask[tuple(nearest)]
    return filled


def _draw(
    recipe: Recipe,
    classes: list[ClassTexture],
    mask: NDArray[np.uint8],
    rng: np.random.Generator,
) -> tuple[Field, dict[str, Any]]:
    """Draw a texture over the pixels of each class."""
    channels = (3,) if recipe.textures.color else ()
    field, provenance = np.zeros((*mask.shape, *channels), np.int16), {}
    for texture in classes:
        # Drawn for absent classes too, so that a class does not change what the others get.
        family = str(rng.choice(texture.families))
        settings = dataclasses.replace(recipe.textures, strength=texture.strength)
        placement = draw_placement(settings, rng)
        tile = draw_tile(family, rng)
        where = mask == texture.index
        if where.any():
            laid = lay(tile, mask.shape, placement)
            field[where] = laid[where] - np.rint(laid[where].mean(axis=0)).astype(np.int16)
            provenance[str(texture.index)] = {"texture": family, **to_dict(placement)}
    names = ", ".join(sorted({placed["texture"] for placed in provenance.values()}))
    return field, {"texture": names, "classes": provenance}
