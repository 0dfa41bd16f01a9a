"""How far prediction in bfloat16 and int8 is from that in float32, on photographs and a dataset.

    python -m benchmarks.precision PHOTOS VOC/JPEGImages --ids VOC/val.txt --data voc-smooth \\
        --out benchmarks/results/precision.json

For each folder: the largest and the mean difference over all values of all pictures in grey levels
of 255, the difference that 99.9 % do not exceed, and the share within two; and, averaged over the
flattest window of each picture, the amplitude of a checkerboard of single pixels in both results.
For noise, text and three times the contrast (`csgisnet.prediction.kinds`), which no photographs
have: these differences, too. For the dataset's split: the measures of `csgisnet evaluate` in each
precision. --crops also writes those windows of both results with their contrast times eight, and
their difference times 64, to look for grids and bands.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.command import recorded_command
from csgisnet.device import PredictionPrecision, bfloat16_instructions, int8_instructions
from csgisnet.evaluation.measure import evaluate, summarise
from csgisnet.evaluation.samples import samples_of
from csgisnet.prediction.kinds import judge
from csgisnet.prediction.loading import load
from csgisnet.prediction.precision import LARGEST_MEAN, SMALLEST_SHARE, difference
from csgisnet.prediction.smoother import Smoother
from vocsmooth.arrays import to_float, to_uint
from vocsmooth.images.reading import Picture, read_rgb
from vocsmooth.images.writing import write_picture
from vocsmooth.shards.reader import open_dataset

Image: TypeAlias = NDArray[np.float32]

PRECISIONS: tuple[PredictionPrecision, ...] = ("float32", "bfloat16", "int8")

_CROP = 96


def main() -> None:
    """Measure, print and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", type=Path, nargs="+", help="folders of photographs")
    parser.add_argument("--ids", type=Path, help="file of the names to use of the last folder")
    parser.add_argument("--data", type=Path, help="dataset for the measures of evaluate")
    parser.add_argument("--samples", type=int, default=0, help="number to measure; 0 for all")
    parser.add_argument("--checkpoint", type=Path, help="by default the bundled network")
    parser.add_argument("--crops", type=Path, help="folder for pictures of flat windows")
    parser.add_argument("--out", type=Path, help="JSON file")
    arguments = parser.parse_args()
    smoothers: dict[str, Smoother] = {
        precision: load(arguments.checkpoint, device="cpu", precision=precision)
        for precision in PRECISIONS
    }
    exact, *fast = smoothers.values()
    instructions = [*bfloat16_instructions(), *int8_instructions()]
    report: dict[str, Any] = {
        "command": recorded_command(),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "machine": f"{platform.machine()}, {', '.join(instructions)}",
        "torch": torch.__version__,
        "auto": load(arguments.checkpoint, device="cpu").reason,
        "bounds": {"mean": LARGEST_MEAN, "within_two": SMALLEST_SHARE},
        "folders": {},
    }
    for folder in arguments.folders:
        files = sorted(folder.glob("*.jpg"))
        if arguments.ids and folder == arguments.folders[-1]:
            names = set(arguments.ids.read_text().split())
            files = [path for path in files if path.stem in names]
        report["folders"][folder.name] = {
            one.precision: compare(files, exact, one, arguments.crops) for one in fast
        }
        print(folder, json.dumps(report["folders"][folder.name], indent=1))
    shown = [to_float(read_rgb(file)) for file in sorted(arguments.folders[0].glob("*.jpg"))[:10]]
    for one in fast:
        kinds = {kind: apart._asdict() for kind, apart in judge(one, exact, shown).items()}
        report.setdefault("kinds", {})[one.precision] = kinds
    print(json.dumps(report["kinds"], indent=1))
    if arguments.data:
        report["evaluate"] = measures(arguments.data, arguments.samples, smoothers)
        print(json.dumps(report["evaluate"], indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


def compare(
    files: Sequence[Path], exact: Smoother, fast: Smoother, crops: Path | None
) -> dict[str, float]:
    """Return the differences over all values of all files."""
    ones, others, worst, boards = [], [], 0.0, []
    for file in files:
        image = to_float(read_rgb(file))
        one, other = fast.smooth(image), exact.smooth(image)
        worst = max(worst, difference(one, other).mean)
        ones.append(one.ravel())
        others.append(other.ravel())
        windows = flat_windows(other, one)
        boards.append([checkerboard(window) for window in windows])
        if crops:
            crops.mkdir(parents=True, exist_ok=True)
            write_picture(
                crops / f"{file.stem}-{fast.precision}.png", Picture(pixels=magnified(*windows))
            )
    one, other = np.concatenate(ones), np.concatenate(others)
    found = difference(one, other)
    exact_board, fast_board = np.mean(boards, axis=0).tolist()
    return {
        "pictures": len(files),
        **found._asdict(),
        "largest_mean_of_a_picture": worst,
        "quantile_999": float(np.quantile(np.abs(one - other), 0.999) * 255),
        "checkerboard_float32": exact_board,
        "checkerboard": fast_board,
    }


def flat_windows(exact: Image, fast: Image) -> tuple[Image, Image]:
    """Return of both results the window where the exact one is flattest."""
    height, width = exact.shape[:2]
    windows = [
        (top, left)
        for top in range(0, max(1, height - _CROP), _CROP // 2)
        for left in range(0, max(1, width - _CROP), _CROP // 2)
    ]

    def window(image: Image, top: int, left: int) -> Image:
        return image[top : top + _CROP, left : left + _CROP]

    def spread(place: tuple[int, int]) -> float:
        pixels = window(exact, *place)
        inside = 2 / 255 < float(pixels.mean()) < 253 / 255  # clipped areas hide all differences
        return float(pixels.std(axis=(0, 1)).max()) if inside else np.inf

    place = min(windows, key=spread)
    return window(exact, *place), window(fast, *place)


def checkerboard(window: Image) -> float:
    """Return the amplitude of a checkerboard of single pixels, in grey levels of 255."""
    even = window[: window.shape[0] // 2 * 2, : window.shape[1] // 2 * 2]
    cells = even[::2, ::2] - even[::2, 1::2] - even[1::2, ::2] + even[1::2, 1::2]
    return float(np.abs(cells.mean(axis=(0, 1), dtype=np.float64)).max() / 4 * 255)


def magnified(one: Image, other: Image) -> NDArray[np.uint8]:
    """Return two windows with their contrast times eight, and their difference times 64."""
    level = one.mean(axis=(0, 1))
    parts = [(one - level) * 8, (other - level) * 8, (other - one) * 64]
    row = np.concatenate([(part + 0.5).clip(0, 1) for part in parts], axis=1)
    enlarged = row.repeat(3, axis=0).repeat(3, axis=1).astype(np.float32)
    pixels: NDArray[np.uint8] = to_uint(enlarged, np.uint8)
    return pixels


def measures(data: Path, count: int, smoothers: Mapping[str, Smoother]) -> dict[str, Any]:
    """Return the means of evaluate's measures, and by how much they differ from float32's."""
    samples = samples_of(open_dataset(data).split("val"), count)
    found = evaluate({name: smoother.smooth for name, smoother in smoothers.items()}, samples)
    means = {s.smoother: s.means for s in summarise(found)}
    exact, *fast = smoothers  # means are also of the input
    changes = {
        name: {
            key: means[name][key] - value
            for key, value in means[exact].items()
            if key != "seconds_per_megapixel"  # timed one after another, beside what else runs
        }
        for name in fast
    }
    return {"samples": len(samples.names), **means, "change": changes}


if __name__ == "__main__":
    main()
