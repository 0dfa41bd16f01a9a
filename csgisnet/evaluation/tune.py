"""Choose parameters by trying every combination of a grid, and check the choice on other images."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from csgisnet.evaluation.measure import Progress, SmootherSummary, finite_psnr
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


def remarks_on_tuning(
    summaries: Sequence[SmootherSummary], untuned: Mapping[str, Sequence[str]]
) -> list[str]:
    """Return a sentence for each tuned operator that is worse than it was before tuning.

    Parameters
    ----------
    summaries : sequence of SmootherSummary
        Of other images than those that it was tuned on.
    untuned : mapping of str to sequence of str
        For the name of each tuned operator, the names under which it was measured before.
    """
    levels = {summary.smoother: summary.means["psnr"] for summary in summaries}
    remarks = []
    for name, others in untuned.items():
        best = max(others, key=levels.__getitem__)
        if levels[name] < levels[best]:
            remarks.append(
                f"Tuning did not help: {name} has {levels[name]:.2f} dB here, less than {best} "
                f"with {levels[best]:.2f} dB. The images it was tuned on differ from these."
            )
    return remarks
