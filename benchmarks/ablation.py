"""Measure what priors, an optimizer or a precision are worth, in runs that differ in nothing else.

    python -m benchmarks.ablation priors --data voc-smooth --segmenter segmenter.safetensors \\
        --config compact --steps 600 --seeds 1 2 3 --runs runs/priors --out priors.json
    python -m benchmarks.ablation optimizers --data voc-smooth --config release \\
        --steps 600 --seeds 1 2 --runs runs/optimizers --out optimizers.json
    python -m benchmarks.ablation precision --data demo/dataset --config demo \\
        --segmenter demo/segmenter.safetensors --runs runs/precision --out seeds.json

Every run has the same data, steps and schedule; a seed decides weights, order and views, so runs of
one seed differ in nothing else. Interrupted runs are resumed, and finished ones kept.
`--test` also measures the best networks on another dataset.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from scipy import stats

from csgisnet.device import Precision
from csgisnet.prediction.loading import load
from csgisnet.training.config import Config, load_config, without_terms
from csgisnet.training.distributed import join_processes
from csgisnet.training.progress import METRICS
from csgisnet.training.runs import RUN_FILE
from csgisnet.training.train import train
from csgisnet.training.validate import choose_samples, score
from vocsmooth import settings
from vocsmooth.files import write_json
from vocsmooth.shards.reader import open_dataset

Change = Callable[[Config], Config]


def without(*terms: str) -> Change:
    """Leave loss terms out."""
    return lambda config: without_terms(config, terms)


def optimizer(kind: Literal["adamw", "muon"], *, faster: float = 1, longer: int = 1) -> Change:
    """Take another optimizer, at a multiple of the learning rate or of the steps."""

    def change(config: Config) -> Config:
        steps = longer * config.run.steps
        return dataclasses.replace(
            config,
            optimizer=dataclasses.replace(
                config.optimizer, kind=kind, lr=faster * config.optimizer.lr
            ),
            run=dataclasses.replace(config.run, steps=steps, validate_every=steps),
        )

    return change


def precision(name: Precision) -> Change:
    """Compute the network in another precision."""

    def change(config: Config) -> Config:
        return dataclasses.replace(config, run=dataclasses.replace(config.run, precision=name))

    return change


COMPARISONS: dict[str, dict[str, Change]] = {
    "priors": {
        "none": without("contrast", "semantic"),
        "contrast": without("semantic"),
        "semantic": without("contrast"),
        "both": without(),
    },
    "optimizers": {
        "AdamW": optimizer("adamw"),
        "AdamW, twice the rate": optimizer("adamw", faster=2),
        "AdamW, twice the steps": optimizer("adamw", longer=2),
        "Muon": optimizer("muon"),
        "Muon, twice the rate": optimizer("muon", faster=2),
    },
    "precision": {
        "float32": precision("float32"),
        "bfloat16": precision("bfloat16"),
    },
}
"""What is compared, to names of variants and what each changes in the configuration."""


def main() -> None:
    """Train what is missing, write the JSON, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("what", choices=COMPARISONS, help="what the variants differ in")
    parser.add_argument("--data", type=Path, required=True, help="dataset of `vocsmooth build`")
    parser.add_argument(
        "--test", type=Path, help="another dataset, whose split val is measured too"
    )
    parser.add_argument("--segmenter", type=Path, help="segmenter weights, for terms that need it")
    parser.add_argument("--config", default="compact", help="bundled name or a TOML file")
    parser.add_argument("--steps", type=int, help="steps of each run, instead of the config's")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--machine", default="", help="what to say about the hardware")
    parser.add_argument("--out", type=Path, help="JSON file")
    arguments = parser.parse_args()
    base = load_config(arguments.config)
    if arguments.steps:
        run = dataclasses.replace(base.run, steps=arguments.steps, validate_every=arguments.steps)
        base = dataclasses.replace(base, run=run)
    variants = COMPARISONS[arguments.what]
    losses = [change(base).losses for change in variants.values()]
    if arguments.segmenter is None and any(x.semantic or x.contrast for x in losses):
        parser.error("the configuration has semantic or contrast terms; give --segmenter")
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in variants}
    for seed in arguments.seeds:
        for name, change in variants.items():
            config = change(dataclasses.replace(base, seed=seed))
            folder = arguments.runs / f"{name}-{seed}"
            results[name].append(train_one(arguments, config, folder) | {"seed": seed})
            print(name, json.dumps(results[name][-1]), flush=True)
    print(table(results))
    paired = differences(results)
    print(json.dumps(paired, indent=1))
    if arguments.out:
        about = {
            "date": datetime.date.today().isoformat(),
            "machine": arguments.machine,
            "what": arguments.what,
            "data": arguments.data.name,
            "config": settings.to_dict(base),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
        }
        write_json(arguments.out, {**about, "paired": paired, "runs": results})


def train_one(arguments: argparse.Namespace, config: Config, folder: Path) -> dict[str, Any]:
    """Train one variant, or resume where it stopped; return its scores."""
    segmenter = arguments.segmenter if config.losses.semantic or config.losses.contrast else None
    summary = train(
        arguments.data,
        folder,
        config,
        device=arguments.device,
        resume=(folder / RUN_FILE).exists(),
        segmenter=segmenter,
        report=_say_nothing,
    )
    if not summary.finished or summary.scores is None or summary.best is None:
        raise SystemExit(f"{folder}: stopped after {summary.steps} steps; the same command resumes")
    found = {
        "seconds": round(summary.seconds),
        "val": dataclasses.asdict(summary.scores),
        "curve": curve(folder),
    }
    if arguments.test:
        split = open_dataset(arguments.test).split("val")
        smoother = load(summary.best, device=arguments.device)
        with join_processes(torch.device(arguments.device), _say_nothing) as processes:
            scores = score(smoother, split, choose_samples(split, 0), processes)
        found["test"] = dataclasses.asdict(scores)
    return found


def curve(folder: Path) -> list[dict[str, Any]]:
    """Return every validation of a run."""
    lines = map(json.loads, (folder / METRICS).read_text().splitlines())
    keys = ("step", "psnr_result", "ssim_result")
    return [{key: line[key] for key in keys} for line in lines if line["kind"] == "validation"]


def differences(results: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Return how far variants are from the first along the curve, seed by seed.

    Each validation has the mean difference in dB, half the width of its 95 % interval (Student's t
    over seeds), and how many seeds ended more than 1 dB below the other's run, on either side.
    """
    (_, base), *others = results.items()
    found: dict[str, list[dict[str, Any]]] = {}
    for name, runs in others:
        found[name] = []
        for places in zip(*(run["curve"] for run in (*base, *runs)), strict=False):
            values = [place["psnr_result"] for place in places]
            apart = [b - a for a, b in zip(values[: len(base)], values[len(base) :], strict=True)]
            row: dict[str, Any] = {"step": places[0]["step"], "mean": statistics.mean(apart)}
            if len(apart) > 1:
                error = statistics.stdev(apart) / math.sqrt(len(apart))
                row["half_width"] = float(stats.t.ppf(0.975, len(apart) - 1)) * error
            row["below"] = sum(value < -1 for value in apart)
            row["above"] = sum(value > 1 for value in apart)
            found[name].append(row)
    return found


def _say_nothing(_: str) -> None:
    """Keep the runs' logs off the terminal; they are in the runs' folders."""


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """Return mean and spread of each variant in Markdown."""
    where = [name for name in ("val", "test") if name in next(iter(results.values()))[0]]
    head = [f"{name} {what}" for name in where for what in ("PSNR in dB", "SSIM")]
    lines = ["| variant | " + " | ".join(head) + " |", "| --- |" + " ---: |" * len(head)]
    for variant, runs in results.items():
        cells = []
        for name in where:
            for key, digits in (("psnr_result", 2), ("ssim_result", 4)):
                values = [run[name][key] for run in runs]
                spread = statistics.stdev(values) if len(values) > 1 else 0.0
                cells.append(f"{statistics.mean(values):.{digits}f} ± {spread:.{digits}f}")
        lines.append(f"| {variant} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
