"""One run of the study of priors: from the common network to what the judges say."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.priors_arms import ARMS, Arm, changed, objective_of, prepare
from benchmarks.priors_judging import (
    Photograph,
    Sample,
    Values,
    judge_labelled,
    judge_meaning,
    judge_photographs,
)
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from csgisnet.objective.config import LossConfig
from csgisnet.objective.losses import Teachers
from csgisnet.training.augment import AugmentConfig
from csgisnet.training.config import Config, RunConfig
from csgisnet.training.data import BatchSource, DataConfig
from csgisnet.training.distributed import Processes
from csgisnet.training.optimise import OptimizerConfig, ScheduleConfig
from csgisnet.training.step import Training
from vocsmooth.files import write_json
from vocsmooth.maps.recipe import Recipe
from vocsmooth.shards import Dataset

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
)
"""What the common network is trained with."""

READ_AT = (0.25, 0.5, 1.0)
"""Shares of a run at which it is judged in domain; at the end it is judged by everything."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """What all runs have in common."""

    data: Dataset
    recipe: Recipe
    teachers: Teachers
    domain: list[Sample]
    other: list[Sample]
    photographs: list[Photograph]
    judge: torch.nn.Module
    start: SmoothingNetwork
    steps: int
    runs: Path
    inputs: str
    """Of all files that a run depends on: runs of other files do not belong to this study."""


def train_start(data: Dataset, steps: int) -> SmoothingNetwork:
    """Train the network that all arms go on from."""
    training = Training(dataclasses.replace(BASE, run=RunConfig(steps=steps)), Teachers(), ALONE)
    source = BatchSource(data, BASE.data, BASE.augment, seed=0, device=ALONE.device)
    batches = source.batches(0, steps)
    for _ in range(steps):
        training.advance(batches)
    assert isinstance(training.average, SmoothingNetwork)
    return training.average


def run_once(label: str, arm: str, seed: int, rate: float, study: Study) -> dict[str, Any]:
    """Return a run of an arm, from its file if there is one; beside it lies its network."""
    path = study.runs / f"{label.replace(' ', '_')}-{seed}.json"
    setting = {
        "arm": arm,
        "rate": rate,
        "steps": study.steps,
        "inputs": study.inputs,
        "pictures": [len(p) for p in (study.domain, study.other, study.photographs)],
    }
    if not path.exists():
        network, found = train_arm(ARMS[arm], seed, rate, study)
        torch.save(network.state_dict(), path.with_suffix(".pt"))
        write_json(path, {"setting": setting, **found})
    run: dict[str, Any] = json.loads(path.read_text())
    if run["setting"] != setting:
        raise SystemExit(
            f"{path} was run with {run['setting']}, and this study has {setting}. "
            "Give another folder with --runs."
        )
    return run


def network_of(arm: str, seed: int, study: Study) -> torch.nn.Module:
    """Return the network of a run that has ended."""
    network = prepare(ARMS[arm], study.start).eval()
    path = study.runs / f"{arm.replace(' ', '_')}-{seed}.pt"
    network.load_state_dict(torch.load(path, weights_only=True))
    return network


def train_arm(
    arm: Arm, seed: int, rate: float, study: Study
) -> tuple[torch.nn.Module, dict[str, Any]]:
    """Train one arm; return its network, and what it was at a quarter, at half and at the end."""
    config = dataclasses.replace(
        BASE,
        seed=seed,
        losses=arm.config(BASE.losses),
        optimizer=dataclasses.replace(BASE.optimizer, lr=rate),
        schedule=ScheduleConfig(warmup=10),
        run=RunConfig(steps=study.steps, shares_every=max(1, study.steps // 4)),
    )
    training = Training(
        config, study.teachers, ALONE, prepare(arm, study.start), objective=objective_of(arm, seed)
    )
    source = BatchSource(study.data, config.data, config.augment, seed=seed, device=ALONE.device)
    batches = (changed(arm, batch) for batch in source.batches(0, study.steps))
    readings, seconds = [], 0.0
    stops = [round(share * study.steps) for share in READ_AT]
    for step in range(1, study.steps + 1):
        began = time.perf_counter()
        values = training.advance(batches)
        seconds += time.perf_counter() - began
        if step in stops:
            shares = {k: float(v) for k, v in values.items() if k.endswith(("_share", "_cosine"))}
            found = judge_labelled(training.average, study.domain, study.recipe)
            if step == study.steps:
                found |= judge_end(training.average, arm, study)
            readings.append({"step": step, "values": rounded(found), "shares": shares})
    run = {"readings": readings, "weights": training.weights, "seconds": seconds}
    return training.average, run


def judge_end(network: torch.nn.Module, arm: Arm, study: Study) -> Values:
    """Return what the judges beside the labels in domain say; of an oracle only those in domain.

    The masks of other pictures mean something else than the ones that it has learnt from.
    """
    values = judge_meaning(network, study.domain, study.judge)
    if not arm.oracle:
        values["other"] = judge_labelled(network, study.other, None)["psnr"]
        values |= judge_photographs(network, study.photographs)
    return values


def rounded(values: Values) -> dict[str, list[float | None]]:
    """Return values as JSON has them: no NaN, and no digits that mean nothing."""
    return {
        name: [round(v, 5) if np.isfinite(v) else None for v in one] for name, one in values.items()
    }
