"""A plot of PSNR against time, written as SVG by hand: no library needed, sharp at any size."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

from csgisnet.evaluation.measure import INPUT, SmootherSummary
from csgisnet.evaluation.placement import Box, Label, place_labels

_WIDTH, _HEIGHT = 760, 460

_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 740, 20, 410

_RADIUS = 5  # of a dot

_GAP = 3  # pixels between a mark and its name

_LINE = 14  # height of a name

_LETTER = 6.6  # width of a letter of a monospaced font of 11 pixels

_LONGEST = 44  # letters shown of a name

_FONT = "DejaVu Sans Mono, Menlo, Consolas, monospace"  # in these, l0 is not 10

_HALO = f' paint-order="stroke" stroke="white" stroke-width="3" font-family="{_FONT}"'


class _Mark(NamedTuple):
    """A smoother on the canvas: a dot, or a dashed line if it has no time of its own."""

    x: float | None
    y: float
    name: str

    @property
    def box(self) -> Box:
        """Return the box that no name may cover."""
        if self.x is None:
            return Box(_LEFT, self.y - 1, _RIGHT, self.y + 1)
        reach = _RADIUS + _GAP
        return Box(self.x - reach, self.y - reach, self.x + reach, self.y + reach)


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
        The untouched input and smoothers without a time become dashed lines; smoothers without a
        PSNR are left out.
    highlight : str, optional
        The smoother to draw in another colour.
    """
    shown = [summary for summary in summaries if math.isfinite(summary.means["psnr"])]
    levels = [summary.means["psnr"] for summary in shown]
    times = [math.log10(seconds) for seconds in map(_seconds, shown) if seconds] or [0.0]
    across = _Axis(math.floor(min(times)), math.floor(max(times)) + 1, _LEFT, _RIGHT)
    step = _nice_step(max(levels) - min(levels)) if levels else 1.0
    low = math.floor(min(levels, default=0) / step) * step
    high = math.floor(max(levels, default=0) / step + 1) * step
    upward = _Axis(low, high, _BOTTOM, _TOP)
    marks = [
        _Mark(
            across.place(math.log10(seconds)) if (seconds := _seconds(summary)) else None,
            upward.place(summary.means["psnr"]),
            summary.smoother,
        )
        for summary in shown
    ]
    shapes = [*_grid(across, upward, step), *_shapes(marks, highlight), *_names(marks)]
    body = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>\n{body}\n</svg>\n'
    )


def _seconds(summary: SmootherSummary) -> float | None:
    """Return a smoother's seconds per megapixel; None for the input and where they are unknown."""
    seconds = summary.means["seconds_per_megapixel"]
    return seconds if summary.smoother != INPUT and seconds > 0 else None


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


def _shapes(marks: Sequence[_Mark], highlight: str | None) -> Iterator[str]:
    """Yield the lines and the dots; each shows its smoother's full name when pointed at."""
    for mark in sorted(marks, key=lambda mark: mark.x is not None):  # dots on top of lines
        chosen = mark.name == highlight
        title = f"<title>{escape(mark.name)}</title>"
        if mark.x is None:
            colour = "#c62828" if chosen else "#888"
            ends = f'x1="{_LEFT}" y1="{mark.y:.1f}" x2="{_RIGHT}" y2="{mark.y:.1f}"'
            yield f'<line {ends} stroke="{colour}" stroke-dasharray="5 4">{title}</line>'
        else:
            colour = "#c62828" if chosen else "#1565c0"
            place = f'cx="{mark.x:.1f}" cy="{mark.y:.1f}" r="{_RADIUS}"'
            yield f'<circle {place} fill="{colour}">{title}</circle>'


def _names(marks: Sequence[_Mark]) -> Iterator[str]:
    """Yield the names, which cover nothing; a line leads from a name to a distant dot.

    A name for which there is no room is left out; the table beside the plot has it.
    """
    texts = [_shortened(mark.name) for mark in marks]
    labels = [
        Label(mark.box, _LETTER * _cells(text), _LINE)
        for mark, text in zip(marks, texts, strict=True)
    ]
    frame = Box(_LEFT, _TOP, _RIGHT, _BOTTOM)
    places = place_labels(labels, [mark.box for mark in marks], frame)
    found = [(mark, text, box) for mark, text, box in zip(marks, texts, places, strict=True) if box]
    for mark, _, box in found:
        x = mark.x
        if x is None:
            continue
        end_x = min(max(x, box.left), box.right)
        end_y = min(max(mark.y, box.top + 2), box.bottom - 2)
        if math.hypot(end_x - x, end_y - mark.y) > _RADIUS + 2 * _GAP:
            yield _line(x, mark.y, end_x, end_y, "#999")
    for _, text, box in found:
        # Whatever font the viewer has, the name takes the room that was found for it.
        room = f' font-size="11" textLength="{box.right - box.left:.1f}"{_HALO}'
        yield _text(box.left, box.bottom - 3, text, "start", room)


def _shortened(name: str) -> str:
    """Return a name without its middle if it is too long for the plot."""
    if _cells(name) <= _LONGEST:
        return name
    half = _LONGEST // 2
    while _cells(short := f"{name[:half]}…{name[-half:]}") > _LONGEST:
        half -= 1
    return short


def _cells(text: str) -> int:
    """Return how many letters wide a text is: Chinese characters are two wide, accents none."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    none = sum(unicodedata.combining(character) > 0 for character in text)
    return len(text) + wide - none


def _nice_step(span: float) -> float:
    """Return 1, 2 or 5 times a power of ten that divides `span` into at most ten steps."""
    if span <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(span / 10))
    return next(m * power for m in (1, 2, 5, 10, 20) if m * power * 10 >= span)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    """Return a line."""
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str, extra: str = "") -> str:
    """Return a text; `anchor` is start, middle or end."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{escape(text)}</text>'
