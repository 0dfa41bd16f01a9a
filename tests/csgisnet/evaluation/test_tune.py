"""Tuning returns the parameters with the highest mean PSNR over all images."""

from __future__ import annotations

import numpy as np

from csgisnet.evaluation.samples import Image, Sample, Samples
from csgisnet.evaluation.tune import tune


def samples(*offsets: float) -> Samples:
    """Flat images, each that much brighter than its label."""
    label, edges = np.full((12, 14, 3), 0.25, np.float32), np.zeros((12, 14))
    found = [Sample(label + np.float32(offset), label, edges) for offset in offsets]
    return Samples(tuple(map(str, offsets)), found.__getitem__)


def darken(image: Image, amount: float) -> Image:
    """Take the same off every pixel."""
    return image - np.float32(amount)


def test_the_best_of_the_grid_is_returned() -> None:
    grid = [{"amount": amount} for amount in (0.0, 0.1, 0.3)]
    assert tune(darken, grid, samples(0.1)) == {"amount": 0.1}
    assert tune(darken, grid, samples(0.35, 0.25)) == {"amount": 0.3}


def test_it_is_the_mean_that_counts_and_equal_images_as_100() -> None:
    grid = [{"amount": 0.1}, {"amount": 0.25}]
    assert tune(darken, grid, samples(0.0, 0.12)) == {"amount": 0.1}  # 20 + 34 dB, 12 + 18 dB
    assert tune(darken, grid, samples(0.25, 0.0)) == {"amount": 0.25}  # 16 + 20 dB, 100 + 12 dB


def test_of_equals_the_first_is_taken() -> None:
    grid: list[dict[str, object]] = [{"amount": 0.5}, {"amount": 0.5, "name": "again"}]
    assert tune(lambda image, **_: image, grid, samples(0.1)) is grid[0]


def test_progress_is_told_after_each_image() -> None:
    told: list[tuple[int, int]] = []
    tune(darken, [{"amount": 0.0}], samples(0.1, 0.2), lambda *step: told.append(step))
    assert told == [(1, 2), (2, 2)]
