"""What the arms of the study of priors are judged by: three kinds of pictures, one value each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.boundaries import THRESHOLDS, people_of
from benchmarks.priors_arms import Oracle, with_mask
from csgisnet.evaluation.boundaries import (
    Counts,
    count_matches,
    gradient_boundaries,
    score_boundaries,
)
from csgisnet.evaluation.measure import finite_psnr
from csgisnet.evaluation.metrics import boundary_retention, mask_boundary, texture_residual
from csgisnet.evaluation.samples import spread_evenly
from csgisnet.training.teacher import count_pairs, scores_of
from vocsmooth.arrays import to_float
from vocsmooth.images.reading import read_picture, read_rgb
from vocsmooth.maps.by_class import fill_void
from vocsmooth.maps.recipe import Recipe
from vocsmooth.shards import Dataset
from vocsmooth.sources.masks import read_mask
from vocsmooth.sources.voc import find_tree, list_photographs

Image = NDArray[np.float32]

RESIDUAL = 0.6
"""Share of the gradient inside regions that is left where boundaries are compared."""

_SIDE = 192
"""Plain photographs are cut to squares of this side, around the middle."""

Values = dict[str, list[float]]
"""Each measure's value for each picture."""


class Sample(NamedTuple):
    """A picture with a label."""

    input: Image
    label: Image
    mask: NDArray[np.uint8]


def read_samples(dataset: Dataset, count: int) -> list[Sample]:
    """Read samples of the split "val", spread evenly."""
    split = dataset.split("val")
    chosen = spread_evenly(len(split), count)
    maps = (split.read(index, ("input", "label", "mask")) for index in chosen)
    return [Sample(to_float(m["input"]), to_float(m["label"]), m["mask"]) for m in maps]


class Photograph(NamedTuple):
    """A plain photograph, its own label, and the boundaries that each of some people drew."""

    sample: Sample
    drawn: list[NDArray[np.bool_]]


def read_photographs(tree: Path, boundaries: Path | None, count: int) -> list[Photograph]:
    """Read photographs of the split "val" of a VOC tree with masks, and drawn boundaries, if given.

    `boundaries` is a folder as `benchmarks.boundaries` reads it.
    """
    listed = list_photographs(find_tree(tree), ("val",))
    found = []
    for number in spread_evenly(len(listed), count):
        one = listed[number]
        if one.mask is None:
            continue
        image = _middle(to_float(read_rgb(one.image)))
        drawn: list[NDArray[np.bool_]] = []
        if boundaries:
            drawn = people_of(_middle(read_picture(boundaries / f"{one.id}.png").pixels))
        found.append(Photograph(Sample(image, image, _middle(read_mask(one.mask))), drawn))
    return found


def _middle(pixels: NDArray) -> NDArray:  # type: ignore[type-arg]
    """Cut a square out of the middle."""
    top, left = (max(0, (side - _SIDE) // 2) for side in pixels.shape[:2])
    return pixels[top : top + _SIDE, left : left + _SIDE]


@torch.inference_mode()
def smooth_with(network: nn.Module, sample: Sample) -> Image:
    """Smooth a picture; an oracle also sees its mask."""
    image = torch.from_numpy(sample.input).permute(2, 0, 1)[None]
    if isinstance(network, Oracle):
        image = with_mask(image, torch.from_numpy(sample.mask)[None].long())
    result: Tensor = network(image).result
    return np.ascontiguousarray(result[0].permute(1, 2, 0).clamp(0, 1).numpy())


def judge_labelled(network: nn.Module, samples: list[Sample], recipe: Recipe | None) -> Values:
    """PSNR in dB; with a recipe of classes, also where texture stays and where it goes."""
    values: Values = {"psnr": []}
    kept = [c.index for c in recipe.classes if c.keep] if recipe else []
    gone = [c.index for c in recipe.classes if not c.keep] if recipe else []
    for sample in samples:
        result = smooth_with(network, sample)
        values["psnr"].append(finite_psnr(result, sample.label))
        error = np.abs(result - sample.label).mean(axis=2)
        known = fill_void(sample.mask)
        for name, classes in (("kept", kept), ("removed", gone)):
            if classes:
                where = np.isin(known, classes)
                # as an accuracy in dB, so that more is better everywhere
                values.setdefault(name, []).append(
                    float(-20 * np.log10(error[where].mean())) if where.any() else float("nan")
                )
    return values


def judge_meaning(network: nn.Module, samples: list[Sample], judge: nn.Module) -> Values:
    """Mean IoU, per picture, of a segmenter that sees the results."""
    values = []
    for sample in samples:
        result = torch.from_numpy(smooth_with(network, sample)).permute(2, 0, 1)[None]
        with torch.inference_mode():
            guess = judge(result)[0].argmax(dim=0)
        pairs = count_pairs(torch.from_numpy(sample.mask), guess)
        values.append(scores_of(pairs, 1).mean_iou)
    return {"iou": values}


def judge_photographs(network: nn.Module, photographs: list[Photograph]) -> Values:
    """Boundary retention at the texture residual `RESIDUAL`, reached by the strength; and ODS.

    Without drawn boundaries there is no ODS.
    """
    results = [smooth_with(network, photograph.sample) for photograph in photographs]
    pairs = list(zip(results, photographs, strict=True))
    values = {"retention": [_retention(result, one.sample) for result, one in pairs]}
    if all(photograph.drawn for photograph in photographs):
        values["ods"] = shares_of_ods(
            [count_matches(gradient_boundaries(r), one.drawn, THRESHOLDS) for r, one in pairs]
        )
    return values


def shares_of_ods(photographs: list[Counts]) -> list[float]:
    """Return a value for each photograph, so that their mean is ODS but for the jackknife's bias.

    ODS is one number for all photographs together. Its jackknife pseudo-values have a mean and a
    standard error as if every photograph had an ODS, so that it can be paired like the others.
    The threshold is that of all.
    """
    counts = np.array(photographs)  # (photographs, 4, thresholds)
    best = int(np.flatnonzero(score_boundaries(photographs, THRESHOLDS).threshold == THRESHOLDS)[0])
    at_best = counts[:, :, best : best + 1]
    together, number = at_best.sum(axis=0), len(counts)

    def f_of(one: NDArray[np.int64]) -> float:
        return score_boundaries([Counts(*one)], THRESHOLDS[best : best + 1]).ods

    return [number * f_of(together) - (number - 1) * f_of(together - one) for one in at_best]


def _retention(result: Image, sample: Sample) -> float:
    """Return the boundary retention of one photograph, NaN if no strength smooths it so far."""
    boundary = mask_boundary(sample.mask)

    def at(strength: float) -> Image:
        return (sample.input + np.float32(strength) * (result - sample.input)).clip(0, 1)

    strength = _strength(lambda s: texture_residual(at(s), sample.input, boundary))
    if strength is None:
        return float("nan")
    return boundary_retention(at(strength), sample.input, boundary)


def _strength(residual: Callable[[float], float]) -> float | None:
    """Find the least strength, at most 2, that leaves `RESIDUAL`; None if there is none."""
    strengths = np.linspace(0, 2, 41)
    enough = next((s for s in strengths[1:] if residual(float(s)) <= RESIDUAL), None)
    if enough is None:
        return None
    low, high = float(enough - strengths[1]), float(enough)
    for _ in range(8):
        middle = (low + high) / 2
        if residual(middle) <= RESIDUAL:
            high = middle
        else:
            low = middle
    return high
