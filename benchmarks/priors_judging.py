"""What the arms of the study of priors are judged by: three kinds of pictures, one value each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.priors_arms import Oracle, with_mask
from csgisnet.evaluation.measure import finite_psnr
from csgisnet.evaluation.metrics import boundary_retention, mask_boundary, texture_residual
from csgisnet.evaluation.samples import spread_evenly
from csgisnet.training.teacher import count_pairs, scores_of
from vocsmooth.arrays import to_float
from vocsmooth.images.reading import read_rgb
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


def read_photographs(tree: Path, count: int) -> list[Sample]:
    """Read photographs of the split "val" of a VOC tree with their masks; each is its own label."""
    listed = list_photographs(find_tree(tree), ("val",))
    files = [(photograph.image, photograph.mask) for photograph in listed]
    samples = []
    for number in spread_evenly(len(files), count):
        image_file, mask_file = files[number]
        if mask_file is not None:
            image = _middle(to_float(read_rgb(image_file)))
            samples.append(Sample(image, image, _middle(read_mask(mask_file))))
    return samples


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


def judge_photographs(network: nn.Module, samples: list[Sample]) -> Values:
    """Boundary retention at the texture residual `RESIDUAL`, reached by the strength."""
    return {"retention": [_retention(smooth_with(network, s), s) for s in samples]}


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
