"""What the smoothing operators cost, beside what people use today, and how exact they are.

Seconds are processor time on one thread, medians, of 480 x 640 x 3 float32 images. Below an
operator are its rivals (operators_rivals.py): their seconds, how many times ours that is, and the
largest difference between their result and ours in grey levels of 255 (see "error / 255" for ours
against the authors'). Calls of ours and of a rival alternate, so that other work on the machine
slows both, and the ratio is the median of neighbouring calls'. Memory is the most that NumPy had
allocated at a time, in float32 images of that size.

Example: python -m benchmarks.operators --references REFERENCES --out operators.json
"""

from __future__ import annotations

import argparse
import datetime
import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import scipy
from numpy.typing import NDArray

from benchmarks.command import recorded_command
from benchmarks.operators_rivals import RIVALS
from benchmarks.operators_sheet import load_image
from vocsmooth.files import write_json
from vocsmooth.operators import kernels
from vocsmooth.operators.table import OPERATORS, smooth

Array = NDArray[np.floating[Any]]

PRIME = (479, 641)

SLOW = 2.0
"""Seconds from which a rival is timed only once, after a call that warms up."""

PARAMS: dict[str, dict[str, Any]] = {"guided": {"eps": 0.01}}
"""What the comparison takes in place of defaults."""

REFERENCE_PARAMS: dict[str, dict[str, Any]] = {
    "l0_0p01": {"lam": 0.01},
    "l0_0p02": {"lam": 0.02},
    "l0_0p05": {"lam": 0.05},
    "rtv_0p01_3": {"lam": 0.01, "sigma": 3},
    "rtv_0p015_3": {"lam": 0.015, "sigma": 3},
    "rtv_0p04_5": {"lam": 0.04, "sigma": 5},
    "guided_gray_r4_0p01": {"radius": 4, "eps": 0.01},
    "guided_color_r4_0p01": {"radius": 4, "eps": 0.01, "guide": "image"},
    "guided_color_r8_0p04": {"radius": 8, "eps": 0.04, "guide": "image"},
    "rgf_4_0p1_4": {"sigma_space": 4, "sigma_range": 0.1, "num_iter": 4},
    "ils_welsch_30_10_10": {"lam": 30, "gamma": 10 / 255, "num_iter": 10},
    "ils_lnorm_1_0p8": {
        "lam": 1, "penalty": "charbonnier", "p": 0.8, "eps": 1e-4, "num_iter": 4,
    },
    "sdf_3_50_400_10": {"lam": 3, "mu": 50, "nu": 400, "num_iter": 10},
}  # fmt: skip
REFERENCE_OPERATORS = {"rgf": "rolling", "sdf": "sd"}


def time_once(function: Callable[[], object]) -> float:
    """Processor time of one call."""
    started = time.process_time()
    function()
    return time.process_time() - started


def seconds(function: Callable[[], object], repeats: int) -> float:
    """Median processor time of a call, after one that warms up."""
    function()
    return statistics.median(time_once(function) for _ in range(repeats))


def paired(
    ours: Callable[[], object], rival: Callable[[], object], repeats: int
) -> dict[str, float]:
    """Median time of a rival, and median ratio of its time and that of our call beside it.

    Beside a slow one there are as many calls of ours as else, half before it and half after.
    """
    ours()
    first = time_once(rival)
    if first > SLOW:
        own = [time_once(ours) for _ in range(repeats // 2)]
        second = time_once(rival)
        own += [time_once(ours) for _ in range(repeats - repeats // 2)]
        return {"seconds": second, "ratio": second / statistics.median(own)}
    pairs = [(time_once(ours), time_once(rival)) for _ in range(repeats)]
    return {
        "seconds": statistics.median(theirs for _, theirs in pairs),
        "ratio": statistics.median(theirs / own for own, theirs in pairs),
    }


def compare(image: Array, repeats: int) -> dict[str, dict[str, float]]:
    """Time every operator, with and without compiled kernels, and its rivals."""
    table = {}
    for name in OPERATORS:
        params = dict(PARAMS.get(name, {}))
        if name == "guided":
            params["guide"] = image  # as a colour image, which OpenCV takes for a guide too

        def ours(name: str = name, params: dict[str, Any] = params) -> Array:
            return smooth(image, name, **params)

        def plain(ours: Callable[[], Array] = ours) -> None:
            library, kernels.library = kernels.library, None
            ours()
            kernels.library = library

        numpy = paired(ours, plain, repeats)
        table[name] = {
            "seconds": seconds(ours, repeats),
            "fallback": numpy["seconds"],
            "fallback_ratio": numpy["ratio"],
        }
        for title, rival in RIVALS[name].items():
            levels = 255 * float(np.abs(rival(image) - ours()).max())
            times = paired(ours, partial(rival, image), repeats)
            table[f"  {name}: {title}"] = times | {"levels": levels}
    return table


def compare_sizes(image: Array, repeats: int) -> dict[str, dict[str, float]]:
    """Time per pixel of the image turned, and of prime sides, relative to the image itself."""
    prime = np.ascontiguousarray(np.pad(image, ((0, 0), (0, 1), (0, 0)), "edge")[: PRIME[0]])
    shapes = {
        "turned": np.ascontiguousarray(image.transpose(1, 0, 2)),
        "prime": prime,
        "prime turned": np.ascontiguousarray(prime.transpose(1, 0, 2)),
    }
    table = {}
    for name in OPERATORS:
        base = seconds(lambda name=name: smooth(image, name), repeats) / image.size  # type: ignore[misc]
        table[name] = {
            shape: seconds(lambda name=name, other=other: smooth(other, name), repeats)  # type: ignore[misc]
            / other.size
            / base
            for shape, other in shapes.items()
        }
    return table


def measure_memory(image: Array) -> dict[str, float]:
    """Most memory that each operator's arrays take at a time, in images, the result among them."""
    table = {}
    for name in OPERATORS:
        tracemalloc.start()
        smooth(image, name)
        table[name] = tracemalloc.get_traced_memory()[1] / image.nbytes
        tracemalloc.stop()
    return table


def measure_errors(folder: Path) -> dict[str, dict[str, float]]:
    """Errors against the authors' outputs in grey levels, over all images with a key."""
    errors: dict[str, list[Array]] = {key: [] for key in REFERENCE_PARAMS}
    for path in sorted(folder.glob("*.npz")):
        picture = cv2.imread(str(path.with_suffix(".png")), cv2.IMREAD_UNCHANGED)
        if picture is None:
            raise FileNotFoundError(path.with_suffix(".png"))
        image = (picture[:, :, ::-1] if picture.ndim == 3 else picture) / np.float64(255)
        with np.load(path) as outputs:
            for key in outputs:
                family = key.split("_")[0]
                params = dict(REFERENCE_PARAMS[key])
                if "guide" in params:
                    params["guide"] = image
                result = smooth(image, REFERENCE_OPERATORS.get(family, family), **params)
                errors[key].append(255 * np.abs(result - outputs[key]).ravel())
    return {
        key: {"max": float(np.concatenate(all_).max()), "mean": float(np.concatenate(all_).mean())}
        for key, all_ in errors.items()
        if all_
    }


def show(title: str, table: dict[str, dict[str, float]]) -> None:
    """Print a row for each key, a column for each figure."""
    columns = list(dict.fromkeys(name for row in table.values() for name in row))
    print(f"\n{title:48}" + "".join(f"{name:>16}" for name in columns))
    for key, row in table.items():
        cells = (f"{row[name]:16.4g}" if name in row else " " * 16 for name in columns)
        print(f"{key:48}" + "".join(cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", type=Path, help="a photograph; else scikit-image's coffee")
    parser.add_argument("--references", type=Path, help="images with the authors' outputs (.npz)")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    parser.add_argument("--hardware", default=f"{platform.machine()} CPU", help="for the report")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    image = load_image(arguments.image)
    report: dict[str, Any] = {
        "hardware": arguments.hardware,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "command": recorded_command(),
        "kernels": kernels.describe(),
        "versions": {m.__name__: m.__version__ for m in (np, scipy, cv2)},
    }
    report["speed"] = compare(image, arguments.repeats)
    show("seconds", report["speed"])
    report["sizes"] = compare_sizes(image, min(arguments.repeats, 3))
    show("cost per pixel", report["sizes"])
    report["memory"] = measure_memory(image)
    show("memory", {name: {"images": value} for name, value in report["memory"].items()})
    if arguments.references:
        report["errors"] = measure_errors(arguments.references)
        show("error / 255", report["errors"])
    if arguments.out:
        write_json(arguments.out, report)


if __name__ == "__main__":
    main()
