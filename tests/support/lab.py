"""Runs of one configuration on a small dataset, and what they leave behind."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import torch

from csgisnet.checkpoints.states import load_state
from csgisnet.networks.smoothing import SmoothingNetwork
from csgisnet.training.config import Config, without_terms
from csgisnet.training.train import Summary, train


class Lab:
    """Runs of one configuration on the small dataset."""

    def __init__(self, data: Path, teacher: Path, folder: Path) -> None:
        self.data, self.teacher, self.folder = data, teacher, folder
        self.lines: list[str] = []

    def train(
        self,
        config: Config | None,
        name: str = "run",
        *,
        resume: bool = False,
        initial: SmoothingNetwork | None = None,
    ) -> Summary:
        return train(
            self.data,
            self.folder / name,
            config,
            device="cpu",
            resume=resume,
            segmenter=self.teacher,
            initial=initial,
            report=self.lines.append,
        )


def content(run: Path) -> dict[str, object]:
    """What must not depend on a run's history: weights, states, and records but for speeds."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("images_per_second", None)
    weights = {path.name: path.read_bytes() for path in run.glob("*.safetensors")}
    states = {path.name: flat(load_state(path)) for path in run.glob("*.pt")}
    return {"metrics": lines, **weights, **states}


def flat(state: object) -> object:
    """A state with the bytes of each tensor in the tensor's place."""
    if isinstance(state, Mapping):
        return {key: flat(value) for key, value in state.items()}
    if isinstance(state, list):
        return [flat(value) for value in state]
    if isinstance(state, torch.Tensor):
        return state.contiguous().numpy().tobytes()
    return state


def quick(config: Config) -> Config:
    """Without the terms that need teachers, which take most of the time."""
    return without_terms(config, ("contrast", "semantic"))


def changed(config: Config, **run: object) -> Config:
    return dataclasses.replace(config, run=dataclasses.replace(config.run, **run))  # type: ignore[arg-type]
