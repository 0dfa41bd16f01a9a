"""The results of an evaluation as CSV, JSON and Markdown."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from csgisnet.evaluation.measure import INPUT, MEASURES, Record, SmootherSummary

HEADINGS = {
    "psnr": "PSNR, dB ↑",
    "ssim": "SSIM ↑",
    "boundary_retention": "boundary retention ↑",
    "texture_residual": "texture residual ↓",
    "seconds_per_megapixel": "s / megapixel ↓",
}

_FORMATS = {
    "psnr": ".2f",
    "ssim": ".4f",
    "boundary_retention": ".3f",
    "texture_residual": ".3f",
    "seconds_per_megapixel": ".3g",
}


def format_csv(records: Iterable[Record]) -> str:
    """Return a line for each image and smoother; undefined measures stay empty."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["image", "smoother", "pixels", *MEASURES])
    for record in records:
        values = (getattr(record, measure) for measure in MEASURES)
        numbers = [f"{value:.6g}" if math.isfinite(value) else "" for value in values]
        writer.writerow([record.image, record.smoother, record.pixels, *numbers])
    return buffer.getvalue()


def summary_content(
    summaries: Sequence[SmootherSummary], about: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the summary ready for JSON: definitions, conditions, and means with their counts."""
    return {
        "measures": MEASURES,
        **about,
        "smoothers": {
            summary.smoother: {
                measure: {
                    "mean": mean if math.isfinite(mean) else None,
                    "images": summary.counts[measure],
                }
                for measure, mean in summary.means.items()
            }
            for summary in summaries
        },
    }


def format_markdown(summaries: Sequence[SmootherSummary], remarks: Sequence[str] = ()) -> str:
    """Return the table, best PSNR first, followed by remarks and what each column means."""
    rows = [["smoother", *HEADINGS.values()], ["---", *["---:"] * len(HEADINGS)]]
    rows += [row_of(summary) for summary in by_psnr(summaries)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    notes = [f"- {HEADINGS[measure]}: {text}" for measure, text in MEASURES.items()]
    paragraphs = [part for remark in remarks for part in (remark, "")]
    return "\n".join([*lines, "", *paragraphs, *notes, ""])


def by_psnr(summaries: Sequence[SmootherSummary]) -> list[SmootherSummary]:
    """Return the summaries, the highest PSNR first."""
    return sorted(summaries, key=lambda summary: -summary.means["psnr"])


def row_of(summary: SmootherSummary) -> list[str]:
    """Return a row of the table: name and formatted means."""
    cells = [
        format(mean, _FORMATS[measure]) if math.isfinite(mean) else "n/a"
        for measure, mean in summary.means.items()
    ]
    if summary.smoother == INPUT:
        cells[-1] = ""
    return [summary.smoother, *cells]
