"""Training: what a run leaves behind, and what its losses do to the weights."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pytest
import torch

from csgisnet.checkpoints.best import list_best
from csgisnet.checkpoints.format import load_weights
from csgisnet.checkpoints.networks import load_network
from csgisnet.checkpoints.states import load_state
from csgisnet.errors import ConfigError, TrainingError
from csgisnet.prediction.smoother import Smoother
from csgisnet.training.config import Config, without_terms
from csgisnet.training.distributed import Processes
from csgisnet.training.train import train
from csgisnet.training.validate import choose_samples, score
from vocsmooth import settings
from vocsmooth.shards.reader import open_dataset

if TYPE_CHECKING:
    from tests.csgisnet.training.conftest import Lab


def test_a_run_leaves_states_networks_and_records(lab: Lab, config: Config) -> None:
    summary = lab.train(config)
    run = lab.folder / "run"
    assert (summary.finished, summary.steps) == (True, 12)
    assert sorted(p.name for p in run.glob("*.pt")) == ["state-000000010.pt", "state-000000012.pt"]
    assert summary.best == run / "best.safetensors"
    assert summary.best.read_bytes() == list_best(run)[0].read_bytes()
    metadata = load_weights(summary.best, "network").metadata
    assert settings.from_dict(Config, metadata["config"], "checkpoint") == config
    assert metadata["scores"] == dataclasses.asdict(summary.scores)  # type: ignore[arg-type]
    assert load_network(summary.best).config == config.network
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [x["step"] for x in lines if x["kind"] == "validation"] == [6, 12]
    logged = [x for x in lines if x["kind"] == "train"]
    assert {"loss", "l1", "structure", "edge", "contrast", "semantic", "lr"} <= logged[0].keys()
    assert list((run / "tensorboard").iterdir())
    assert any("images/s  ETA" in line and "step  3/12" in line for line in lab.lines)
    assert any("PSNR" in line and "whole images" in line for line in lab.lines)
    warnings = [line for line in lab.lines if line.startswith("warning")]
    assert [line.partition(" has a mean IoU ")[0] for line in warnings] == [
        "warning: the segmenter of the semantic term"
    ]  # it is untrained
    lab.lines.clear()
    lab.train(lab.changed(without_terms(config, ("semantic",)), steps=1), "without")
    lab.train(None, resume=True)
    assert not any(line.startswith("warning") for line in lab.lines)


def test_a_teacher_that_knows_nothing_is_refused_before_anything_is_written(
    lab: Lab, config: Config
) -> None:
    with pytest.raises(ConfigError, match=r"knows no more than that .*check_teacher to false"):
        lab.train(lab.changed(config, check_teacher=True))
    assert not (lab.folder / "run").exists()
    lab.train(lab.quick(lab.changed(config, check_teacher=True, steps=1)))
    (warning,) = [line for line in lab.lines if line.startswith("warning")]
    assert "no term of this configuration asks the segmenter" in warning


def test_training_lowers_the_loss_and_the_average_follows(lab: Lab, config: Config) -> None:
    """Compared with a network that does not move, on the same batches: some are easier."""
    longer = lab.changed(
        lab.quick(config), steps=60, log_every=20, validate_every=60, checkpoint_every=60
    )
    losses, weights = {}, {}
    for name, lr in (("unmoved", 1e-30), ("run", 1e-2)):
        optimizer = dataclasses.replace(config.optimizer, lr=lr)
        summary = lab.train(dataclasses.replace(longer, optimizer=optimizer), name)
        losses[name] = [line["loss"] for line in lab.records(name) if line["kind"] == "train"]
        state = load_state(lab.folder / name / "state-000000060.pt")["training"]
        weights[name] = [state[x]["descriptor.conv_in.weight"] for x in ("network", "average")]
    assert losses["run"][-1] < 0.95 * losses["unmoved"][-1]
    trained, average = weights["run"]
    moved = (trained - weights["unmoved"][0]).norm()
    assert 0 < (trained - average).norm() < 0.1 * moved
    assert summary.scores is not None
    assert summary.best is not None
    split, alone = open_dataset(lab.data).split("val"), Processes(device=torch.device("cpu"))
    smoother = Smoother(load_network(summary.best), device="cpu", precision="float32")
    scores = score(smoother, split, choose_samples(split, 0), alone)
    assert scores.psnr_result == pytest.approx(summary.scores.psnr_result, abs=1e-9)


@pytest.mark.parametrize(
    ("dropped", "message"),
    [((), "semantic term.*train-segmenter"), (("semantic",), "contrast term.*--features")],
)
def test_a_missing_teacher_is_an_error_that_says_how_to_get_one(
    lab: Lab, config: Config, dropped: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(lab.data, lab.folder / "run", without_terms(config, dropped), device="cpu")
    assert not (lab.folder / "run").exists()


def test_weights_of_other_layers_are_an_error_before_the_training(lab: Lab, config: Config) -> None:
    losses = dataclasses.replace(config.losses, contrast_layers=(1.0, 1.0))
    with pytest.raises(ConfigError, match=r"contrast_layers must have 4 weights.*got 2"):
        lab.train(dataclasses.replace(config, losses=losses))
    assert not (lab.folder / "run").exists()


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_batch(
    lab: Lab, config: Config
) -> None:
    wild = dataclasses.replace(
        lab.changed(lab.quick(config), log_every=1, checkpoint_every=1),
        optimizer=dataclasses.replace(config.optimizer, lr=1e30),
    )
    with pytest.raises(TrainingError, match=r"not finite.*failed-step"):
        lab.train(wild)
    failed = next((lab.folder / "run").glob("failed-*.pt"))
    batch = load_state(failed)["batches"][0]
    assert batch["input"].shape == (4, 3, 32, 32)
    for path in (lab.folder / "run").glob("state-*.pt"):
        tensors = load_state(path)["training"]["network"]
        assert all(value.isfinite().all() for value in tensors.values())


def test_accumulated_gradients_are_means_over_the_batches(lab: Lab, config: Config) -> None:
    """The loss of a step of two batches is the mean of the losses of two steps of one batch."""
    config = lab.quick(config)
    small = lab.changed(config, steps=1, accumulate=2)
    lab.train(small)
    record = json.loads((lab.folder / "run" / "metrics.jsonl").read_text().splitlines()[0])
    single = lab.changed(config, steps=2, log_every=1)
    frozen = dataclasses.replace(single, optimizer=dataclasses.replace(config.optimizer, lr=1e-30))
    lab.train(frozen, "frozen")
    lines = (lab.folder / "frozen" / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines if '"train"' in line]
    assert record["loss"] == pytest.approx(sum(losses) / 2, rel=1e-5)


def test_each_term_moves_the_weights(lab: Lab, config: Config) -> None:
    moved: dict[str, torch.Tensor] = {}
    for term in ("l1", "structure", "edge", "contrast", "semantic"):
        others = tuple(t for t in ("l1", "structure", "edge", "contrast", "semantic") if t != term)
        alone = lab.changed(without_terms(config, others), steps=1, validate_every=1)
        summary = lab.train(alone, term)
        assert summary.best is not None
        tensors = load_weights(summary.best, "network").tensors
        moved[term] = tensors["descriptor.conv_in.weight"]
    fresh = lab.train(
        dataclasses.replace(
            lab.changed(config, steps=1, validate_every=1),
            optimizer=dataclasses.replace(config.optimizer, lr=1e-30),
        ),
        "fresh",
    )
    assert fresh.best is not None
    start = load_weights(fresh.best, "network").tensors["descriptor.conv_in.weight"]
    for term, weights in moved.items():
        assert not torch.allclose(weights, start, atol=1e-7), term
