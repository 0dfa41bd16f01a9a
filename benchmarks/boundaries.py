"""How well smoothed photographs show the boundaries that people drew on them (BSDS500).

    python -m benchmarks.boundaries VOC BOUNDARIES --split val --count 40 \\
        --network compact --network compact:0,1 --operator rtv:lam=0.01,sigma=3 \\
        --out benchmarks/results/boundaries.json

VOC is a tree in PASCAL VOC's layout; BOUNDARIES holds ID.png, uint16, whose bit k says that person
k drew a boundary there. Each smoother's result is scored by its plain colour gradient, see
`csgisnet.evaluation.boundaries`: F at the one best threshold (ODS), at each photograph's own (OIS),
and the paired difference of the latter from the first smoother's with twice its standard error.
"""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.command import recorded_command
from benchmarks.machine import describe
from csgisnet.checkpoints.networks import load_network
from csgisnet.checkpoints.pretrained import find_weights
from csgisnet.evaluation.boundaries import (
    Counts,
    count_matches,
    gradient_boundaries,
    score_boundaries,
)
from csgisnet.evaluation.samples import spread_evenly
from csgisnet.prediction.loading import load
from csgisnet.training.levels import LevelLabels
from vocsmooth.arrays import to_float
from vocsmooth.images.reading import read_picture, read_rgb
from vocsmooth.operators.table import smooth

Image = NDArray[np.float32]
Smooth = Callable[[Image], Image]

THRESHOLDS = np.geomspace(0.006, 0.09, 12)


def main() -> None:
    """Measure every smoother, print a table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("voc", type=Path, help="tree of photographs")
    parser.add_argument("boundaries", type=Path, help="folder of drawn boundaries")
    parser.add_argument("--split", default="val")
    parser.add_argument("--count", type=int, default=0, help="photographs; 0 for all")
    parser.add_argument("--network", action="append", default=[], help="PATH or PATH:LEVEL,...")
    parser.add_argument(
        "--operator", action="append", default=[], help="NAME or NAME:KEY=VALUE,..."
    )
    parser.add_argument(
        "--simplifier",
        action="append",
        default=[],
        help="PATH:PASSES, as for labels of level 1; with :NETWORK, after that at level 1, as for "
        "photographs",
    )
    parser.add_argument("--out", type=Path, help="JSON file")
    arguments = parser.parse_args()
    listed = arguments.voc / f"ImageSets/Segmentation/{arguments.split}.txt"
    names = listed.read_text().split()
    chosen = [names[number] for number in spread_evenly(len(names), arguments.count)]
    smoothers: dict[str, Smooth] = {"input": lambda image: image}
    smoothers |= dict(_networks(arguments.network)) | dict(_operators(arguments.operator))
    smoothers |= dict(map(_simplifier, arguments.simplifier))
    report: dict[str, Any] = {
        "command": recorded_command(),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "machine": describe(torch.device("cpu")),
        "photographs": len(chosen),
        "thresholds": THRESHOLDS.tolist(),
        "smoothers": {},
    }
    first: list[float] = []
    for name, function in smoothers.items():
        counts = [_count(arguments, image_id, function) for image_id in chosen]
        own = [score_boundaries([one], THRESHOLDS).ods for one in counts]
        first = first or own
        apart = np.subtract(own, first)
        report["smoothers"][name] = row = {
            **score_boundaries(counts, THRESHOLDS)._asdict(),
            "difference": float(apart.mean()),
            "two_standard_errors": float(2 * apart.std(ddof=1) / np.sqrt(len(apart))),
        }
        print(f"{name:28s} " + "  ".join(f"{k} {v:.4f}" for k, v in row.items()), flush=True)
        if arguments.out:
            arguments.out.write_text(json.dumps(report, indent=1) + "\n")


def _count(arguments: argparse.Namespace, image_id: str, function: Smooth) -> Counts:
    """Smooth one photograph and match its gradient to what people drew."""
    image = to_float(read_rgb(arguments.voc / f"JPEGImages/{image_id}.jpg"))
    drawn = people_of(read_picture(arguments.boundaries / f"{image_id}.png").pixels)
    smoothed = np.clip(function(image), 0, 1)
    return count_matches(gradient_boundaries(smoothed), drawn, THRESHOLDS)


def people_of(bits: NDArray[Any]) -> list[NDArray[np.bool_]]:
    """Return what each person drew, of pixels whose bit k says that person k drew there."""
    drawn = [(bits >> k & 1).astype(bool) for k in range(int(bits.max()).bit_length())]
    return [one for one in drawn if one.any()]


def _networks(words: list[str]) -> list[tuple[str, Smooth]]:
    """Load networks, each at its levels."""
    found: list[tuple[str, Smooth]] = []
    for word in words:
        path, _, levels = word.partition(":")
        for level in levels.split(",") if levels else [None]:
            smoother = load(path, device="cpu", level=None if level is None else float(level))
            name = Path(path).stem if level is None else f"{Path(path).stem} level={level}"
            found.append((name, smoother.smooth))
    return found


def _simplifier(word: str) -> tuple[str, Smooth]:
    """Return what makes the labels of level 1 in training."""
    path, passes, *first = word.split(":")
    labels = LevelLabels(
        load_network(find_weights(path)), int(passes), 0, torch.device("cpu"), "float32"
    )

    smoothers = [load(name, device="cpu", level=1.0) for name in first]

    def simplify(image: Image) -> Image:
        for smoother in smoothers:
            image = smoother.smooth(image)
        batch = torch.from_numpy(image.transpose(2, 0, 1)[None])
        return labels.simplify(batch)[0].numpy().transpose(1, 2, 0)

    after = "".join(f", after {Path(name).stem}" for name in first)
    return f"simplifier {Path(path).stem}, {passes} passes{after}", simplify


def _operators(words: list[str]) -> list[tuple[str, Smooth]]:
    """Return operators with their parameters."""
    found: list[tuple[str, Smooth]] = []
    for word in words:
        name, _, given = word.partition(":")
        parameters = {
            key: float(value)
            for key, value in (pair.split("=") for pair in given.split(",") if pair)
        }
        found.append((word, _with(name, parameters)))
    return found


def _with(name: str, parameters: dict[str, float]) -> Smooth:
    """Return one operator as a function of the image."""
    return lambda image: np.asarray(smooth(image, name, **parameters), np.float32)


if __name__ == "__main__":
    main()
