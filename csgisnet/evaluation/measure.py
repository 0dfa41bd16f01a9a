"""Evaluation: smoothers of any kind measured on the same images, beside the untouched input."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from csgisnet.evaluation.metrics import boundary_retention, psnr, ssim, texture_residual
from vocsmooth.errors import InputError
from vocsmooth.shards import Split

Image: TypeAlias = NDArray[np.float32]

Smoothing: TypeAlias = Callable[[Image], Image]
"""Takes and gives (H, W, 3) in [0, 1]."""

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the number of images done and of all."""

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
    "call to warm up: seconds of all images over their megapixels.",
}
"""Definition of each measure. Edges are where half |Sobel x| plus half |Sobel y| of the label's
luminance exceeds a threshold (50 of 255, or the dataset recipe's)."""

_MAX_PSNR = 100.0

_SMALLEST_SIDE = 11


class Sample(NamedTuple):
    """One image to smooth, and what should come of it."""

    image: Image
    """(H, W, 3) in [0, 1]."""
    label: Image
    """(H, W, 3) in [0, 1]."""
    edges: NDArray[Any]
    """(H, W), true or 1 on edges of the label."""


class Samples(NamedTuple):
    """Images to measure on, read one at a time."""

    names: tuple[str, ...]
    read: Callable[[int], Sample]
    """Returns the sample of that number."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """One smoother on one image; a measure that is not defined there is NaN."""

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
        """Time for a million pixels at this image's speed."""
        return self.seconds / self.pixels * 1e6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """One smoother on all images."""

    smoother: str
    means: dict[str, float]
    """By measure, over the images on which it is defined; NaN if there are none."""
    counts: dict[str, int]
    """Number of those images by measure."""


def samples_of(split: Split, count: int = 0) -> Samples:
    """Return `count` samples of a split spread evenly, or all of them (0).

    Raises
    ------
    InputError
        The split is empty.
    """
    total = len(split)
    if total == 0:
        raise InputError("The split has no samples to evaluate on.")
    chosen = np.arange(total)
    if 0 < count < total:
        chosen = np.linspace(0, total - 1, count).round().astype(np.int64)

    def read(number: int) -> Sample:
        maps = split.read(int(chosen[number]), ("input", "label", "edge"))
        return Sample(to_float(maps["input"]), to_float(maps["label"]), maps["edge"])

    return Samples(tuple(f"{split.ids[index]} #{index}" for index in chosen.tolist()), read)


def to_float(pixels: NDArray[np.uint8]) -> Image:
    """Scale 0..255 to [0, 1]."""
    return pixels.astype(np.float32) / np.float32(255)


def evaluate(
    smoothers: Mapping[str, Smoothing], samples: Samples, progress: Progress | None = None
) -> list[Record]:
    """Measure every smoother, and the input as it is, on every sample.

    Parameters
    ----------
    smoothers : mapping
        Functions by name; they may compile or allocate on their first call, which is not timed.
    samples : Samples
        At least one.
    progress : callable, optional
        Told after each image.

    Returns
    -------
    list of Record
        Image by image; on each the input first, then the smoothers in their order.

    Raises
    ------
    ValueError
        A smoother is called `INPUT`, or returns another shape.
    """
    if INPUT in smoothers:
        raise ValueError(f"the name {INPUT!r} is that of the untouched input.")
    first = samples.read(0)
    for smoother in smoothers.values():
        smoother(first.image)
    records = []
    for number, name in enumerate(samples.names):
        sample = samples.read(number)
        records.append(_measure(name, INPUT, sample.image, sample, 0.0))
        for title, smoother in smoothers.items():
            start = time.perf_counter()
            result = smoother(sample.image)
            seconds = time.perf_counter() - start
            records.append(_measure(name, title, result, sample, seconds))
        if progress:
            progress(number + 1, len(samples.names))
    return records


def mean_psnr(
    smoothers: Mapping[str, Smoothing], samples: Samples, progress: Progress | None = None
) -> dict[str, float]:
    """Return the mean PSNR of each smoother on the samples: what parameters are tuned by."""
    totals = dict.fromkeys(smoothers, 0.0)
    for number in range(len(samples.names)):
        sample = samples.read(number)
        for name, smoother in smoothers.items():
            totals[name] += _psnr(smoother(sample.image), sample.label)
        if progress:
            progress(number + 1, len(samples.names))
    return {name: total / len(samples.names) for name, total in totals.items()}


def summarise(records: Sequence[Record]) -> list[Summary]:
    """Return means over images, a summary a smoother, in the order of the records."""
    by_smoother: dict[str, list[Record]] = {}
    for record in records:
        by_smoother.setdefault(record.smoother, []).append(record)
    return [_summarise_one(name, group) for name, group in by_smoother.items()]


def _summarise_one(smoother: str, records: Sequence[Record]) -> Summary:
    """Average the records of one smoother."""
    means, counts = {}, {}
    for measure in MEASURES:
        values = [getattr(record, measure) for record in records]
        defined = [value for value in values if math.isfinite(value)]
        counts[measure] = len(defined)
        means[measure] = sum(defined) / len(defined) if defined else math.nan
    pixels = sum(record.pixels for record in records)
    means["seconds_per_megapixel"] = sum(record.seconds for record in records) / pixels * 1e6
    return Summary(smoother=smoother, means=means, counts=counts)


def _measure(image: str, smoother: str, result: Image, sample: Sample, seconds: float) -> Record:
    """Compare one result with the label."""
    height, width = sample.label.shape[:2]
    return Record(
        image=image,
        smoother=smoother,
        pixels=height * width,
        seconds=seconds,
        psnr=_psnr(result, sample.label),
        ssim=(ssim(result, sample.label) if min(height, width) >= _SMALLEST_SIDE else math.nan),
        boundary_retention=boundary_retention(result, sample.label, sample.edges),
        texture_residual=texture_residual(result, sample.image, sample.edges),
    )


def _psnr(result: Image, label: Image) -> float:
    """Return the PSNR, with a value for equal images that means can be taken of."""
    return min(psnr(result, label), _MAX_PSNR)
