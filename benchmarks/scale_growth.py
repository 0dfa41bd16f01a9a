"""How the cost of a step grows with the number of photographs, for `benchmarks.scale`."""

from __future__ import annotations

import math

import numpy as np

STEEPEST = 1.1
"""An exponent of growth beyond this one is a fault."""

NOISE = 0.3
"""The exponent of a step that takes fewer seconds is that of the noise."""

Row = dict[str, float]


def grow(counts: list[int], rows: list[Row]) -> Row:
    """Return how the cost of a step grows with the number of photographs."""
    if len(counts) < 2:
        return {}
    seconds = [row["seconds"] for row in rows]
    slope = np.polyfit(np.log(counts), np.log(seconds), 1)[0]
    more = counts[-1] - counts[-2]
    result = {
        "exponent": float(slope),
        "margin_ms": (seconds[-1] - seconds[-2]) / more * 1e3,
        "margin_bytes": (rows[-1]["MB"] - rows[-2]["MB"]) / more * 1e6,
    }
    first, last = seconds[1] - seconds[0], seconds[-1] - seconds[0]
    if len(counts) > 2 and 0 < first < last:
        steps = (counts[-1] - counts[0]) / (counts[1] - counts[0])
        result["growing"] = math.log(last / first) / math.log(steps)
    return result


def too_steep(rows: list[Row], growth: Row) -> bool:
    """Return whether a step's cost grows faster than it may, and is more than noise.

    What it cost with the smallest number, mostly the start of Python, does not count where there
    are three numbers or more.
    """
    found = growth.get("growing", growth.get("exponent", 0.0))
    return found > STEEPEST and rows[-1]["seconds"] > NOISE


def print_table(counts: list[int], rows: dict[str, list[Row]], growth: dict[str, Row]) -> None:
    """Print the seconds and the memory of each step, and how they grow; mark faults."""
    heads = [*(f"{n} s" for n in counts), *(f"{n} MB" for n in counts)]
    names = ("exponent", "growing", "margin_ms", "margin_bytes")
    print(f"\n{'step':9s}" + "".join(f"{head:>13s}" for head in (*heads, *names)))
    for step, of_step in rows.items():
        cells = [f"{row['seconds']:.3f}" for row in of_step]
        cells += [f"{row['MB']:.0f}" for row in of_step]
        cells += [f"{growth[step][n]:.3f}" if n in growth[step] else "-" for n in names]
        fault = f"  over {STEEPEST}" if too_steep(of_step, growth[step]) else ""
        print(f"{step:9s}" + "".join(f"{cell:>13s}" for cell in cells) + fault)
