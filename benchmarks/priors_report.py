"""Tables of the study of priors: every arm's paired difference to the baseline, with intervals."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.priors_arms import BASELINE
from csgisnet.evaluation.intervals import Interval, paired_interval

Results: TypeAlias = dict[str, dict[int, dict[str, Any]]]
"""Runs by arm and seed."""

MEASURES = ("psnr", "kept", "removed", "other", "retention", "ods", "iou")
"""More is better in all."""

LAST = -1
"""The reading at the end of a run."""


def values_of(run: dict[str, Any], measure: str, reading: int = LAST) -> NDArray[np.float64]:
    """Return a measure for every picture, NaN where it could not be measured.

    Empty if no picture has it.
    """
    values = np.array(run["readings"][reading]["values"].get(measure, []), np.float64)
    return values if np.isfinite(values).any() else np.empty(0)


def mean_of(run: dict[str, Any], measure: str, reading: int = LAST) -> float:
    """Return the mean of a measure over the pictures that have it."""
    return float(np.nanmean(values_of(run, measure, reading)))


def compare(results: Results, name: str, measure: str, reading: int = LAST) -> Interval | None:
    """Return the paired difference of an arm to the baseline.

    None unless two pictures were measured under two seeds: an oracle is judged in domain only, and
    some classes are in few pictures.
    """
    seeds = sorted(set(results[name]) & set(results[BASELINE]))
    own, others = (
        [values_of(results[arm][seed], measure, reading) for seed in seeds]
        for arm in (name, BASELINE)
    )
    if len(seeds) < 2 or not len(own[0]) or not len(others[0]):
        return None
    differences = np.stack(own) - np.stack(others)
    enough = np.isfinite(differences).all(axis=0).sum() > 1
    return paired_interval(differences) if enough else None


def table(results: Results) -> str:
    """Return every arm's difference at the end in Markdown, with two standard errors."""
    lines = ["| arm | " + " | ".join(MEASURES) + " |", "| --- |" + " ---: |" * len(MEASURES)]
    for name in results:
        cells = [_cell(results, name, measure) for measure in MEASURES]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def curves(results: Results, measure: str = "psnr") -> str:
    """Return every arm's difference at each reading in Markdown."""
    steps = steps_of(results)
    lines = [
        "| arm | " + " | ".join(f"step {step}" for step in steps) + " |",
        "| --- |" + " ---: |" * len(steps),
    ]
    for name in results:
        cells = [_cell(results, name, measure, reading) for reading in range(len(steps))]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def steps_of(results: Results) -> list[int]:
    """Return the steps at which the runs were read."""
    return [reading["step"] for reading in next(iter(results[BASELINE].values()))["readings"]]


def _cell(results: Results, name: str, measure: str, reading: int = LAST) -> str:
    """Return the baseline's own mean, or another arm's difference; empty if it was not measured."""
    if name == BASELINE:
        runs = results[name].values()
        if not all(len(values_of(run, measure, reading)) for run in runs):
            return ""
        return f"{np.mean([mean_of(run, measure, reading) for run in runs]):.3f}"
    found = compare(results, name, measure, reading)
    if found is None:
        return ""
    mark = {"helps": " **+**", "harms": " **-**", "open": ""}[found.verdict]
    return f"{found.mean:+.3f} ± {2 * found.error:.3f}{mark}"


def describe_arms(results: Results) -> dict[str, Any]:
    """Return every arm's means, differences and gradient shares, for JSON."""
    return {name: _describe(results, name) for name in results}


def _describe(results: Results, name: str) -> dict[str, Any]:
    """Return what the report says about one arm."""
    runs = results[name]
    readings = []
    for place, step in enumerate(steps_of(results)):
        differences = {m: compare(results, name, m, place) for m in MEASURES}
        shares = [run["readings"][place]["shares"] for run in runs.values()]
        means = {
            measure: [round(mean_of(run, measure, place), 4) for run in runs.values()]
            for measure in MEASURES
            if all(len(values_of(run, measure, place)) for run in runs.values())
        }
        readings.append(
            {
                "step": step,
                "means": means,
                "difference": {
                    measure: {**dataclasses.asdict(found), "verdict": found.verdict}
                    for measure, found in differences.items()
                    if found and name != BASELINE
                },
                "shares": {
                    key: round(float(np.mean([one[key] for one in shares])), 4) for key in shares[0]
                },
            }
        )
    seconds = float(np.median([run["seconds"] for run in runs.values()]))
    return {"seeds": sorted(runs), "readings": readings, "seconds": round(seconds, 1)}
