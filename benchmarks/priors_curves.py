"""Draw the report of the study of priors: every arm's difference to the baseline, with intervals.

    python -m benchmarks.priors_curves benchmarks/results/priors-converged.json \\
        --out benchmarks/results/priors-curves.svg

A row is an arm and a column a measure. The three marks of a cell are the readings at a quarter, at
half and at the end of a run, from above and from light to dark; measures of the end alone have one.
Bars are two standard errors, and filled marks are differences beyond chance, see
`csgisnet.evaluation.intervals`. What lies outside a column's scale is written as a number.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.priors_arms import BASELINE
from vocsmooth.files import write_atomically

COLUMNS = {
    "psnr": "PSNR, dB",
    "kept": "texture kept, dB",
    "removed": "texture removed, dB",
    "other": "other data, dB",
    "retention": "retention",
    "ods": "ODS",
    "iou": "IoU of a judge",
}

_NAMES, _WIDTH, _ROW, _HEAD, _FOOT = 150, 118, 36, 30, 24  # pixels

_MARGIN = 10  # pixels of a column left free on both sides

_COLOURS = ("#90a4ae", "#546e7a", "#0d47a1")  # from a quarter to the end


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("report", type=Path, help="JSON file of benchmarks.priors")
    parser.add_argument("--out", type=Path, required=True, help="SVG file")
    given = parser.parse_args()
    report = json.loads(given.report.read_text(encoding="utf-8"))
    write_atomically(given.out, draw_curves(report["arms"]).encode())


def draw_curves(arms: dict[str, Any]) -> str:
    """Return an SVG of the arms of a report."""
    shown = {name: arm["readings"] for name, arm in arms.items() if name != BASELINE}
    width, height = _NAMES + _WIDTH * len(COLUMNS), _HEAD + _ROW * len(shown) + _FOOT
    shapes: list[str] = []
    for place, name in enumerate(shown):
        top = _HEAD + _ROW * place
        if place % 2 == 0:
            shapes.append(f'<rect y="{top}" width="{width}" height="{_ROW}" fill="#f5f5f5"/>')
        shapes.append(_text(8, top + _ROW / 2 + 4, name, "start"))
    for place, measure in enumerate(COLUMNS):
        shapes.extend(_column(shown, measure, _NAMES + _WIDTH * place, height))
    body = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="sans-serif" font-size="11">\n'
        f'<rect width="{width}" height="{height}" fill="white"/>\n{body}\n</svg>\n'
    )


def _column(shown: dict[str, Any], measure: str, left: int, height: int) -> Iterator[str]:
    """Yield a measure's heading, line of no difference, scale, and marks."""
    middle, reach = left + _WIDTH / 2, _WIDTH / 2 - _MARGIN
    limit = _limit(shown, measure)
    yield _text(middle, _HEAD - 12, COLUMNS[measure], "middle")
    yield _line(middle, _HEAD, middle, height - _FOOT, "#bdbdbd")
    for side, inward in ((-1, "start"), (1, "end")):
        yield _text(middle + side * reach, height - 8, f"{side * limit:+g}", inward)
    for row, readings in enumerate(shown.values()):
        found = [reading["difference"].get(measure) for reading in readings]
        for place, (one, colour) in enumerate(zip(found, _COLOURS, strict=True)):
            if one is not None:
                y = _HEAD + _ROW * row + _ROW * (place + 1) / 4
                last = place == len(found) - 1
                yield from _mark(one, limit, (middle, y, reach), colour, numbered=last)


def _mark(
    one: dict[str, Any],
    limit: float,
    where: tuple[float, float, float],
    colour: str,
    *,
    numbered: bool,
) -> Iterator[str]:
    """Yield a dot with its bar; of a dot outside the scale the number, if it is to have one."""
    middle, y, reach = where
    mean, error = one["mean"], 2 * one["error"]
    low, high = (np.clip(v / limit, -1, 1) * reach + middle for v in (mean - error, mean + error))
    yield _line(low, y, high, y, colour)
    if abs(mean) <= limit:
        fill = colour if one["verdict"] != "open" else "white"
        x = middle + mean / limit * reach
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{fill}" stroke="{colour}"/>'
    elif numbered:
        inward = "end" if mean > 0 else "start"
        yield _text(middle + np.sign(mean) * (reach + 4), y + 4, f"{mean:+.2f}", inward)


def _limit(shown: dict[str, Any], measure: str) -> float:
    """Return a round end of the scale, which few arms with large differences do not decide."""
    ends = [
        abs(one["mean"]) + 2 * one["error"]
        for readings in shown.values()
        if (one := readings[-1]["difference"].get(measure))
    ]
    wide = 2 * float(np.median(ends)) if ends else 1.0
    power = 10.0 ** np.floor(np.log10(max(wide, 1e-6)))
    return float(next(m * power for m in (1, 2, 5, 10) if m * power >= wide))


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{colour}" stroke-width="1.5"/>'
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


if __name__ == "__main__":
    main()
