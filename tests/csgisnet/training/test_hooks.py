"""Hooks of `train`: a loss of one's own, a callback, and what a resume asks of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from csgisnet.errors import ConfigError
from csgisnet.networks.smoothing import Smoothing
from csgisnet.objective.losses import Batch, Teachers, total_loss
from csgisnet.training.config import Config
from csgisnet.training.hooks import Loss
from csgisnet.training.train import Summary, train

if TYPE_CHECKING:
    from tests.csgisnet.training.conftest import Lab


def run(lab: Lab, config: Config | None, name: str, **options: Any) -> Summary:
    """Train without teachers."""
    folder = lab.folder / name
    return train(lab.data, folder, config, device="cpu", report=lab.lines.append, **options)


def ours(config: Config) -> Loss:
    """The configured terms, computed by a loss of the caller's own."""
    return lambda smoothing, batch: total_loss(smoothing, batch, Teachers(), config.losses)


def squares(smoothing: Smoothing, batch: Batch) -> Tensor:
    return (smoothing.result - batch.label).square().mean()


def test_a_loss_takes_the_place_of_the_terms(lab: Lab, config: Config) -> None:
    """One that computes the terms gives the bits of a run without it; another does not."""
    quick = lab.quick(config)
    run(lab, quick, "plain")
    run(lab, quick, "same", loss=ours(quick))
    assert lab.content("same") == lab.content("plain")
    run(lab, config, "other", loss=squares)  # its terms need teachers, and are not computed
    assert lab.content("other")["best.safetensors"] != lab.content("plain")["best.safetensors"]
    logged = [line for line in lab.records("other") if line["kind"] == "train"]
    assert logged[0].keys() == {"kind", "step", "loss", "grad_norm", "lr", "images_per_second"}


def test_a_run_with_its_own_loss_resumes_to_the_same_bits_and_only_with_it(
    lab: Lab, config: Config
) -> None:
    run(lab, config, "whole", loss=squares)
    stopped = run(lab, config, "run", loss=squares, callback=lambda step, _: step == 6)
    assert (stopped.finished, stopped.steps) == (False, 6)
    with pytest.raises(ConfigError, match="began with a loss of the caller's own, given nothing"):
        run(lab, None, "run", resume=True)
    assert run(lab, None, "run", resume=True, loss=squares).finished
    assert lab.content("run") == lab.content("whole")
    run(lab, lab.changed(lab.quick(config), steps=1), "plain")
    with pytest.raises(ConfigError, match="began with nothing of the caller's own, given a loss"):
        run(lab, None, "plain", resume=True, loss=squares)


def test_a_callback_hears_what_is_logged_and_may_end_the_run(lab: Lab, config: Config) -> None:
    heard: list[tuple[int, Mapping[str, float]]] = []

    def listen(step: int, values: Mapping[str, float]) -> bool:
        heard.append((step, values))
        return "validation/psnr_result" in values

    quick = lab.quick(config)
    summary = run(lab, quick, "run", callback=listen)
    assert (summary.finished, summary.steps) == (False, 6)
    assert [step for step, _ in heard] == [2, 3, 4, 6, 6]
    records = lab.records("run")
    assert [step for step, _ in heard] == [line["step"] for line in records]
    for (_, values), line in zip(heard, records, strict=True):
        kind = line.pop("kind")
        line.pop("step")
        assert values == {f"{kind}/{name}": value for name, value in line.items()}
    assert (lab.folder / "run/state-000000006.pt").exists()


def test_a_stop_between_two_states_saves_one(lab: Lab, config: Config) -> None:
    quick = lab.changed(lab.quick(config), log_every=1)
    summary = run(lab, quick, "run", callback=lambda step, _: step == 5)
    assert (summary.steps, summary.finished) == (5, False)
    assert (lab.folder / "run/state-000000005.pt").exists()
    run(lab, None, "run", resume=True)
    run(lab, quick, "whole")
    assert lab.content("run") == lab.content("whole")


def test_what_a_callback_raises_ends_the_run_and_leaves_its_states(
    lab: Lab, config: Config
) -> None:
    def fail(step: int, _: Mapping[str, float]) -> None:
        if step == 6:
            raise RuntimeError("mine")

    quick = lab.quick(config)
    with pytest.raises(RuntimeError, match="mine"):
        run(lab, quick, "run", callback=fail)
    assert (lab.folder / "run/state-000000004.pt").exists()
    assert run(lab, None, "run", resume=True).finished


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda s, b: s.result, r"got one of shape \(4, 3, 32, 32\) with a gradient"),
        (lambda s, b: squares(s, b).item(), "got float 0"),
        (lambda s, b: torch.tensor(1.0), r"got one of shape \(\) without a gradient"),
        (lambda s, b: None, "got NoneType None"),
    ],
)
def test_a_loss_that_cannot_be_minimised_is_refused(
    lab: Lab, config: Config, loss: Loss, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        run(lab, config, "run", loss=loss)


def test_terms_of_a_loss_are_logged(lab: Lab, config: Config) -> None:
    def both(smoothing: Smoothing, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        value = squares(smoothing, batch)
        return 2 * value, {"squares": value}

    run(lab, lab.changed(config, steps=1), "run", loss=both)
    line = lab.records("run")[0]
    assert line["loss"] == pytest.approx(2 * line["squares"])
