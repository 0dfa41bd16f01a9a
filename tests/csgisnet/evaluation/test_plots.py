"""The plot of quality against time: dots and lines in their places, names readable and whole."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from xml.etree import ElementTree

import numpy as np
import pytest

from csgisnet.evaluation.measure import INPUT, SmootherSummary
from csgisnet.evaluation.placement import Box
from csgisnet.evaluation.plots import draw_speed_plot

TAG = "{http://www.w3.org/2000/svg}"


def summary(name: str, psnr: float, seconds: float) -> SmootherSummary:
    means = {"psnr": psnr, "seconds_per_megapixel": seconds}
    return SmootherSummary(smoother=name, means=means, counts={})


def elements(svg: ElementTree.Element, kind: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield text, or else the title, and attributes of the elements of a kind."""
    for element in svg.iter(TAG + kind):
        yield element.text or element.findtext(TAG + "title") or "", element.attrib


def names_of(svg: ElementTree.Element) -> dict[str, Box]:
    """Return the boxes of the smoothers' names."""
    found = {}
    for text, given in elements(svg, "text"):
        if "textLength" in given:
            x, y = float(given["x"]), float(given["y"])
            found[text] = Box(x, y - 10, x + float(given["textLength"]), y + 3)
    return found


def test_dots_are_ordered_and_unknown_times_are_lines() -> None:
    rows = [
        summary("slow", 30, 10.0),
        summary("quick", 24, 0.1),
        summary(INPUT, 20, 0.0),
        summary("theirs", 27, math.nan),
    ]
    svg = ElementTree.fromstring(draw_speed_plot(rows, "theirs"))
    dots = dict(elements(svg, "circle"))
    assert dots.keys() == {"slow", "quick"}
    assert float(dots["slow"]["cx"]) > float(dots["quick"]["cx"])
    assert float(dots["slow"]["cy"]) < float(dots["quick"]["cy"])
    lines = {name: given for name, given in elements(svg, "line") if name}
    assert lines.keys() == {INPUT, "theirs"}
    assert lines["theirs"]["stroke"] not in (lines[INPUT]["stroke"], dots["slow"]["fill"])
    heights = [float(lines[INPUT]["y1"]), float(dots["quick"]["cy"]), float(lines["theirs"]["y1"])]
    assert heights == sorted(heights, reverse=True)
    assert {"0.1", "10", "seconds per megapixel"} <= {text for text, _ in elements(svg, "text")}


@pytest.mark.parametrize("seed", range(6))
def test_no_name_stands_on_a_dot_a_line_another_name_or_leaves_the_plot(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [
        summary(f"operator{i}({'x' * int(rng.integers(0, 70))})", *(24 + rng.random(2)))
        for i in range(12)
    ]
    rows += [summary(INPUT, 24.2, 0.0), summary("漢字の名前", 24.21, math.nan)]
    svg = ElementTree.fromstring(draw_speed_plot(rows))
    names = names_of(svg)
    assert len(names) == len(rows)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(names.values(), 2))
    for box in names.values():
        assert 64 <= box.left < box.right <= 740.1
        assert 20 <= box.top < box.bottom <= 410
        for _, given in elements(svg, "circle"):
            x, y, r = (float(given[key]) for key in ("cx", "cy", "r"))
            assert not box.overlaps(Box(x - r, y - r, x + r, y + r))
        for name, given in elements(svg, "line"):
            if name:
                assert not box.top < float(given["y1"]) < box.bottom


def test_a_name_that_had_to_move_is_tied_to_its_dot() -> None:
    rows = [summary(f"same place {i}", 24, 1.0) for i in range(5)]
    svg = ElementTree.fromstring(draw_speed_plot(rows))
    ties = [given for _, given in elements(svg, "line") if given["stroke"] == "#999"]
    assert 1 <= len(ties) < 5
    (dot,) = {(given["cx"], given["cy"]) for _, given in elements(svg, "circle")}
    assert {(tie["x1"], tie["y1"]) for tie in ties} == {dot}


def test_a_long_name_keeps_its_ends_and_is_whole_in_the_title() -> None:
    name = f"start{'é' * 90}end & <b>"
    svg = ElementTree.fromstring(draw_speed_plot([summary(name, 24, 1.0)]))
    (short,) = names_of(svg)
    assert len(short) < 50
    assert (short[:5], short[-3:]) == ("start", "<b>")
    assert [title for title, _ in elements(svg, "circle")] == [name]


@pytest.mark.parametrize(
    "rows", [[], [("s", math.nan, 1.0)], [("s", 20.0, 1.0)], [(INPUT, 20.0, 0.0)]]
)
def test_a_plot_of_almost_nothing_is_well_formed(rows: list[tuple[str, float, float]]) -> None:
    ElementTree.fromstring(draw_speed_plot([summary(*row) for row in rows]))
