"""Runs on the small dataset, and what they must have in common."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
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

    def content(self, name: str = "run") -> dict[str, object]:
        """What must not depend on a run's history: weights, states, and records but for speeds."""
        run = self.folder / name
        lines = self.records(name)
        for line in lines:
            line.pop("images_per_second", None)
        weights = {path.name: path.read_bytes() for path in run.glob("*.safetensors")}
        states = {path.name: flat(load_state(path)) for path in run.glob("*.pt")}
        return {"metrics": lines, **weights, **states}

    def records(self, name: str = "run") -> list[dict[str, Any]]:
        """The lines of a run's metrics.jsonl."""
        text = (self.folder / name / "metrics.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    @staticmethod
    def quick(config: Config) -> Config:
        """Without the terms that need teachers, which take most of the time."""
        return without_terms(config, ("contrast", "semantic"))

    @staticmethod
    def changed(config: Config, **run: object) -> Config:
        """With other numbers of steps."""
        return dataclasses.replace(config, run=dataclasses.replace(config.run, **run))  # type: ignore[arg-type]


def flat(state: object) -> object:
    """A state with the bytes of each tensor in the tensor's place."""
    if isinstance(state, Mapping):
        return {key: flat(value) for key, value in state.items()}
    if isinstance(state, list):
        return [flat(value) for value in state]
    if isinstance(state, torch.Tensor):
        return state.contiguous().numpy().tobytes()
    return state


@pytest.fixture
def one_thread() -> None:
    """Bits depend on the number of threads; child processes take one too."""
    torch.set_num_threads(1)


@pytest.fixture
def lab(data_dir: Path, segmenter_file: Path, tmp_path: Path, one_thread: None) -> Lab:
    """Runs in a temporary folder, with the untrained segmenter as their teacher."""
    return Lab(data_dir, segmenter_file, tmp_path)
