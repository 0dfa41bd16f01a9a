"""Small grids of the operators' parameters, to tune them by trying every combination."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from vocsmooth.settings import nearest

GRIDS: dict[str, dict[str, tuple[float, ...]]] = {
    "l0": {"lam": (0.005, 0.01, 0.02, 0.04, 0.08)},
    "rtv": {"lam": (0.005, 0.01, 0.02, 0.04), "sigma": (1.5, 3.0, 5.0)},
    "guided": {"radius": (2, 4, 8), "eps": (0.0025, 0.01, 0.04, 0.16)},
    "rolling": {"sigma_space": (2.0, 3.0, 4.0, 5.0), "sigma_range": (0.05, 0.1, 0.2)},
    "ils": {"lam": (3.0, 10.0, 30.0, 100.0), "gamma": (5 / 255, 10 / 255, 20 / 255)},
    "pyramid": {"sigma_space": (3.0, 5.0, 7.0), "sigma_range": (0.02, 0.05, 0.09)},
    "sd": {"lam": (1.0, 3.0, 10.0, 30.0)},
}
"""Values to try by operator and parameter: the defaults and those around them, in steps of about
two. All other parameters keep their defaults."""


def combinations(operator: str) -> list[dict[str, float]]:
    """Return every combination of an operator's grid.

    Raises
    ------
    ValueError
        No operator of that name has a grid; the message names the nearest that has.

    Examples
    --------
    >>> combinations("l0")[:2]
    [{'lam': 0.005}, {'lam': 0.01}]
    """
    if operator not in GRIDS:
        raise ValueError(f"No grid for operator {operator!r}.{nearest(operator, GRIDS)}")
    grid: Mapping[str, Sequence[float]] = GRIDS[operator]
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
