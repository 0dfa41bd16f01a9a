"""Parameters chosen by trying all of a grid: the ones with the highest mean PSNR."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from csgisnet.evaluation.measure import Progress, finite_psnr
from csgisnet.evaluation.samples import Image, Samples

Params = TypeVar("Params", bound=Mapping[str, object])


def tune(
    operator: Callable[..., Image],
    grid: Sequence[Params],
    samples: Samples,
    progress: Progress | None = None,
) -> Params:
    """Return the parameters of `grid` with which an operator has the highest mean PSNR.

    Parameters
    ----------
    operator : callable
        Takes an image (H, W, 3) in [0, 1], and parameters as keywords; returns an image.
    grid : sequence of mapping
        Parameters to try; of several that do equally well, the first is returned.
    samples : Samples
        Images that results are not reported on: tuning on those would flatter.
    progress : callable, optional
        Called with the number of images done and of all, after each image.
    """
    totals = [0.0] * len(grid)
    candidates = [functools.partial(operator, **params) for params in grid]
    for number in range(len(samples.names)):
        sample = samples.read(number)
        for index, smooth in enumerate(candidates):
            totals[index] += finite_psnr(smooth(sample.image), sample.label)
        if progress:
            progress(number + 1, len(samples.names))
    return grid[totals.index(max(totals))]
