"""Learning rates and averages, against their definitions."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from csgisnet.optimise import (
    OptimizerConfig,
    ScheduleConfig,
    averaged_copy,
    make_optimizers,
    set_learning_rate,
    take_step,
    update_average,
)


def test_cosine_rises_peaks_and_ends_at_its_floor() -> None:
    schedule = ScheduleConfig(warmup=9, floor=0.1)
    shares = [schedule.share(step, 1009) for step in range(1009)]
    assert shares[:9] == pytest.approx([(i + 1) / 10 for i in range(9)])
    assert shares[9] == 1.0
    assert shares[509] == pytest.approx(0.55)
    assert shares[-1] == pytest.approx(0.1, abs=1e-4)
    assert all(a >= b for a, b in itertools.pairwise(shares[9:]))


def test_multistep_falls_at_its_milestones() -> None:
    schedule = ScheduleConfig(kind="multistep", warmup=0, milestones=(0.5, 0.75), factor=0.5)
    assert [schedule.share(step, 8) for step in range(8)] == [1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25]
    rising = ScheduleConfig(kind="multistep", warmup=3, milestones=(0.5,), factor=0.1)
    shares = [rising.share(step, 8) for step in range(8)]
    assert shares == pytest.approx([0.25, 0.5, 0.75, 1, 0.1, 0.1, 0.1, 0.1])


def test_only_weights_of_convolutions_decay() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    (adamw,) = make_optimizers(network, OptimizerConfig(weight_decay=0.1))
    decayed, kept = adamw.param_groups
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.1, 0.0)
    assert [p.ndim for p in decayed["params"]] == [4]
    assert len(kept["params"]) == 3


def test_muon_takes_convolutions_between_features_and_adamw_the_rest() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.Conv2d(16, 32, 3), nn.BatchNorm2d(32), nn.Conv2d(32, 3, 3)
    )
    depthwise = nn.Conv2d(32, 32, 3, groups=32)
    network.append(depthwise)
    muon, adamw = make_optimizers(network, OptimizerConfig(kind="muon", weight_decay=0.1))
    assert [id(p) for p in muon.param_groups[0]["params"]] == [id(network[1].weight)]
    assert muon.param_groups[0]["weight_decay"] == 0.1
    rest = [p for group in adamw.param_groups for p in group["params"]]
    assert len(rest) == len(list(network.parameters())) - 1
    assert id(depthwise.weight) in {id(p) for p in rest}


def test_both_optimizers_follow_the_rate_and_drop_gradients() -> None:
    network = nn.Sequential(nn.Conv2d(16, 16, 3), nn.Conv2d(16, 3, 3))
    optimizers = make_optimizers(network, OptimizerConfig(kind="muon"))
    before = [p.detach().clone() for p in network.parameters()]
    network(torch.ones(1, 16, 8, 8)).square().sum().backward()
    set_learning_rate(optimizers, 1e-9)
    take_step(optimizers)
    for parameter, old in zip(network.parameters(), before, strict=True):
        assert parameter.grad is None
        assert 0 < float((parameter.detach() - old).abs().max()) < 1e-7


def test_the_average_moves_weights_and_statistics_and_copies_counters() -> None:
    network = nn.BatchNorm2d(2)
    average = averaged_copy(network)
    with torch.no_grad():
        network.weight.fill_(3.0)
    network.running_mean = torch.full((2,), 10.0)
    network.num_batches_tracked = torch.tensor(7)
    update_average(average, network, step=10**6, decay=0.9)
    assert average.weight.tolist() == pytest.approx([1.2, 1.2])
    assert average.running_mean is not None
    assert average.running_mean.tolist() == pytest.approx([1.0, 1.0])
    assert average.num_batches_tracked == 7
    update_average(average, network, step=0, decay=0.9)  # at the start a tenth of the past is kept
    assert average.weight.tolist() == pytest.approx([2.82, 2.82])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lr", 0.0),
        ("lr", float("nan")),
        ("clip_norm", -1.0),
        ("ema_decay", 1.0),
        ("betas", (0.9, 1.0)),
        ("weight_decay", -0.1),
    ],
)
def test_settings_out_of_range_are_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        OptimizerConfig(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value"),
    [("warmup", -1), ("floor", -0.1), ("floor", 2.0), ("milestones", (0.5, 40.0)), ("factor", 0.0)],
)
def test_schedules_out_of_range_are_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        ScheduleConfig(**{field: value})  # type: ignore[arg-type]
