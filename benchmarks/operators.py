"""What the smoothing operators cost, beside what people use today, and how exact they are.

Seconds are processor time on one thread, medians, of 480 x 640 x 3 float32 images. Below an
operator are its rivals: their seconds, how many times ours that is, and the largest difference
between their result and ours in grey levels of 255 (see "error / 255" for ours against the
authors'). Memory is the most that NumPy had allocated at a time, in float32 images of that size.

Example: python benchmarks/operators.py --references ../shared/operators --out operators.json
--sheet FILE only draws every operator's result on the photograph.
"""

from __future__ import annotations

import argparse
import datetime
import io
import platform
import shlex
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import scipy.fft
import scipy.sparse
import scipy.sparse.linalg
import skimage
from numpy.typing import NDArray
from PIL import Image

from vocsmooth.arrays import to_float, to_uint
from vocsmooth.files import write_atomically, write_json
from vocsmooth.images.reading import read_rgb
from vocsmooth.operators import kernels
from vocsmooth.operators.guided import guided_filter
from vocsmooth.operators.rolling import rolling_guidance_filter, spatial_weights
from vocsmooth.operators.rtv import rtv_weights
from vocsmooth.operators.table import OPERATORS, smooth
from vocsmooth.settings import describe_operator
from vocsmooth.views.sheet import Panel, compose_sheet

Array = NDArray[np.floating[Any]]

SHAPE = (480, 640)
PRIME = (479, 641)
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
SHOWN: tuple[tuple[str, dict[str, Any]], ...] = (
    ("l0", {"lam": 0.02}),
    ("rtv", {"lam": 0.015, "sigma": 3.0}),
    ("sd", {"lam": 10.0}),
    ("guided", {"radius": 8, "eps": 0.01}),
    ("rolling", {"sigma_space": 4.0, "sigma_range": 0.1}),
    ("ils", {"lam": 30.0}),
    ("ils", {"penalty": "charbonnier", "lam": 1.0, "num_iter": 4}),
)
"""What the picture shows."""

REFERENCE_OPERATORS = {"rgf": "rolling", "sdf": "sd"}


def rtv_by_elimination(image: Array, lam: float = 0.01, sigma: float = 3.0) -> Array:
    """RTV as a port of the authors' program does it: SuperLU, with the ordering that suits it."""
    planes = np.moveaxis(image, 2, 0).astype(np.float64)
    index = np.arange(planes[0].size).reshape(planes.shape[1:])
    first = np.concatenate([index[:, :-1].ravel(), index[:-1].ravel()])
    second = np.concatenate([index[:, 1:].ravel(), index[1:].ravel()])
    smooth = planes
    for _ in range(4):
        east, south = rtv_weights(smooth, lam / 2, sigma, 0.02)
        coupling = np.concatenate([east[:, :-1].ravel(), south[:-1].ravel()]).astype(np.float64)
        graph = scipy.sparse.coo_array((coupling, (first, second)), (index.size, index.size))
        graph = (graph + graph.T).tocsc()
        system = (scipy.sparse.diags_array(1 + graph.sum(axis=0)) - graph).tocsc()
        factors = scipy.sparse.linalg.splu(system, permc_spec="MMD_AT_PLUS_A")
        smooth = np.stack([factors.solve(p.ravel()).reshape(p.shape) for p in planes])
        sigma = max(sigma / 2, 0.5)
    return np.moveaxis(smooth, 0, 2)


def l0_by_fft(image: Array, lam: float = 0.02, kappa: float = 2.0) -> Array:
    """L0 as a port of the authors' program does it: two-dimensional FFTs in float64."""
    smooth = image.astype(np.float64)
    height, width, _ = smooth.shape
    rows = 4 * np.sin(np.pi * np.arange(height) / height) ** 2
    columns = 4 * np.sin(np.pi * np.arange(width // 2 + 1) / width) ** 2
    laplacian = (rows[:, np.newaxis] + columns)[:, :, np.newaxis]
    spectrum = scipy.fft.rfft2(smooth, axes=(0, 1))
    beta = 2 * lam
    while beta < 1e5:
        across, down = np.roll(smooth, -1, 1) - smooth, np.roll(smooth, -1, 0) - smooth
        dropped = (across**2 + down**2).sum(2) < lam / beta
        across[dropped] = down[dropped] = 0
        divergence = np.roll(across, 1, 1) - across + np.roll(down, 1, 0) - down
        fitted = spectrum + beta * scipy.fft.rfft2(divergence, axes=(0, 1))
        smooth = scipy.fft.irfft2(fitted / (1 + beta * laplacian), (height, width), axes=(0, 1))
        beta *= kappa
    return smooth


def opencv_l0(image: Array) -> Array:
    """L0 by OpenCV, which writes into a float32 image."""
    return np.asarray(cv2.ximgproc.l0Smooth(image.copy(), None, 0.02, 2.0))


def opencv_guided(image: Array) -> Array:
    """The colour guided filter by OpenCV."""
    return np.asarray(cv2.ximgproc.guidedFilter(image, image, 4, 0.01))


def opencv_rolling(image: Array) -> Array:
    """Rolling guidance by OpenCV, over our window."""
    diameter, border = len(spatial_weights(4.0)), cv2.BORDER_REPLICATE
    filtered = cv2.ximgproc.rollingGuidanceFilter(image, None, diameter, 0.1, 4.0, 4, border)
    return np.asarray(filtered)


def seconds(function: Callable[[], object], repeats: int) -> float:
    """Median processor time of a call, after one that warms up."""
    function()
    times = []
    for _ in range(repeats):
        started = time.process_time()
        function()
        times.append(time.process_time() - started)
    return statistics.median(times)


def time_once(function: Callable[[], object]) -> float:
    """Processor time of one call."""
    started = time.process_time()
    function()
    return time.process_time() - started


def compare(image: Array, repeats: int) -> dict[str, dict[str, float]]:
    """Time what has rivals, each of them and how far it is from ours, and ours in NumPy."""
    ours: dict[str, Callable[[], Array]] = {
        "rtv": lambda: smooth(image, "rtv"),
        "l0": lambda: smooth(image, "l0"),
        "guided": lambda: guided_filter(image, image, 4, 0.01),
        "rolling": lambda: rolling_guidance_filter(image),
    }
    rivals: dict[str, dict[str, tuple[Callable[[], Array], int]]] = {
        "rtv": {"scipy.sparse.linalg.splu": (lambda: rtv_by_elimination(image), 1)},
        "l0": {
            "scipy.fft": (lambda: l0_by_fft(image), 3),
            "cv2.ximgproc.l0Smooth": (lambda: opencv_l0(image), 3),
        },
        "guided": {"cv2.ximgproc.guidedFilter": (lambda: opencv_guided(image), repeats)},
        "rolling": {"cv2.ximgproc.rollingGuidanceFilter": (lambda: opencv_rolling(image), 3)},
    }
    table = {}
    for name, function in ours.items():
        own = seconds(function, repeats)
        table[name] = {"seconds": own}
        if name in ("rtv", "l0"):
            slow, ratio = without_kernels(function, 2 * repeats)
            table[name] |= {"fallback": slow, "fallback_ratio": ratio}
        for title, (rival, times) in rivals[name].items():
            other = seconds(rival, times)
            levels = 255 * float(np.abs(rival() - function()).max())
            table[f"  {title}"] = {"seconds": other, "ratio": other / own, "levels": levels}
    return table


def without_kernels(function: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Median time without compiled kernels, and median ratio of neighbouring calls.

    Calls with and without alternate, so that other work on the machine slows both.
    """
    library, pairs = kernels.library, []
    for _ in range(repeats + 1):
        fast = time_once(function)
        kernels.library = None
        pairs.append((time_once(function), fast))
        kernels.library = library
    slow = statistics.median(pair[0] for pair in pairs[1:])
    return slow, statistics.median(pair[0] / pair[1] for pair in pairs[1:])


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


def draw_sheet(image: Array, path: Path) -> None:
    """Write a JPEG of the photograph's middle, before and after smoothing by each operator."""
    middle = np.s_[60:420, 80:560]
    panels = [Panel(caption="photograph", pixels=to_uint(image[middle], np.uint8))]
    for name, params in SHOWN:
        result = np.clip(smooth(image, name, **params), 0, 1)
        panels.append(
            Panel(caption=describe_operator(name, params), pixels=to_uint(result[middle], np.uint8))
        )
    sheet = compose_sheet([panels[:4], panels[4:]], height=360)
    encoded = io.BytesIO()
    Image.fromarray(sheet).save(encoded, "JPEG", quality=88)
    write_atomically(path, encoded.getvalue())


def show(title: str, table: dict[str, dict[str, float]]) -> None:
    """Print a row for each key, a column for each figure."""
    columns = list(dict.fromkeys(name for row in table.values() for name in row))
    print(f"\n{title:36}" + "".join(f"{name:>16}" for name in columns))
    for key, row in table.items():
        cells = (f"{row[name]:16.4g}" if name in row else " " * 16 for name in columns)
        print(f"{key:36}" + "".join(cells))


def load_image(path: Path | None) -> Array:
    """Read a photograph, scaled to the size of the benchmark."""
    path = path or Path(skimage.__file__).parent / "data/coffee.png"
    scaled = cv2.resize(read_rgb(path), SHAPE[::-1], interpolation=cv2.INTER_AREA)
    return to_float(np.asarray(scaled, np.uint8))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", type=Path, help="a photograph; else scikit-image's coffee")
    parser.add_argument("--references", type=Path, help="images with the authors' outputs (.npz)")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    parser.add_argument("--sheet", type=Path, help="only draw a picture here, a JPEG")
    parser.add_argument("--hardware", default=f"{platform.machine()} CPU", help="for the report")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    image = load_image(arguments.image)
    if arguments.sheet:
        draw_sheet(image, arguments.sheet)
        return
    report: dict[str, Any] = {
        "hardware": arguments.hardware,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "command": shlex.join(["python", *sys.argv]),
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
