"""Values of steps: their means, and which step is to blame when one is not finite."""

from __future__ import annotations

import math

import pytest
import torch

from csgisnet.training.distributed import Processes
from csgisnet.training.values import StepTable, StepValues


def table(*losses: float) -> StepTable:
    values = StepValues(Processes(device=torch.device("cpu")))
    for loss in losses:
        values.add({"loss": torch.tensor(loss), "grad_norm": torch.tensor(1.0)})
    return values.take()


def test_means_are_over_the_steps_since_the_last_call() -> None:
    values = StepValues(Processes(device=torch.device("cpu")))
    for losses, mean in (((1.0, 2.0, 6.0), 3.0), ((5.0,), 5.0)):
        for loss in losses:
            values.add({"loss": torch.tensor(loss)})
        assert values.take().means() == {"loss": mean}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_first_step_that_is_not_finite_is_found_and_described(bad: float) -> None:
    assert table(1.0, 2.0).first_bad() is None
    found = table(1.0, bad, 2.0, bad)
    assert found.first_bad() == 1
    assert found.describe(1) == f"loss {bad:.4g}, grad_norm 1"
