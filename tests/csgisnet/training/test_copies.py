"""No step makes tensors of Python's numbers: each copy to a device would wait for all before it."""

from __future__ import annotations

import dataclasses
from typing import NoReturn

import pytest
import torch
from batches import random_batch

from csgisnet.networks.segmenter import BOUNDARIES
from csgisnet.objective.config import LossConfig
from csgisnet.objective.losses import Teachers
from csgisnet.objective.targets import weights_of_targets
from csgisnet.training.config import Config
from csgisnet.training.distributed import Processes
from csgisnet.training.spoil import compress
from csgisnet.training.step import Training


def refuse(*_: object, **__: object) -> NoReturn:
    raise AssertionError("a copy to the device")


def test_steps_after_the_first_copy_nothing(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(
        config,
        run=dataclasses.replace(config.run, symmetric=True),
        losses=LossConfig(contrast=0, semantic=0),
    )
    training = Training(config, Teachers(), Processes(device=torch.device("cpu")))
    training._shares = {"region_share": 0.5}  # as a step that measured them leaves them

    def everything() -> None:
        training.advance(iter([random_batch()]))
        weights_of_targets(torch.zeros(1, BOUNDARIES, 4, 4))
        compress(torch.rand(2, 3, 16, 16), torch.arange(40.0, 42))

    everything()
    for owner, name in ((torch.Tensor, "new_tensor"), (torch, "tensor"), (torch, "from_numpy")):
        monkeypatch.setattr(owner, name, refuse)
    everything()
