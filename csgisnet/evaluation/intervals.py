"""Intervals of paired differences over seeds and pictures, and the verdicts that they allow."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Verdict = Literal["helps", "harms", "open"]

FEWEST = 5
"""Fewest seeds for a verdict that something helps or harms."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean paired difference with its standard error."""

    mean: float
    error: float
    """Standard error: that of the seeds and that of the pictures, added as squares."""
    seeds: int
    agreeing: int
    """Seeds whose own mean has the sign of `mean`."""

    @property
    def verdict(self) -> Verdict:
        """Beyond two standard errors, with 4 of 5 seeds agreeing; else the interval is all."""
        clear = abs(self.mean) > 2 * self.error and self.agreeing >= 0.8 * self.seeds
        if self.seeds < FEWEST or not clear:
            return "open"
        return "helps" if self.mean > 0 else "harms"


def paired_interval(differences: NDArray[np.float64]) -> Interval:
    """Return the interval of differences (seeds, pictures), arm less baseline.

    Seeds and pictures are both samples: the variance of the mean is at most that of the seeds'
    means over their number plus that of the pictures' means over theirs. What only varies within
    a seed and picture is in both, so the interval is rather too wide than too narrow. NaN marks a
    picture that could not be measured.

    Parameters
    ----------
    differences : (seeds, pictures) float64
        One for each picture under each seed, in any unit.

    Raises
    ------
    ValueError
        There are fewer than two seeds, or two pictures that were measured under every seed.

    Examples
    --------
    >>> better = paired_interval(np.array([[0.1, 0.3], [0.2, 0.2]]))
    >>> round(better.mean, 3), round(better.error, 3), better.agreeing, better.verdict
    (0.2, 0.05, 2, 'open')
    """
    if differences.ndim != 2 or min(differences.shape) < 2:
        raise ValueError(
            f"At least two seeds and two pictures are needed, got {differences.shape}."
        )
    differences = differences[:, np.isfinite(differences).all(axis=0)]
    if differences.shape[1] < 2:
        raise ValueError("Fewer than two pictures were measured under every seed.")
    by_seed, by_picture = differences.mean(axis=1), differences.mean(axis=0)
    variance = by_seed.var(ddof=1) / len(by_seed) + by_picture.var(ddof=1) / len(by_picture)
    mean = float(differences.mean())
    return Interval(
        mean=mean,
        error=float(np.sqrt(variance)),
        seeds=len(by_seed),
        agreeing=int((np.sign(by_seed) == np.sign(mean)).sum()),
    )
