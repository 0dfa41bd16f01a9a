"""One HTML page with the table, the plot, and crops side by side, the worst cases first.

The page is self-contained: it opens from disk, and can be sent as a single file.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw
from scipy import ndimage

from csgisnet.evaluation.measure import (
    INPUT,
    MEASURES,
    Contestant,
    Record,
    SmootherSummary,
    apply,
)
from csgisnet.evaluation.plots import draw_speed_plot
from csgisnet.evaluation.samples import Image, Sample, Samples
from csgisnet.evaluation.tables import HEADINGS, by_psnr, row_of
from vocsmooth.arrays import to_uint

_CROP = 176

_JPEG_QUALITY = 90

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 1240px; padding: 0 1rem; }
table { border-collapse: collapse; }
th, td { padding: .25rem .8rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; }
dt { font-weight: 600; }
dd { margin: 0 0 .4rem 1.5rem; }
.case { display: flex; flex-wrap: wrap; gap: 10px; margin-bottom: 1.5rem; }
figure { margin: 0; width: 176px; }
figure img { display: block; max-width: 100%; }
figcaption { font-size: 13px; line-height: 1.3; }
svg { max-width: 100%; height: auto; }
"""


class Case(NamedTuple):
    """An image to show, and the reason for showing it."""

    number: int
    """Number of the sample."""
    reason: str
    """Heading under which it appears."""


def choose_cases(
    records: Sequence[Record], names: Sequence[str], smoother: str, count: int = 6
) -> list[Case]:
    """Return the images on which a smoother has the lowest PSNR, then those with the highest.

    At most `count` of each; no image is returned twice.
    """
    psnr = {record.image: record.psnr for record in records if record.smoother == smoother}
    order = sorted(range(len(names)), key=lambda number: psnr[names[number]])
    worst = order[: min(count, (len(order) + 1) // 2)]
    best = order[: len(worst) - 1 : -1][:count]
    return [
        *(Case(number, f"Worst cases of {smoother}") for number in worst),
        *(Case(number, f"Best cases of {smoother}") for number in best),
    ]


def make_page(
    summaries: Sequence[SmootherSummary],
    records: Sequence[Record],
    samples: Samples,
    smoothers: Mapping[str, Contestant],
    *,
    subject: str,
    title: str,
    about: Mapping[str, Any],
    remarks: Sequence[str] = (),
) -> str:
    """Return the page.

    Parameters
    ----------
    summaries, records
        Outcome of the evaluation.
    samples, smoothers
        What was evaluated; the images shown are read and smoothed again.
    subject : str
        The smoother whose worst and best cases are shown; it comes first in every row.
    title : str
        Heading of the page.
    about : mapping
        Conditions of the evaluation; those that are empty are left out.
    remarks : sequence of str
        What a reader of the table should know.
    """
    psnr = {(record.image, record.smoother): record.psnr for record in records}
    names = [subject, *(name for name in smoothers if name != subject)]
    pieces = [_table(summaries), *(f"<p>{escape(remark)}</p>" for remark in remarks)]
    pieces += [_conditions(about), draw_speed_plot(summaries, subject)]
    heading = ""
    for case in choose_cases(records, samples.names, subject):
        if case.reason != heading:
            heading = case.reason
            pieces.append(f"<h2>{escape(heading)}</h2>")
        image = samples.names[case.number]
        sample = samples.read(case.number)
        results = {
            name: apply(smoothers[name], case.number, sample.image)
            for name in names
            if name in smoothers
        }
        captions = {name: f"{name}, {psnr[image, name]:.2f} dB" for name in (INPUT, *results)}
        pieces.append(f"<h3>{escape(image)}</h3>\n{_case(sample, results, captions)}")
    body = "\n".join(pieces)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def _conditions(about: Mapping[str, Any]) -> str:
    """Return what was measured, with which weights, and where, as a collapsed list."""
    terms = "".join(
        f"<dt>{escape(name.replace('_', ' '))}</dt><dd>{escape(_words(value))}</dd>"
        for name, value in about.items()
        if value not in (None, "", [], {})
    )
    return f"<details><summary>Conditions</summary><dl>{terms}</dl></details>"


def _words(value: Any) -> str:
    """Write a condition as text, such as "l0: lam=0.02; rtv: lam=0.01, sigma=3"."""
    if isinstance(value, Mapping):
        if any(isinstance(each, Mapping) for each in value.values()):
            return "; ".join(f"{name}: {_words(each)}" for name, each in value.items())
        return ", ".join(f"{name}={each}" for name, each in value.items() if each is not None)
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value))
    return str(value)


def _table(summaries: Sequence[SmootherSummary]) -> str:
    """Return the table of means; the definitions below it are collapsed."""
    rows = [_row("th", ["smoother", *HEADINGS.values()])]
    rows += [_row("td", row_of(summary)) for summary in by_psnr(summaries)]
    terms = "".join(
        f"<dt>{escape(HEADINGS[measure])}</dt><dd>{escape(text)}</dd>"
        for measure, text in MEASURES.items()
    )
    return (
        f"<table>\n{''.join(rows)}</table>\n"
        f"<details><summary>What the columns mean</summary><dl>{terms}</dl></details>"
    )


def _row(tag: str, cells: Sequence[str]) -> str:
    """Return a row of a table."""
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>\n"


def _case(sample: Sample, results: Mapping[str, Image], captions: Mapping[str, str]) -> str:
    """Return one row: the whole input with a frame, then the framed crop of every picture.

    The frame is where the first result differs most from the label.
    """
    first = next(iter(results.values()), sample.image)
    top, left, side = worst_window(first, sample.label)
    figures = [_figure(_framed(sample.image, top, left, side), "whole input")]
    pictures = {captions[INPUT]: sample.image, "label": sample.label}
    pictures |= {captions[name]: result for name, result in results.items()}
    for caption, picture in pictures.items():
        crop = picture[top : top + side, left : left + side]
        figures.append(_figure(_picture(crop), caption))
    return f'<div class="case">\n{"".join(figures)}</div>'


def worst_window(result: Image, label: Image, side: int = _CROP) -> tuple[int, int, int]:
    """Return top, left and side of the square where the mean squared difference is greatest."""
    height, width = label.shape[:2]
    side = min(side, height, width)
    error = np.square(result.astype(np.float64) - label).mean(axis=2)
    # With this origin, the filter's output at (y, x) is the mean of the window that starts there.
    means = ndimage.uniform_filter(error, side, mode="constant", origin=-(side // 2))
    valid = means[: height - side + 1, : width - side + 1]
    top, left = np.unravel_index(int(valid.argmax()), valid.shape)
    return int(top), int(left), side


def _framed(image: Image, top: int, left: int, side: int) -> PillowImage.Image:
    """Return the image at the size of a crop, with a frame around its window."""
    picture = _picture(image)
    scale = _CROP / max(picture.size)
    small = picture.resize(
        (max(1, round(picture.width * scale)), max(1, round(picture.height * scale))),
        PillowImage.Resampling.LANCZOS,
    )
    corners = [round(place * scale) for place in (left, top, left + side - 1, top + side - 1)]
    ImageDraw.Draw(small).rectangle(corners, outline=(255, 0, 0), width=2)
    return small


def _picture(image: Image) -> PillowImage.Image:
    """Return an image as 8-bit pixels."""
    return PillowImage.fromarray(to_uint(image, np.uint8))


def _figure(picture: PillowImage.Image, caption: str) -> str:
    """Return a picture with its caption, its pixels embedded in the page."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    data = base64.b64encode(buffer.getvalue()).decode()
    return (
        f'<figure><img src="data:image/jpeg;base64,{data}" width="{picture.width}" '
        f'height="{picture.height}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>\n"
    )
