"""Measure smoothers of any kind on the same images, beside the untouched input."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from csgisnet.evaluation.metrics import (
    SMALLEST_SIDE,
    boundary_retention,
    psnr,
    ssim,
    texture_residual,
)
from csgisnet.evaluation.outputs import Outputs
from csgisnet.evaluation.samples import Image, Sample, Samples

SmoothFunction: TypeAlias = Callable[[Image], Image]
"""Smooths an image (H, W, 3) in [0, 1]."""

Contestant: TypeAlias = SmoothFunction | Outputs
"""What can be measured: a function, or another method's results for the same images."""

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the number of images done, and of all images."""

INPUT = "input"
"""Name of the untouched input among the smoothers."""

MEASURES = {
    "psnr": "PSNR in dB against the label, over all pixels and RGB channels of the unrounded "
    "result, values in [0, 1]; equal images count as 100. Higher is better.",
    "ssim": "SSIM against the label as Wang et al. (2004) define it: Gaussian window of 11 pixels, "
    "sigma 1.5, K1 0.01, K2 0.03, population covariances, mean over the windows inside the image "
    "and over RGB. Higher is better.",
    "boundary_retention": "Share of the label's gradient on its edges that the result keeps: sum "
    "of the smaller of both gradient magnitudes over the sum of the label's. Higher is better.",
    "texture_residual": "Gradient magnitude left more than 2 pixels away from the label's edges, "
    "relative to that of the input. 1 is untouched; lower is better.",
    "seconds_per_megapixel": "Time of smoothing alone, whole images one after another, after one "
    "call to warm up: seconds of all images over their megapixels. Of results that were given as "
    "pictures it is not known.",
}
"""Definition of each measure. Edges are where half |Sobel x| plus half |Sobel y| of the label's
luminance exceeds a threshold (50 of 255, or the dataset recipe's)."""

_MAX_PSNR = 100.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """One smoother on one image; measures that are undefined for that image are NaN."""

    image: str
    smoother: str
    pixels: int
    seconds: float
    psnr: float
    ssim: float
    boundary_retention: float
    texture_residual: float

    @property
    def seconds_per_megapixel(self) -> float:
        """Seconds that a million pixels would take at this image's speed."""
        return self.seconds / self.pixels * 1e6


@dataclasses.dataclass(frozen=True, kw_only=True)
class SmootherSummary:
    """One smoother on all images."""

    smoother: str
    means: dict[str, float]
    """Mean of each measure over the images on which it is defined; NaN if there are none."""
    counts: dict[str, int]
    """Number of those images for each measure."""


def evaluate(
    smoothers: Mapping[str, Contestant], samples: Samples, progress: Progress | None = None
) -> list[Record]:
    """Measure every smoother, and the untouched input, on every sample.

    Parameters
    ----------
    smoothers : mapping
        Functions or outputs by name; functions may compile or allocate on their first call, which
        is not timed. The times of outputs are NaN.
    samples : Samples
        At least one.
    progress : callable, optional
        Called after each image.

    Returns
    -------
    list of Record
        Image by image; for each one the input first, then the smoothers in their order.

    Raises
    ------
    ValueError
        A smoother is named `INPUT`, or returns an image of another shape.
    """
    if INPUT in smoothers:
        raise ValueError(f"the name {INPUT!r} is reserved for the untouched input.")
    first = samples.read(0)
    for smoother in smoothers.values():
        apply(smoother, 0, first.image)
    records = []
    for number, name in enumerate(samples.names):
        sample = samples.read(number)
        records.append(_measure(name, INPUT, sample.image, sample, 0.0))
        for title, smoother in smoothers.items():
            start = time.perf_counter()
            result = apply(smoother, number, sample.image)
            seconds = time.perf_counter() - start
            if isinstance(smoother, Outputs):
                seconds = math.nan
            records.append(_measure(name, title, result, sample, seconds))
        if progress:
            progress(number + 1, len(samples.names))
    return records


def apply(smoother: Contestant, number: int, image: Image) -> Image:
    """Return a contestant's result for a sample, given by its number and its image."""
    return smoother.read(number) if isinstance(smoother, Outputs) else smoother(image)


def finite_psnr(result: Image, label: Image) -> float:
    """Return the PSNR in dB, 100 for equal images: means stay finite."""
    return min(psnr(result, label), _MAX_PSNR)


def summarise(records: Sequence[Record]) -> list[SmootherSummary]:
    """Return the means over images, one summary per smoother, in the order of the records."""
    by_smoother: dict[str, list[Record]] = {}
    for record in records:
        by_smoother.setdefault(record.smoother, []).append(record)
    return [_summarise_one(name, group) for name, group in by_smoother.items()]


def _summarise_one(smoother: str, records: Sequence[Record]) -> SmootherSummary:
    """Average the records of one smoother."""
    means, counts = {}, {}
    for measure in MEASURES:
        values = [getattr(record, measure) for record in records]
        defined = [value for value in values if math.isfinite(value)]
        counts[measure] = len(defined)
        means[measure] = sum(defined) / len(defined) if defined else math.nan
    pixels = sum(record.pixels for record in records)
    means["seconds_per_megapixel"] = sum(record.seconds for record in records) / pixels * 1e6
    return SmootherSummary(smoother=smoother, means=means, counts=counts)


def _measure(image: str, smoother: str, result: Image, sample: Sample, seconds: float) -> Record:
    """Compare one result with the label."""
    height, width = sample.label.shape[:2]
    return Record(
        image=image,
        smoother=smoother,
        pixels=height * width,
        seconds=seconds,
        psnr=finite_psnr(result, sample.label),
        ssim=(ssim(result, sample.label) if min(height, width) >= SMALLEST_SIDE else math.nan),
        boundary_retention=boundary_retention(result, sample.label, sample.edges),
        texture_residual=texture_residual(result, sample.image, sample.edges),
    )
