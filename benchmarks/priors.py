"""Measure what the priors are worth: arms that go on from one network and differ in nothing else.

    vocsmooth generate scenes --family classes --train 160 --val 24 --size 160x160 --seed 3
    vocsmooth build --voc-root scenes --out data --manifest classes
    csgisnet train-segmenter --data data --out teacher.safetensors --config classes
    csgisnet train-segmenter --data data --out judge.safetensors --config judge.toml
    vocsmooth generate drawn --val 12 --train 1 --size 160x160 --seed 9
    vocsmooth build --voc-root drawn --out other --manifest release-test
    python -m benchmarks.priors --data data --other other --photographs VOCdevkit \\
        --boundaries boundaries --teacher teacher.safetensors --judge judge.safetensors \\
        --runs runs/priors --seeds 1 2 3 4 5 --out benchmarks/results/priors-converged.json

judge.toml is the configuration `classes` with another seed. A seed decides the batches, which are
the same for all arms; every run begins with the same network, which the study trains first. The
learning rate is searched with the arm "none" under seeds of its own, see `best_rate`. Each finished
run is one file in --runs, so that the same command resumes an interrupted study, and one with more
seeds adds them. The table holds paired differences to the arm "none" with two standard errors over
seeds and pictures, in dB, except retention, ODS and IoU.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.command import recorded_command
from benchmarks.priors_arms import ARMS, BASELINE
from benchmarks.priors_judging import read_photographs, read_samples
from benchmarks.priors_report import Results, curves, describe_arms, mean_of, table
from benchmarks.priors_runs import BASE, Study, run_once, train_start
from csgisnet.checkpoints.networks import load_network, save_network
from csgisnet.checkpoints.segmenters import load_segmenter
from csgisnet.networks.features import SegmenterFeatures
from csgisnet.objective.losses import Teachers
from vocsmooth import settings
from vocsmooth.files import sha256_file, write_json
from vocsmooth.maps.recipe import Recipe
from vocsmooth.shards import open_dataset

SEARCH_SEEDS = (101, 102)
"""Under which the learning rate is searched: not those of the arms."""

AS_GOOD = 0.05
"""dB that seeds make of a difference: rates so near to the best count as good as it."""


def main() -> None:
    """Train what is missing, write the JSON, print the tables."""
    given = parse_arguments()
    study = open_study(given)
    search = search_rate(study, given.rates)
    rate = best_rate(search) if search else given.rates[0]
    results: Results = {name: {} for name in given.arms}
    for seed in given.seeds:
        for name in given.arms:
            results[name][seed] = run = run_once(name, name, seed, rate, study)
            print(name, seed, f"{mean_of(run, 'psnr'):.3f} dB", flush=True)
        if given.out and len(results[BASELINE]) > 1:
            write_json(given.out, report(given, study, search, rate, results))
    if len(results[BASELINE]) > 1:
        print(table(results), curves(results), sep="\n\n")


def parse_arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="of the recipe `classes`")
    parser.add_argument("--other", type=Path, required=True, help="other labels and textures")
    parser.add_argument("--photographs", type=Path, required=True, help="VOC tree with masks")
    parser.add_argument("--boundaries", type=Path, help="drawn on them, see benchmarks.boundaries")
    parser.add_argument("--teacher", type=Path, required=True, help="segmenter of the priors")
    parser.add_argument("--judge", type=Path, required=True, help="segmenter of another seed")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), metavar="ARM")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--start-steps", type=int, default=8000, help="of the common network")
    parser.add_argument("--steps", type=int, default=400, help="of each arm")
    parser.add_argument(
        "--rates",
        type=float,
        nargs="+",
        default=[1e-3, 5e-4, 2.5e-4, 1e-4, 5e-5],
        help="learning rates to search; one is taken as it is",
    )
    parser.add_argument("--pictures", type=int, default=24, help="of each kind")
    parser.add_argument("--machine", default="", help="what to say about the hardware")
    parser.add_argument("--out", type=Path, help="JSON file")
    given = parser.parse_args()
    if BASELINE not in given.arms:
        parser.error(f'--arms must include "{BASELINE}", which the others are compared with')
    return given


def open_study(given: argparse.Namespace) -> Study:
    """Read the data, the teacher and the pictures to judge by, and train the common network."""
    given.runs.mkdir(parents=True, exist_ok=True)
    segmenter = load_segmenter(given.teacher)
    data = open_dataset(given.data)
    start = given.runs / "common.safetensors"
    if not start.exists():
        save_network(start, train_start(data, given.start_steps))
    indexes = [folder / "index.json" for folder in (given.data, given.other)]
    digests = [sha256_file(path) for path in (start, given.teacher, given.judge, *indexes)]
    return Study(
        data=data,
        recipe=settings.from_dict(Recipe, data.recipe, str(given.data)),
        teachers=Teachers(segmenter=segmenter, features=SegmenterFeatures(segmenter)),
        domain=read_samples(data, given.pictures),
        other=read_samples(open_dataset(given.other), given.pictures),
        photographs=read_photographs(given.photographs, given.boundaries, given.pictures),
        judge=load_segmenter(given.judge).eval(),
        start=load_network(start),
        steps=given.steps,
        runs=given.runs,
        inputs=hashlib.sha256("".join(digests).encode()).hexdigest()[:16],
    )


def search_rate(study: Study, rates: list[float]) -> dict[float, float]:
    """Return the mean PSNR in dB of the arm "none" at each rate; nothing if there is one only.

    It is searched on the pictures that the arms are judged by, in favour of the arm "none".
    """
    if len(rates) < 2:
        return {}
    found = {}
    for rate in rates:
        runs = [run_once(f"search {rate:g}", BASELINE, seed, rate, study) for seed in SEARCH_SEEDS]
        found[rate] = round(float(np.mean([mean_of(run, "psnr") for run in runs])), 4)
        print(f"rate {rate:g}: {found[rate]:.3f} dB", flush=True)
    return found


def best_rate(search: dict[float, float]) -> float:
    """Return the largest of the rates that are as good as the best.

    From a converged network smaller ones are always among the best, because nothing moves, and
    would hide what an arm can do.
    """
    best = max(search.values())
    return max(rate for rate, psnr in search.items() if psnr >= best - AS_GOOD)


def report(
    given: argparse.Namespace,
    study: Study,
    search: dict[float, float],
    rate: float,
    results: Results,
) -> dict[str, Any]:
    """Return all that the tables and the curves show."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "machine": given.machine,
        "command": recorded_command(),
        "torch": torch.__version__,
        "config": settings.to_dict(BASE),
        "start_steps": given.start_steps,
        "steps": study.steps,
        "search": {"seeds": SEARCH_SEEDS, "psnr": {f"{r:g}": db for r, db in search.items()}},
        "rate": rate,
        "pictures": [len(p) for p in (study.domain, study.other, study.photographs)],
        "arms": describe_arms(results),
    }


if __name__ == "__main__":
    main()
