"""How much smoothed videos flicker, and how little of what moves they drag along.

A crop of a photograph pans by two pixels a frame for half of the time and stands still for the
other half; every frame has noise of its own. Flicker is the mean change of a channel from frame to
frame, in grey levels of 255, while the picture stands still. Trail is the mean difference, while it
pans, from the results without persistence.

Example: python -m benchmarks.flicker --out benchmarks/results/flicker.json
"""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import csgisnet
from vocsmooth.arrays import to_float
from vocsmooth.files import write_json
from vocsmooth.images.reading import read_rgb
from vocsmooth.operators.table import smooth
from vocsmooth.operators.video import smooth_frames
from vocsmooth.sources.photographs import bundled_folder

Frame = NDArray[np.float32]

FRAMES = 16
"""Half of them pan."""

NOISE = 4.0 / 255
"""Standard deviation; about that of a telephone indoors."""

PERSISTENCES = (0.0, 0.5, 0.8)


def film() -> list[Frame]:
    """Return the frames."""
    photograph = to_float(read_rgb(bundled_folder() / "coffee.png"))
    rng = np.random.default_rng(0)
    frames = []
    for number in range(FRAMES):
        left = 2 * min(number, FRAMES // 2)
        crop = photograph[60:300, 40 + left : 360 + left]
        noisy = crop + rng.normal(0, NOISE, crop.shape)
        frames.append(np.clip(noisy, 0, 1).astype(np.float32))
    return frames


def measure() -> dict[str, Any]:
    """Return flicker and trail of each method by persistence."""
    frames = film()
    still = np.s_[FRAMES // 2 + 3 :]  # three frames after the pan has ended
    methods: dict[str, Any] = {"input": lambda frame: frame}
    operators: dict[str, dict[str, Any]] = {
        "rtv": {"lam": 0.015},
        "l0": {"lam": 0.02},
        "guided": {},
    }
    for name, params in operators.items():
        methods[name] = functools.partial(smooth, operator=name, **params)
    methods["network"] = csgisnet.load(device="cpu").smooth
    found: dict[str, Any] = {}
    for name, method in methods.items():
        alone = None
        for persistence in PERSISTENCES:
            results = np.array(list(smooth_frames(frames, method, persistence=persistence)))
            alone = results if alone is None else alone
            pan = np.abs(results - alone)[1 : FRAMES // 2]
            found.setdefault(name, {})[str(persistence)] = {
                "flicker": round(255 * float(np.abs(np.diff(results[still], axis=0)).mean()), 3),
                "trail": round(255 * float(pan.mean()), 3),
            }
    return found


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="JSON file")
    out = parser.parse_args().out
    found = measure()
    write_json(out, found)
    for name, by_persistence in found.items():
        print(name, by_persistence)


if __name__ == "__main__":
    main()
