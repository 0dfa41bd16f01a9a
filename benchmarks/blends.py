"""Compare networks with RTV at its best setting for each picture, on inputs with exact labels.

    python -m benchmarks.blends DATASET --split val --network compact:0 --network old.safetensors \\
        --out benchmarks/results/blends.json
    python -m benchmarks.blends PICTURES --textures TEXTURES --network compact:0

The inputs are a dataset's, or, with `--textures`, those that `benchmarks.blend_inputs` makes of a
folder of clean pictures and a folder of textures. Every network and operator smooths the same
inputs. The row "rtv, best for each picture" is an oracle: of a grid of settings it takes, for each
input, the one with the highest PSNR, which needs the label. Differences are paired with the first
network, with twice their standard error; the JSON has them with each other network, too.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.blend_inputs import blend_folder
from benchmarks.command import recorded_command
from benchmarks.machine import describe
from csgisnet.evaluation.metrics import psnr, ssim
from csgisnet.evaluation.samples import spread_evenly
from csgisnet.prediction.loading import load
from vocsmooth.arrays import to_float
from vocsmooth.operators.table import smooth
from vocsmooth.shards import open_dataset

Image = NDArray[np.float32]

LAM = (0.002, 0.005, 0.01, 0.02)
SIGMA = (1.0, 2.0, 3.0, 4.0)
FIXED = {"rtv lam=0.005 sigma=2": ("rtv", {"lam": 0.005, "sigma": 2.0}), "pyramid": ("pyramid", {})}


def main() -> None:
    """Measure every smoother, print a table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", type=Path, help="a dataset, or a folder of clean pictures")
    parser.add_argument("--split", default="val", help="of the dataset")
    parser.add_argument("--textures", type=Path, help="folder, for a folder of pictures")
    parser.add_argument("--seed", type=int, default=0, help="of the textures")
    parser.add_argument("--count", type=int, default=0, help="inputs; 0 for all")
    parser.add_argument(
        "--network", action="append", required=True, help="NAME, PATH, or either with :LEVEL"
    )
    parser.add_argument("--out", type=Path, help="JSON file")
    arguments = parser.parse_args()
    if arguments.textures:
        samples = blend_folder(arguments.source, arguments.textures, arguments.seed)
        samples = [samples[index] for index in spread_evenly(len(samples), arguments.count)]
    else:
        split = open_dataset(arguments.source).split(arguments.split)
        samples = [
            (to_float(maps["input"]), to_float(maps["label"]))
            for index in spread_evenly(len(split), arguments.count)
            for maps in [split.read(index, ["input", "label"])]
        ]
    rows: dict[str, NDArray[np.float64]] = {}
    for word in arguments.network:
        path, _, level = word.partition(":")
        smoother = load(
            path, device="cpu", precision="float32", level=float(level) if level else None
        )
        name = Path(path).stem + (f" level={level}" if level else "")
        rows[name] = _scores(samples, smoother.smooth)
        _print(name, rows)
    networks = list(rows)
    rows["input"] = _scores(samples, lambda image: image)
    _print("input", rows)
    for name, (operator, parameters) in FIXED.items():
        rows[name] = _scores(samples, _operator(operator, parameters))
        _print(name, rows)
    grid = np.stack(
        [
            _scores(samples, _operator("rtv", {"lam": lam, "sigma": sigma}))
            for lam, sigma in itertools.product(LAM, SIGMA)
        ]
    )
    best = grid[..., 0].argmax(axis=0)
    rows["rtv, best for each picture"] = grid[best, np.arange(len(samples))]
    _print("rtv, best for each picture", rows)
    if arguments.out:
        report: dict[str, Any] = {
            "command": recorded_command(),
            "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
            "machine": describe(torch.device("cpu")),
            "inputs": len(samples),
            "grid": {"lam": LAM, "sigma": SIGMA},
            "smoothers": _summaries(rows, networks[0]),
            "first": {name: _summaries(rows, name) for name in networks[1:]},
        }
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


def _operator(name: str, parameters: dict[str, float]) -> Callable[[Image], Image]:
    """Return a function of one image."""
    return lambda image: smooth(image, name, **parameters)


def _scores(
    samples: list[tuple[Image, Image]], function: Callable[[Image], Image]
) -> NDArray[np.float64]:
    """Return PSNR in dB and SSIM of each result, (N, 2)."""
    results = [(np.clip(function(image), 0, 1), label) for image, label in samples]
    return np.array([(psnr(result, label), ssim(result, label)) for result, label in results])


def _summaries(rows: dict[str, NDArray[np.float64]], first: str) -> dict[str, dict[str, float]]:
    """Return the summary of every row, compared with the network `first`."""
    return {name: _summary(scores, rows[first]) for name, scores in rows.items()}


def _summary(scores: NDArray[np.float64], first: NDArray[np.float64]) -> dict[str, float]:
    """Return means, and how a network compares: positive where it is better."""
    ahead = first - scores
    error = 2 * ahead.std(axis=0, ddof=1) / np.sqrt(len(ahead))
    return {
        "psnr": float(scores[:, 0].mean()),
        "ssim": float(scores[:, 1].mean()),
        "first_ahead_db": float(ahead[:, 0].mean()),
        "two_standard_errors_db": float(error[0]),
        "first_ahead_ssim": float(ahead[:, 1].mean()),
        "two_standard_errors_ssim": float(error[1]),
        "first_better_share": float((ahead[:, 0] > 0).mean()),
    }


def _print(name: str, rows: dict[str, NDArray[np.float64]]) -> None:
    """Print one row of the table."""
    row = _summary(rows[name], next(iter(rows.values())))
    print(f"{name:32s} " + "  ".join(f"{k} {v:.4f}" for k, v in row.items()), flush=True)


if __name__ == "__main__":
    main()
