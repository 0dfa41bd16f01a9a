"""Make all maps of one photograph: label, inputs, negatives, edges, mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocsmooth.arrays import to_float, to_uint
from vocsmooth.classes import VOID
from vocsmooth.errors import ConvergenceError, InputError
from vocsmooth.files import sha256_file
from vocsmooth.images.reading import read_rgb
from vocsmooth.maps.by_class import draw_class_fields
from vocsmooth.maps.labels import (
    Choice,
    Structure,
    boundary_kept,
    choose_label,
    energy_left,
    find_structure,
)
from vocsmooth.maps.recipe import Negative, Recipe
from vocsmooth.maps.textures import TextureSource, draw_fields
from vocsmooth.operators.edges import find_edges
from vocsmooth.operators.table import smooth
from vocsmooth.settings import describe_operator, to_dict
from vocsmooth.shards.entries import LeftOutEntry
from vocsmooth.shards.writer import ImageMaps, Pixels
from vocsmooth.sources.listing import Photograph
from vocsmooth.sources.masks import read_mask


def make_maps(
    photo: Photograph, recipe: Recipe, textures: TextureSource, *, strict: bool = False
) -> ImageMaps | LeftOutEntry:
    """Make all maps of a photograph; they depend on nothing but the arguments and its files.

    In 0..255: label = round(255 S), input = clip(label + texture, 0, 255) with an integer texture,
    negatives rounded likewise. Operators see float32 in [0, 1].

    Parameters
    ----------
    photo : Photograph
        From `vocsmooth.sources.voc.list_photographs`.
    recipe : Recipe
        What to make.
    textures : TextureSource
        From `vocsmooth.maps.textures.open_textures`.
    strict : bool
        Raise for files that cannot be used instead of leaving the photograph out.

    Raises
    ------
    InputError, ConvergenceError, OSError
        With `strict` only: a file is missing, damaged or does not fit, a solver gave up, or the
        disk failed.
    """
    try:
        return _make_maps(photo, recipe, textures)
    except (InputError, ConvergenceError, OSError) as error:
        if strict:
            raise
        # Only an InputError knows which file it is about.
        where = "" if isinstance(error, InputError) else f"{photo.image}: "
        return LeftOutEntry(
            id=photo.id,
            split=photo.split,
            kind="error",
            reason=f"{where}{error}",
            provenance={},
        )


def _make_maps(
    photo: Photograph, recipe: Recipe, textures: TextureSource
) -> ImageMaps | LeftOutEntry:
    """Make all maps, or reject the label; bad files raise errors."""
    pixels, mask, provenance = _read(photo)
    image = to_float(pixels)
    structure = find_structure(image, mask)
    choice = choose_label(image, structure, recipe.labels)
    provenance["label"] = _describe_choice(choice)
    if choice.score is not None and choice.score < recipe.labels.min_score:
        return _reject(photo, choice, recipe.labels.min_score, provenance)
    label = to_uint(choice.image, np.uint8)
    shape = label.shape[:2]
    if recipe.classes:
        kept, drawn = draw_class_fields(recipe, mask, photo.id)
        label = _add(label, kept)
    else:
        drawn = draw_fields(textures, recipe.textures, shape, seed=recipe.seed, image_id=photo.id)
    fields, provenance["textures"] = map(list, zip(*drawn, strict=True))
    inputs = np.stack([_add(label, field) for field in fields])
    negatives = {n.name: _make_negative(n, pixels, label, inputs) for n in recipe.negatives}
    provenance["negatives"] = {
        n.name: _check_negative(n, structure, label, negatives[n.name]) for n in recipe.negatives
    }
    return ImageMaps(
        id=photo.id,
        split=photo.split,
        label=label,
        edge=find_edges(label, recipe.edges.threshold),
        mask=mask,
        image_negatives={n.name: negatives[n.name][0] for n in recipe.negatives if n.of != "input"},
        inputs=inputs,
        textures=np.stack(fields),
        input_negatives={n.name: negatives[n.name] for n in recipe.negatives if n.of == "input"},
        provenance=provenance,
    )


def _read(photo: Photograph) -> tuple[Pixels, Pixels, dict[str, Any]]:
    """Read photograph and mask (all void if there is none), and start the provenance."""
    pixels = read_rgb(photo.image)
    provenance: dict[str, Any] = {"image": _describe_file(photo.image), "mask": None}
    if photo.mask is None:
        return pixels, np.full(pixels.shape[:2], VOID, np.uint8), provenance
    mask = read_mask(photo.mask)
    if mask.shape != pixels.shape[:2]:
        raise InputError(
            f"{photo.mask}: mask and image differ in size: expected {_size(pixels)} like "
            f"{photo.image}, got {_size(mask)} (width x height)."
        )
    provenance["mask"] = _describe_file(photo.mask)
    return pixels, mask, provenance


def _describe_file(path: Path) -> dict[str, str]:
    """Return a source file's name and SHA-256."""
    return {"file": path.name, "sha256": sha256_file(path)}


def _size(pixels: Pixels) -> str:
    """Return an image's size for people."""
    return f"{pixels.shape[1]} x {pixels.shape[0]}"


def _describe_choice(choice: Choice) -> dict[str, Any]:
    """Return how the label was found, with the whole table of candidates."""
    return {
        "method": choice.method,
        **(to_dict(choice.operator) if choice.operator else {"operator": "none", "params": {}}),
        "score": None if choice.score is None else _rounded(choice.score),
        "candidates": [
            {
                **to_dict(c.operator),
                "kept": _rounded(c.kept),
                "left": _rounded(c.left),
                "score": _rounded(c.score),
            }
            for c in choice.candidates
        ],
    }


def _rounded(figure: float) -> float:
    """Round a figure for the record, as processors differ in the last bits."""
    return round(figure, 9)


def _reject(
    photo: Photograph, choice: Choice, min_score: float, provenance: dict[str, Any]
) -> LeftOutEntry:
    """Leave out a photograph whose best label is not good enough."""
    found = provenance["label"]
    reason = (
        f"{photo.image}: best label scores {choice.score:.3f}, the recipe asks for {min_score:.3f} "
        f"({describe_operator(found['operator'], found['params'])}, best of "
        f"{len(choice.candidates)})."
    )
    return LeftOutEntry(
        id=photo.id, split=photo.split, kind="rejected", reason=reason, provenance=provenance
    )


def _add(label: Pixels, texture: NDArray[np.int16]) -> Pixels:
    """Lay an integer field over a label, the same on all channels if it is grey."""
    field = texture if texture.ndim == 3 else texture[..., None]
    return (label.astype(np.int16) + field).clip(0, 255).astype(np.uint8)


def _make_negative(negative: Negative, photo: Pixels, label: Pixels, inputs: Pixels) -> Pixels:
    """Smooth what the negative is made of: one image, or all inputs; return (N, H, W, 3)."""
    sources = {"photo": photo[None], "label": label[None], "input": inputs}[negative.of]
    results = (smooth(to_float(s), negative.operator, **negative.params) for s in sources)
    return np.stack([to_uint(result, np.uint8) for result in results])


def _check_negative(
    negative: Negative, structure: Structure | None, label: Pixels, results: Pixels
) -> dict[str, Any]:
    """Measure whether a negative is worse than the label where the recipe says so.

    ``worse`` is None where nothing can be measured or the recipe does not say; of several results
    every one has to be worse.
    """
    if structure is None or negative.worse == "unchecked":
        return {"worse": None}
    measure = boundary_kept if negative.worse == "boundaries" else energy_left
    sign = 1 if negative.worse == "inside" else -1
    reference = measure(structure, to_float(label))
    values = [measure(structure, to_float(result)) for result in results]
    worse = all(sign * (value - reference) > 0 for value in values)
    return {
        "worse": worse,
        "where": negative.worse,
        "label": _rounded(reference),
        "values": [_rounded(value) for value in values],
    }
