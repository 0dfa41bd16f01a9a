"""Learning rates and averages, against their definitions."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from csgisnet.training.optimise import (
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


def test_muon_takes_what_normalisation_follows_and_adamw_the_rest() -> None:
    """Whatever the number of channels: an image at shuffle 4 has more than some features."""
    for config in (NetworkConfig(width=8, blocks=1), NetworkConfig(width=16, blocks=1, shuffle=4)):
        network = SmoothingNetwork(config)
        muon, adamw = make_optimizers(network, OptimizerConfig(kind="muon", weight_decay=0.1))
        names = {id(p): name for name, p in network.named_parameters()}
        mine, others = (
            {names[id(p)] for group in optimizer.param_groups for p in group["params"]}
            for optimizer in (muon, adamw)
        )
        assert mine | others == set(names.values())
        assert not mine & others
        assert "descriptor.res16.0.conv_3x3_2.weight" in mine
        assert "interpreter1.0.weight" in mine
        assert {"descriptor.conv_in.weight", "refine.0.bias", "refine.1.weight"} <= others
        last = len(network.refine) - 1
        assert {"interpreter1.6.weight", f"refine.{last}.weight"} <= others
        assert muon.param_groups[0]["weight_decay"] == 0.1


def test_depthwise_layers_stay_with_adamw() -> None:
    network = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.BatchNorm2d(8))
    (adamw,) = make_optimizers(network, OptimizerConfig(kind="muon"))
    assert isinstance(adamw, torch.optim.AdamW)


def test_both_optimizers_follow_the_rate_and_drop_gradients() -> None:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 3, 3))
    optimizers = make_optimizers(network, OptimizerConfig(kind="muon"))
    before = [p.detach().clone() for p in network.parameters()]
    network(torch.rand(1, 8, 8, 8)).square().sum().backward()
    set_learning_rate(optimizers, 1e-5)
    take_step(optimizers)
    for parameter, old in zip(network.parameters(), before, strict=True):
        assert parameter.grad is None
        assert 0 < float((parameter.detach() - old).abs().max()) < 1e-3


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
