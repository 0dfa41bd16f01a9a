"""Intervals of paired differences: known answers, coverage, and what may be said."""

from __future__ import annotations

import numpy as np
import pytest

from csgisnet.evaluation.intervals import Interval, paired_interval


def test_the_error_adds_seeds_and_pictures() -> None:
    seeds, pictures = np.array([-1.0, 0.0, 1.0]), np.array([0.0, 4.0])
    found = paired_interval(3 + seeds[:, None] + pictures)
    assert found.mean == pytest.approx(5)
    assert found.error == pytest.approx((1 / 3 + 8 / 2) ** 0.5)
    assert (found.seeds, found.agreeing) == (3, 3)


def test_a_constant_difference_has_no_error() -> None:
    found = paired_interval(np.full((5, 4), -0.2))
    assert found.mean == pytest.approx(-0.2)
    assert found.error == 0
    assert found.verdict == "harms"


def test_pictures_that_one_seed_lacks_do_not_count() -> None:
    values = np.array([[1.0, 2.0, np.nan], [1.0, 2.0, 9.0]])
    assert paired_interval(values) == paired_interval(values[:, :2])


@pytest.mark.parametrize("effect", [0.0, 0.5])
def test_two_errors_cover_the_truth_about_as_often_as_they_should(effect: float) -> None:
    rng = np.random.default_rng(0)
    covered = said = 0
    for _ in range(400):
        seeds, pictures = rng.normal(0, 0.1, (8, 1)), rng.normal(0, 0.3, (1, 20))
        found = paired_interval(effect + seeds + pictures + rng.normal(0, 0.2, (8, 20)))
        covered += abs(found.mean - effect) <= 2 * found.error
        said += found.verdict != "open"
    assert covered > 360  # rather too wide than too narrow
    assert said < 40 if effect == 0 else said > 360


@pytest.mark.parametrize(
    ("mean", "seeds", "agreeing", "verdict"),
    [
        (0.3, 5, 4, "helps"),
        (-0.3, 5, 5, "harms"),
        (0.3, 5, 3, "open"),  # too few signs
        (0.3, 4, 4, "open"),  # too few seeds
        (0.19, 5, 5, "open"),  # within two errors
    ],
)
def test_verdicts(mean: float, seeds: int, agreeing: int, verdict: str) -> None:
    found = Interval(mean=mean, error=0.1, seeds=seeds, agreeing=agreeing)
    assert found.verdict == verdict


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (5,), (0, 0)])
def test_too_little_to_tell_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="At least two seeds and two pictures"):
        paired_interval(np.zeros(shape))
    with pytest.raises(ValueError, match="Fewer than two pictures"):
        paired_interval(np.full((3, 3), np.nan))
