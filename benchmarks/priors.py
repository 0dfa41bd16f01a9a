"""Measure what the priors are worth: arms that go on from one network and differ in nothing else.

    vocsmooth generate scenes --family classes --train 160 --val 24 --size 160x160 --seed 3
    vocsmooth build --voc-root scenes --out data --manifest classes
    csgisnet train-segmenter --data data --out teacher.safetensors --config classes
    csgisnet train-segmenter --data data --out judge.safetensors --config judge.toml
    vocsmooth generate drawn --val 12 --train 1 --size 160x160 --seed 9
    vocsmooth build --voc-root drawn --out other --manifest release-test
    python -m benchmarks.priors --data data --other other --photographs VOCdevkit \\
        --teacher teacher.safetensors --judge judge.safetensors \\
        --runs runs/priors --seeds 1 2 3 --out benchmarks/results/priors-arms.json

judge.toml is the configuration `classes` with another seed. A seed decides the batches, which are
the same for all arms; every run begins with the same network, which the study trains first. Each
finished run is one file in --runs, so that the same command resumes an interrupted study, and one
with more seeds adds them. The table holds paired differences to the arm "none" with two standard
errors over seeds and pictures, in dB, except retention and IoU.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import datetime
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.command import recorded_command
from benchmarks.priors_arms import ARMS, BASELINE, Arm, changed, objective_of, prepare
from benchmarks.priors_judging import (
    Values,
    judge_labelled,
    judge_meaning,
    judge_photographs,
    read_photographs,
    read_samples,
)
from csgisnet.checkpoints.networks import load_network, save_network
from csgisnet.checkpoints.segmenters import load_segmenter
from csgisnet.evaluation.intervals import Interval, paired_interval
from csgisnet.networks.features import SegmenterFeatures
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from csgisnet.objective.config import LossConfig
from csgisnet.objective.losses import Teachers
from csgisnet.training.augment import AugmentConfig
from csgisnet.training.config import Config, RunConfig
from csgisnet.training.data import BatchSource, DataConfig
from csgisnet.training.distributed import Processes
from csgisnet.training.optimise import OptimizerConfig, ScheduleConfig
from csgisnet.training.step import Training
from vocsmooth import settings
from vocsmooth.files import write_json
from vocsmooth.maps.recipe import Recipe
from vocsmooth.shards import Dataset, open_dataset

ALONE = Processes(device=torch.device("cpu"))

BASE = Config(
    network=NetworkConfig(
        width=16, blocks=2, coarse_blocks=1, refine_blocks=1, shuffle=2, skip=True
    ),
    losses=LossConfig(edge=1.0, contrast=0, semantic=0),
    data=DataConfig(patch=64, batch_size=4, negatives=("over", "under")),
    augment=AugmentConfig(brightness=0.05, contrast=0.1, saturation=0.2),
    optimizer=OptimizerConfig(lr=3e-3, ema_decay=0.98),
    schedule=ScheduleConfig(warmup=20),
    run=RunConfig(steps=1500),
)
"""What the common network is trained with."""

READ_AT = (0.25, 0.5, 1.0)
"""Shares of a run at which it is judged in domain; everything else at its end."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """What all runs have in common."""

    data: Dataset
    teachers: Teachers
    pictures: dict[str, Any]
    judge: torch.nn.Module
    steps: int
    rate: float


def main() -> None:
    """Train what is missing, write the JSON, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="of the recipe `classes`")
    parser.add_argument("--other", type=Path, required=True, help="other labels and textures")
    parser.add_argument("--photographs", type=Path, required=True, help="VOC tree with masks")
    parser.add_argument("--teacher", type=Path, required=True, help="segmenter of the priors")
    parser.add_argument("--judge", type=Path, required=True, help="segmenter of another seed")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), metavar="ARM")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=300, help="of each arm")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate of the arms")
    parser.add_argument("--pictures", type=int, default=24, help="of each kind")
    parser.add_argument("--machine", default="", help="what to say about the hardware")
    parser.add_argument("--out", type=Path, help="JSON file")
    given = parser.parse_args()
    study = open_study(given)
    base = common_network(given.runs / "common.safetensors", study)
    results: dict[str, dict[int, Any]] = {name: {} for name in given.arms}
    for seed in given.seeds:
        for name in given.arms:
            path = given.runs / f"{name.replace(' ', '_').replace(',', '')}-{seed}.json"
            if not path.exists():
                write_json(path, run_arm(ARMS[name], seed, base, study))
            results[name][seed] = json.loads(path.read_text())
            print(name, seed, f"{np.mean(results[name][seed]['end']['psnr']):.3f} dB", flush=True)
        if given.out and len(results[BASELINE]) > 1:
            write_json(given.out, report(given, results))
    if len(results[BASELINE]) > 1:
        print(table(results), curves(results), sep="\n\n")


def open_study(given: argparse.Namespace) -> Study:
    """Read the data, the teacher and the pictures to judge by."""
    given.runs.mkdir(parents=True, exist_ok=True)
    segmenter = load_segmenter(given.teacher)
    data = open_dataset(given.data)
    return Study(
        data=data,
        teachers=Teachers(segmenter=segmenter, features=SegmenterFeatures(segmenter)),
        pictures={
            "recipe": settings.from_dict(Recipe, data.recipe, str(given.data)),
            "domain": read_samples(data, given.pictures),
            "other": read_samples(open_dataset(given.other), given.pictures),
            "photographs": read_photographs(given.photographs, given.pictures),
        },
        judge=load_segmenter(given.judge).eval(),
        steps=given.steps,
        rate=given.rate,
    )


def common_network(path: Path, study: Study) -> SmoothingNetwork:
    """Return the network that all arms go on from; it is trained once."""
    if not path.exists():
        training = Training(BASE, Teachers(), ALONE)
        source = BatchSource(study.data, BASE.data, BASE.augment, seed=0, device=ALONE.device)
        batches = source.batches(0, BASE.run.steps)
        for _ in range(BASE.run.steps):
            training.advance(batches)
        save_network(path, training.average)
    return load_network(path)


def run_arm(arm: Arm, seed: int, base: SmoothingNetwork, study: Study) -> dict[str, Any]:
    """Train one arm and judge it."""
    config = dataclasses.replace(
        BASE,
        seed=seed,
        losses=arm.config(BASE.losses),
        optimizer=dataclasses.replace(BASE.optimizer, lr=arm.rate * study.rate),
        schedule=ScheduleConfig(warmup=10),
        run=RunConfig(steps=study.steps, shares_every=max(1, study.steps // 4)),
    )
    training = Training(
        config, study.teachers, ALONE, prepare(arm, base), objective=objective_of(arm, seed)
    )
    source = BatchSource(study.data, config.data, config.augment, seed=seed, device=ALONE.device)
    batches = changed(arm, source.batches(0, study.steps))
    pictures, curve, seconds = study.pictures, [], 0.0
    stops = [round(share * study.steps) for share in READ_AT]
    for step in range(1, study.steps + 1):
        began = time.perf_counter()
        values = training.advance(batches)
        seconds += time.perf_counter() - began
        if step in stops:
            found = judge_labelled(training.average, pictures["domain"], pictures["recipe"])
            shares = {k: float(v) for k, v in values.items() if k.endswith(("_share", "_cosine"))}
            curve.append({"step": step, **means(found), **shares})
    end: Values = {
        **found,
        **judge_meaning(training.average, pictures["domain"], study.judge),
    }
    if arm.masks != "input":  # the masks of other pictures mean something else
        other = judge_labelled(training.average, pictures["other"], None)
        end |= {"other": other["psnr"]}
        end |= judge_photographs(training.average, pictures["photographs"])
    return {"end": rounded(end), "curve": curve, "weights": training.weights, "seconds": seconds}


def means(values: Values) -> dict[str, float]:
    """Return the mean of each measure over the pictures that have it."""
    return {name: round(float(np.nanmean(one)), 4) for name, one in values.items()}


def rounded(values: Values) -> dict[str, list[float | None]]:
    """Return values as JSON has them: no NaN, and no digits that mean nothing."""
    return {
        name: [round(v, 5) if np.isfinite(v) else None for v in one] for name, one in values.items()
    }


def compare(results: dict[str, dict[int, Any]], name: str, measure: str) -> Interval | None:
    """Return the paired difference of an arm to the baseline; None if the arm was not measured."""
    seeds = sorted(set(results[name]) & set(results[BASELINE]))
    pairs = [
        [np.array(results[arm][seed]["end"].get(measure, []), float) for seed in seeds]
        for arm in (name, BASELINE)
    ]
    if len(seeds) < 2 or not len(pairs[0][0]):
        return None
    return paired_interval(np.stack(pairs[0]) - np.stack(pairs[1]))


MEASURES = ("psnr", "kept", "removed", "other", "retention", "iou")


def table(results: dict[str, dict[int, Any]]) -> str:
    """Return every arm's difference to the baseline in Markdown, with two standard errors."""
    lines = ["| arm | " + " | ".join(MEASURES) + " |", "| --- |" + " ---: |" * len(MEASURES)]
    for name, runs in results.items():
        cells = []
        for measure in MEASURES:
            found = compare(results, name, measure)
            if name == BASELINE:
                values = [np.nanmean(np.array(r["end"][measure], float)) for r in runs.values()]
                cells.append(f"{np.mean(values):.3f}")
            elif found is None:
                cells.append("")
            else:
                mark = {"helps": " **+**", "harms": " **-**", "open": ""}[found.verdict]
                cells.append(f"{found.mean:+.3f} ± {2 * found.error:.3f}{mark}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def curves(results: dict[str, dict[int, Any]]) -> str:
    """Return the mean PSNR of every arm at each reading in Markdown, less the baseline's."""
    read = {
        name: np.mean([[at["psnr"] for at in run["curve"]] for run in runs.values()], axis=0)
        for name, runs in results.items()
    }
    steps = [at["step"] for at in next(iter(results[BASELINE].values()))["curve"]]
    heads = " | ".join(f"step {step}" for step in steps)
    lines = [f"| arm | {heads} |", "| --- |" + " ---: |" * len(steps)]
    for name, values in read.items():
        apart = values if name == BASELINE else values - read[BASELINE]
        sign = "" if name == BASELINE else "+"
        lines.append(f"| {name} | " + " | ".join(f"{v:{sign}.3f}" for v in apart) + " |")
    return "\n".join(lines)


def report(given: argparse.Namespace, results: dict[str, dict[int, Any]]) -> dict[str, Any]:
    """Return all that the table and the curves need."""
    arms: dict[str, Any] = {}
    for name, runs in results.items():
        intervals = {m: compare(results, name, m) for m in MEASURES}
        arms[name] = {
            "seeds": sorted(runs),
            "difference": {
                m: {**dataclasses.asdict(i), "verdict": i.verdict}
                for m, i in intervals.items()
                if i
            },
            "curves": [runs[seed]["curve"] for seed in sorted(runs)],
            "seconds": float(np.median([run["seconds"] for run in runs.values()])),
        }
    return {
        "date": datetime.date.today().isoformat(),
        "machine": given.machine,
        "command": recorded_command(),
        "config": settings.to_dict(BASE),
        "steps": given.steps,
        "rate": given.rate,
        "pictures": given.pictures,
        "torch": torch.__version__,
        "arms": copy.deepcopy(arms),
    }


if __name__ == "__main__":
    main()
