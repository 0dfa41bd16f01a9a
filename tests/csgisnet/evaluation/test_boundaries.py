"""Boundaries of gradients: thin, matched pixel to pixel within reach, scored by known answers."""

from __future__ import annotations

import numpy as np
import pytest

from csgisnet.evaluation.boundaries import (
    count_matches,
    gradient_boundaries,
    score_boundaries,
)

THRESHOLDS = np.array([0.05, 0.5])


def line(column: int, side: int = 100) -> np.ndarray:
    drawn = np.zeros((side, side), bool)
    drawn[:, column] = True
    return drawn


def test_a_step_in_any_channel_is_one_pixel_wide() -> None:
    for channel in range(3):
        image = np.zeros((20, 30, 3), np.float32)
        image[:, 12:, channel] = 0.5
        found = gradient_boundaries(image)
        assert (np.count_nonzero(found, axis=1) == 1).all()
        assert set(np.nonzero(found)[1]) <= {11, 12}


def test_opposite_steps_of_two_channels_do_not_cancel() -> None:
    image = np.zeros((20, 30, 3), np.float32)
    image[:, 12:, 0], image[:, :12, 1] = 1, 1
    assert np.count_nonzero(gradient_boundaries(image)) == 20


@pytest.mark.parametrize(("away", "f"), [(0, 1.0), (1, 1.0), (2, 0.0)])
def test_a_boundary_counts_within_reach(away: int, f: float) -> None:
    """The reach is 0.0075 of a diagonal of 141 pixels: 1.06."""
    found = line(40).astype(np.float32)
    counts = count_matches(found, [line(40 + away)], THRESHOLDS)
    assert score_boundaries([counts], THRESHOLDS).ods == pytest.approx(f)


def test_pixels_are_matched_one_to_one() -> None:
    two = (line(40) | line(41)).astype(np.float32)
    counts = count_matches(two, [line(40)], THRESHOLDS)
    assert counts.found.tolist() == counts.recalled.tolist() == [100, 100]
    assert counts.detected.tolist() == [200, 200]


def test_precision_needs_one_person_and_recall_counts_all() -> None:
    counts = count_matches(line(40).astype(np.float32), [line(40), line(70)], THRESHOLDS)
    score = score_boundaries([counts], THRESHOLDS)
    assert score.precision == 1
    assert score.recall == 0.5
    assert score.ods == pytest.approx(2 / 3)


def test_ois_takes_the_best_threshold_of_each_photograph() -> None:
    weak, strong = (np.asarray(v * line(40), np.float32) for v in (0.1, 1.0))
    noisy = np.asarray(strong + 0.1 * line(70), np.float32)
    counts = [count_matches(image, [line(40)], THRESHOLDS) for image in (weak, noisy)]
    score = score_boundaries(counts, THRESHOLDS)
    assert score.ois == 1
    assert score.ods == pytest.approx(0.8)
    assert score.threshold == 0.05


def test_nothing_found_scores_zero() -> None:
    counts = count_matches(np.zeros((100, 100), np.float32), [line(40)], THRESHOLDS)
    assert score_boundaries([counts], THRESHOLDS).ods == 0
