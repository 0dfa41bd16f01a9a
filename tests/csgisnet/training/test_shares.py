"""Each term's gradient beside that of L1 and structure: measured, calibrated, kept by a resume."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from batches import random_batch
from torch import Tensor

from csgisnet.checkpoints.states import load_state, save_state
from csgisnet.networks.features import SegmenterFeatures
from csgisnet.networks.segmenter import Segmenter, SegmenterConfig
from csgisnet.objective.config import LossConfig
from csgisnet.objective.losses import Batch, Teachers, total_loss
from csgisnet.training import step
from csgisnet.training.config import Config
from csgisnet.training.distributed import Processes
from csgisnet.training.shares import Share, calibrated, measure_shares
from csgisnet.training.step import Training, new_network

ALONE = Processes(device=torch.device("cpu"))


@pytest.fixture(scope="module")
def teachers() -> Teachers:
    torch.manual_seed(0)
    segmenter = Segmenter(SegmenterConfig(width=0.125, head_width=8))
    return Teachers(segmenter=segmenter, features=SegmenterFeatures(segmenter))


def gradient(config: Config, losses: LossConfig, teachers: Teachers, batch: Batch) -> Tensor:
    """The gradient of a whole loss in the weights of a fresh network."""
    network = new_network(config).train()
    torch.autograd.backward(total_loss(network(batch.input), batch, teachers, losses)[0])
    parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in network.parameters()]
    return torch.cat([p.flatten() for p in parts])


def test_shares_are_those_of_gradients_taken_one_by_one(config: Config, teachers: Teachers) -> None:
    batch, losses = random_batch(), LossConfig(edge=7.0, contrast=2.0)
    network = new_network(config).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    shares = measure_shares(network, batch, teachers, losses)
    assert list(shares) == ["edge", "contrast", "semantic"]
    base = gradient(config, losses.without("edge", "contrast", "semantic"), teachers, batch)
    for name, share in shares.items():
        others = {"l1", "structure", "edge", "contrast", "semantic"} - {name}
        weight: dict[str, Any] = {name: 1.0}
        only = dataclasses.replace(losses.without(*others), **weight)
        alone = gradient(config, only, teachers, batch)
        assert share.norm == pytest.approx(float(alone.norm() / base.norm()), rel=1e-3)
        cosine = float(alone @ base / alone.norm() / base.norm())
        assert share.cosine == pytest.approx(cosine, abs=1e-4)
    assert all(p.grad is None for p in network.parameters())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_weights_follow_from_shares() -> None:
    config = LossConfig(contrast_share=0.1, semantic=0.03, region=0.5, region_share=0.2)
    norms = {"contrast": [1.0, 0.0, 11.0], "semantic": [9.0], "region": [0.0, 0.0]}
    weights = calibrated(config, norms)
    assert weights["contrast"] == pytest.approx(0.025)
    assert weights["semantic"] == 0.03
    assert weights["region"] == 0.5  # which has no gradient to be a share


def with_shares(config: Config, **losses: float) -> Config:
    losses = {"contrast_share": 0.1, **losses}
    return dataclasses.replace(
        config,
        losses=dataclasses.replace(config.losses, **losses),  # type: ignore[arg-type]
        run=dataclasses.replace(config.run, shares_every=2),
    )


def test_shares_are_calibrated_on_the_first_steps_after_the_warmup(
    config: Config, teachers: Teachers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "CALIBRATED_ON", 1)
    config = with_shares(config)
    training = Training(config, teachers, ALONE)
    batches = map(random_batch, itertools.count())
    logged = [training.advance(batches) for _ in range(config.schedule.warmup + 3)]
    assert [float(values["contrast_share"]) for values in logged[:2]] == [0, 0]
    assert float(logged[2]["contrast_share"]) == pytest.approx(0.1, rel=1e-4)
    assert float(logged[4]["contrast_share"]) != pytest.approx(0.1, rel=1e-4)  # measured anew
    assert float(logged[3]["contrast_share"]) == float(logged[2]["contrast_share"])
    assert len({frozenset(values) for values in logged}) == 1
    expected = sum(training.weights[t] * float(logged[3][t]) for t in config.losses.terms)
    assert float(logged[3]["loss"]) == pytest.approx(expected, rel=1e-5)


def test_a_share_is_that_of_the_average_batch(
    config: Config, teachers: Teachers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One batch on which a term has next to no gradient does not make its weight huge."""
    norms = iter([1e-4, 3.0, 1.0])

    def measured(*_: object) -> dict[str, Share]:
        return {"contrast": Share(next(norms), 0.0)}

    monkeypatch.setattr(step, "measure_shares", measured)
    monkeypatch.setattr(step, "CALIBRATED_ON", 3)
    config = with_shares(config)
    config = dataclasses.replace(config, run=dataclasses.replace(config.run, shares_every=0))
    training = Training(config, teachers, ALONE)
    batches = map(random_batch, itertools.count())
    weights = []
    for _ in range(config.schedule.warmup + 4):
        training.advance(batches)
        weights.append(training.weights["contrast"])
    assert weights[:-2] == [0] * (len(weights) - 2)
    assert weights[-2] == weights[-1] == pytest.approx(0.1 * 3 / (1e-4 + 3 + 1))


def test_measuring_changes_no_step(config: Config, teachers: Teachers) -> None:
    weights = []
    for every in (0, 1):
        run = dataclasses.replace(config.run, shares_every=every)
        training = Training(dataclasses.replace(config, run=run), teachers, ALONE)
        batches = map(random_batch, itertools.count())
        for _ in range(3):
            training.advance(batches)
        weights.append(training.state()["network"])
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_resumed_training_keeps_weights_copies_and_shares(
    config: Config, teachers: Teachers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = with_shares(config)
    losses = dataclasses.replace(
        config.losses, contrast_form="push", contrast_copies=(1, 3), inversion_share=0.1
    )
    config = dataclasses.replace(config, losses=losses)
    monkeypatch.setattr(step, "CALIBRATED_ON", 4)
    first = Training(config, teachers, ALONE)
    batches = map(random_batch, itertools.count())
    for _ in range(4):
        first.advance(batches)
    save_state(tmp_path / "state.pt", first.state())
    other = Training(config, teachers, ALONE)
    other.restore(load_state(tmp_path / "state.pt"))
    assert first.weights["inversion"] == 0  # in the middle of the calibration
    for number in range(4, 8):
        ends = [t.advance(map(random_batch, itertools.count(number))) for t in (first, other)]
        assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())
    assert other.weights == first.weights
    assert first.weights["inversion"] > 0
    for copy, again in zip(first.state()["copies"], other.state()["copies"], strict=True):
        assert all(torch.equal(value, again[name]) for name, value in copy.items())


def test_slow_copies_move_at_their_steps_only(config: Config, teachers: Teachers) -> None:
    losses = dataclasses.replace(config.losses, contrast_form="push", contrast_copies=(2,))
    training = Training(dataclasses.replace(config, losses=losses), teachers, ALONE)

    def first_layer() -> Tensor:
        copy: Tensor = training.state()["copies"][0]["descriptor.conv_in.weight"]
        return copy.clone()

    began = first_layer()
    training.advance(map(random_batch, itertools.count()))
    assert torch.equal(first_layer(), began)
    training.advance(map(random_batch, itertools.count()))
    now = training.state()["network"]["descriptor.conv_in.weight"]
    torch.testing.assert_close(first_layer(), 0.1 * began + 0.9 * now)
