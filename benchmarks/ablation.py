"""What each prior is worth: the same training with terms left out, over several seeds.

    python benchmarks/ablation.py --data voc-smooth --segmenter segmenter.safetensors \\
        --config compact --steps 600 --seeds 1 2 3 --runs runs/ablation --out ablation.json

Every run has the same data, steps and schedule; a seed decides weights, order and views, so runs of
one seed differ in the terms alone. A run that was interrupted goes on, a finished one is kept.
`--test` measures the best networks on another dataset besides.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import statistics
from pathlib import Path
from typing import Any

import torch

from csgisnet.config import Config, load_config, without_terms
from csgisnet.distributed import join_processes
from csgisnet.predict import load
from csgisnet.runs import RUN_FILE
from csgisnet.train import train
from csgisnet.validate import choose_samples, score
from vocsmooth import settings
from vocsmooth.files import write_json
from vocsmooth.shards import open_dataset

PRIORS = ("contrast", "semantic")
VARIANTS: dict[str, tuple[str, ...]] = {
    "none": PRIORS,
    "contrast": ("semantic",),
    "semantic": ("contrast",),
    "both": (),
}
"""Name of a variant (the priors it has) to the terms it leaves out."""


def main() -> None:
    """Train what is missing, write the JSON, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="dataset of `vocsmooth build`")
    parser.add_argument("--test", type=Path, help="dataset whose split val is measured besides")
    parser.add_argument("--segmenter", type=Path, required=True, help="segmenter weights")
    parser.add_argument("--config", default="compact", help="full, compact, demo or a TOML file")
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
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in VARIANTS}
    for seed in arguments.seeds:
        for name, terms in VARIANTS.items():
            config = without_terms(dataclasses.replace(base, seed=seed), terms)
            folder = arguments.runs / f"{name}-{seed}"
            results[name].append(train_one(arguments, config, folder) | {"seed": seed})
            print(name, json.dumps(results[name][-1]), flush=True)
    print(table(results))
    if arguments.out:
        about = {
            "date": datetime.date.today().isoformat(),
            "machine": arguments.machine,
            "data": arguments.data.name,
            "config": settings.to_dict(base),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
        }
        write_json(arguments.out, {**about, "runs": results})


def train_one(arguments: argparse.Namespace, config: Config, folder: Path) -> dict[str, Any]:
    """Train one variant, or take up where it stopped; return its scores."""
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
        raise SystemExit(f"{folder}: stopped after {summary.steps} steps; the same command goes on")
    found = {"seconds": round(summary.seconds), "val": dataclasses.asdict(summary.scores)}
    if arguments.test:
        split = open_dataset(arguments.test).split("val")
        smoother = load(summary.best, device=arguments.device)
        with join_processes(torch.device(arguments.device)) as processes:
            scores = score(smoother, split, choose_samples(split, 0), processes)
        found["test"] = dataclasses.asdict(scores)
    return found


def _say_nothing(_: str) -> None:
    """Keep the runs' logs off the terminal; they are in the runs' folders."""


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """Return mean and spread of each variant in Markdown."""
    where = [name for name in ("val", "test") if name in results["none"][0]]
    head = [f"{name} {what}" for name in where for what in ("PSNR in dB", "SSIM")]
    lines = ["| priors | " + " | ".join(head) + " |", "| --- |" + " ---: |" * len(head)]
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
