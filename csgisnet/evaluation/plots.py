"""A plot of PSNR against time, written as SVG by hand: no library needed, sharp at any size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

from csgisnet.evaluation.measure import INPUT, SmootherSummary

_WIDTH, _HEIGHT = 760, 460

_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 740, 20, 410

_LINE = 14  # pixels from one label to the next

_LETTER = 6.6  # pixels, about

_GAP = 9  # pixels between a dot and its name

_HALO = ' paint-order="stroke" stroke="white" stroke-width="3"'


class _Point(NamedTuple):
    """A smoother on the canvas."""

    x: float
    y: float
    name: str


class _Axis(NamedTuple):
    """A range of values and the range of pixels that it is drawn on."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        """Return the pixel of a value."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def draw_speed_plot(summaries: Sequence[SmootherSummary], highlight: str | None = None) -> str:
    """Return an SVG of mean PSNR against seconds per megapixel (logarithmic).

    Parameters
    ----------
    summaries : sequence of SmootherSummary
        The untouched input becomes a dashed line; smoothers without a time or PSNR are left out.
    highlight : str, optional
        The smoother to draw in another colour.
    """
    levels = [s.means["psnr"] for s in summaries if math.isfinite(s.means["psnr"])]
    timed = [
        (math.log10(s.means["seconds_per_megapixel"]), s.means["psnr"], s.smoother)
        for s in summaries
        if s.smoother != INPUT
        and s.means["seconds_per_megapixel"] > 0
        and math.isfinite(s.means["psnr"])
    ]
    times = [time for time, _, _ in timed] or [0.0]
    across = _Axis(math.floor(min(times)), math.floor(max(times)) + 1, _LEFT, _RIGHT)
    step = _nice_step(max(levels) - min(levels)) if levels else 1.0
    low = math.floor(min(levels, default=0) / step) * step
    high = math.floor(max(levels, default=0) / step + 1) * step
    upward = _Axis(low, high, _BOTTOM, _TOP)
    points = [_Point(across.place(t), upward.place(level), name) for t, level, name in timed]
    shapes = [*_grid(across, upward, step), *_input_line(summaries, upward)]
    shapes += _marks(points, highlight)
    body = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>\n{body}\n</svg>\n'
    )


def _grid(across: _Axis, upward: _Axis, step: float) -> Iterator[str]:
    """Yield grid lines with their values, and the names of the axes."""
    for power in range(int(across.low), int(across.high) + 1):
        x = across.place(power)
        yield _line(x, _TOP, x, _BOTTOM, "#ddd")
        yield _text(x, _BOTTOM + 18, f"{10.0**power:g}", "middle")
    for number in range(round((upward.high - upward.low) / step) + 1):
        level = upward.low + number * step
        y = upward.place(level)
        yield _line(_LEFT, y, _RIGHT, y, "#ddd")
        yield _text(_LEFT - 8, y + 4, f"{level:g}", "end")
    yield _text((_LEFT + _RIGHT) / 2, _HEIGHT - 12, "seconds per megapixel", "middle")
    middle = (_TOP + _BOTTOM) / 2
    turn = f' transform="rotate(-90 18 {middle:g})"'
    yield _text(18, middle, "mean PSNR, dB", "middle", turn)


def _input_line(summaries: Sequence[SmootherSummary], upward: _Axis) -> Iterator[str]:
    """Yield a dashed line at the PSNR of the untouched input."""
    for summary in summaries:
        if summary.smoother == INPUT and math.isfinite(summary.means["psnr"]):
            y = upward.place(summary.means["psnr"])
            yield _line(_LEFT, y, _RIGHT, y, "#888", ' stroke-dasharray="5 4"')
            yield _text(_RIGHT, y - 5, "input", "end")


def _marks(points: Sequence[_Point], highlight: str | None) -> Iterator[str]:
    """Yield the dots, and then, on top of them, the names, moved so that none overlap."""
    for point in points:
        colour = "#c62828" if point.name == highlight else "#1565c0"
        yield f'<circle cx="{point.x:.1f}" cy="{point.y:.1f}" r="5" fill="{colour}"/>'
    taken: list[_Point] = []
    for point in sorted(points, key=lambda p: p.y):
        width = _LETTER * len(point.name)
        fits = point.x + _GAP + width < _WIDTH
        label = point._replace(x=point.x + _GAP if fits else point.x - _GAP - width, y=point.y + 4)
        others = [_Point(p.x, p.y + 4, "") for p in points if p != point]
        while any(_overlap(label, other) for other in [*taken, *others]):
            label = label._replace(y=label.y + 1)
        taken.append(label)
        edge, anchor = (label.x, "start") if fits else (point.x - _GAP, "end")
        if label.y > point.y + _LINE:  # so far away that it looks like another dot's
            yield _line(point.x, point.y, edge, label.y - 4, "#999")
        yield _text(edge, label.y, point.name, anchor, _HALO)


def _overlap(label: _Point, other: _Point) -> bool:
    """Tell whether two names, each starting at its point, overlap; a dot has an empty name."""
    first, second = sorted((label, other))
    beside = first.x + _LETTER * len(first.name) < second.x
    return not beside and abs(label.y - other.y) < _LINE


def _nice_step(span: float) -> float:
    """Return 1, 2 or 5 times a power of ten that divides `span` into at most ten steps."""
    if span <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(span / 10))
    return next(m * power for m in (1, 2, 5, 10, 20) if m * power * 10 >= span)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, extra: str = "") -> str:
    """Return a line."""
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}"{extra}/>'


def _text(x: float, y: float, text: str, anchor: str, extra: str = "") -> str:
    """Return a text; `anchor` is start, middle or end."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{escape(text)}</text>'
