"""Names on a plot: each in a place of its own, near its mark, wherever there is one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from csgisnet.evaluation.placement import Box, Label, place_labels

FRAME = Box(0, 0, 400, 240)


def dot(x: float, y: float) -> Box:
    """The room that a dot takes."""
    return Box(x - 8, y - 8, x + 8, y + 8)


def solvable(seed: int, count: int) -> list[Label]:
    """Dots with names for which there is room: each was drawn with a name beside it."""
    rng = np.random.default_rng(seed)
    labels: list[Label] = []
    used: list[Box] = []
    while len(labels) < count:
        width = float(rng.integers(2, 20) * 6.6)
        x, y = float(rng.uniform(0, FRAME.right)), float(rng.uniform(0, FRAME.bottom))
        left = x + 8 if rng.random() < 0.5 else x - 8 - width
        name = Box(left, y - 7, left + width, y + 7)
        inside = name.left >= 0 and name.right <= FRAME.right
        inside &= name.top >= 0 and name.bottom <= FRAME.bottom
        new = [name, dot(x, y)]
        if inside and not any(a.overlaps(b) for a in new for b in used):
            labels.append(Label(dot(x, y), width, 14))
            used += new
    return labels


@pytest.mark.parametrize("count", [1, 4, 12, 24])
def test_no_name_meets_another_a_dot_or_the_border(count: int) -> None:
    for seed in range(30):
        labels = solvable(seed, count)
        marks = [label.mark for label in labels]
        places = place_labels(labels, marks, FRAME)
        found = [place for place in places if place is not None]
        assert len(found) == count, f"seed {seed}: no place for {places.count(None)}"
        for place, label in zip(found, labels, strict=True):
            assert (place.right - place.left, place.bottom - place.top) == pytest.approx(label[1:])
            assert min(place) >= -1e-6
            assert place.right <= FRAME.right + 1e-6
            assert place.bottom <= FRAME.bottom + 1e-6
            assert not any(place.overlaps(mark) for mark in marks)
        assert not any(a.overlaps(b) for a, b in itertools.combinations(found, 2))


def test_a_name_stands_right_of_its_dot_if_it_can() -> None:
    mark = dot(100, 50)
    assert place_labels([Label(mark, 60, 14)], [mark], FRAME) == [Box(108, 43, 168, 57)]
    (place,) = place_labels([Label(mark, 60, 14)], [mark, Box(120, 0, 130, 240)], FRAME)
    assert place is not None
    assert place.right <= 120
    assert place.bottom <= mark.top or place.right <= mark.left
    near = (mark.left - place.right, place.top - mark.bottom, mark.top - place.bottom)
    assert max(near) < 3


def test_the_name_of_a_line_stands_on_its_right_end() -> None:
    line = Box(0, 99, 400, 101)
    (place,) = place_labels([Label(line, 33, 14)], [line], FRAME)
    assert place is not None
    assert (place.left, place.right) == (367, 400)
    assert 0 <= line.top - place.bottom < 3


def test_a_name_that_has_only_one_place_chooses_before_the_others() -> None:
    """The first would take the only gap that is wide enough for the second."""
    walls = [Box(0, 20, 400, 220), Box(200, 220, 400, 240), Box(90, 0, 400, 20)]
    small, large = Label(dot(50, 230), 40, 14), Label(dot(60, 230), 190, 14)
    places = place_labels([small, large], walls, FRAME)
    assert None not in places
    first, second = places
    assert first is not None
    assert second is not None
    assert first.bottom <= 20
    assert second.top >= 220


def test_a_name_without_any_place_is_left_out_and_takes_none_from_others() -> None:
    mark = dot(100, 50)
    labels = [Label(mark, 401, 14), Label(mark, 40, 14), Label(mark, 40, 241)]
    assert place_labels(labels, [mark], FRAME) == [None, Box(108, 43, 148, 57), None]
