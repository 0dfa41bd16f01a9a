"""Labels of levels: the exact label at 0, a simpler one at 1; without a network there are none."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from batches import draw_batch
from torch import nn

from csgisnet.checkpoints.networks import load_network, save_network
from csgisnet.errors import ConfigError
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from csgisnet.objective.config import LossConfig
from csgisnet.objective.losses import Teachers
from csgisnet.training.config import Config, RunConfig
from csgisnet.training.data import DataConfig
from csgisnet.training.distributed import Processes
from csgisnet.training.levels import LevelLabels, frozen, load_simplifier
from csgisnet.training.step import Training
from csgisnet.training.train import train

if TYPE_CHECKING:
    from tests.csgisnet.training.conftest import Lab

SMALL = NetworkConfig(
    width=8, blocks=1, coarse_blocks=1, refine_blocks=1, shuffle=2, skip=True, level=True, finish=4
)
CPU = torch.device("cpu")
CONFIG = Config(
    network=SMALL,
    losses=LossConfig(contrast=0, semantic=0),
    data=DataConfig(level_passes=1),
    run=RunConfig(freeze_statistics=True),
)


def test_levels_mix_the_label_with_its_simpler_version() -> None:
    torch.manual_seed(1)
    labels = LevelLabels(SmoothingNetwork(SMALL), 2, 0.0, CPU, "float32")
    batch = draw_batch(3)._replace(level=torch.tensor([0.0, 1.0, 0.25]))
    simple, mixed = labels.simplify(batch.label), labels(batch)
    torch.testing.assert_close(mixed.label[0], batch.label[0], rtol=0, atol=0)
    torch.testing.assert_close(mixed.label[1], simple[1])
    torch.testing.assert_close(mixed.label[2], 0.75 * batch.label[2] + 0.25 * simple[2])
    assert torch.equal(mixed.input, batch.input)
    assert (simple[1] - batch.label[1]).abs().mean() > 0.01


def test_one_pass_lies_between_the_label_and_its_simpler_version() -> None:
    torch.manual_seed(1)
    network = SmoothingNetwork(dataclasses.replace(SMALL, skip=False))
    labels, smooth = LevelLabels(network, 2, 0.4, CPU, "float32"), frozen(network, CPU, "float32")
    batch = draw_batch(5)._replace(level=torch.tensor([0.0, 0.1, 0.4, 0.55, 1.0]))
    exact, once, simple = batch.label, smooth(batch.label), labels.simplify(batch.label)
    mixed = labels(batch).label
    torch.testing.assert_close(mixed[0], exact[0], rtol=0, atol=0)
    torch.testing.assert_close(mixed[1], 0.75 * exact[1] + 0.25 * once[1])
    torch.testing.assert_close(mixed[2], once[2])
    torch.testing.assert_close(mixed[3], 0.75 * once[3] + 0.25 * simple[3])
    torch.testing.assert_close(mixed[4], simple[4])
    assert min((once - exact).abs().mean(), (once - simple).abs().mean()) > 0.005


def test_the_teacher_of_levels_does_not_change_while_the_network_learns() -> None:
    torch.manual_seed(1)
    network = SmoothingNetwork(SMALL)
    training = Training(CONFIG, Teachers(), Processes(device=CPU), network, simplifier=network)
    assert training._levels is not None
    label = draw_batch().label
    before = training._levels.simplify(label)
    training.advance(iter([draw_batch(), draw_batch()]))
    torch.testing.assert_close(training._levels.simplify(label), before, rtol=0, atol=0)


def test_without_labels_of_levels_a_network_learns_at_its_own() -> None:
    def step(default_level: float, drawn: float) -> dict[str, torch.Tensor]:
        torch.manual_seed(1)
        network = SmoothingNetwork(dataclasses.replace(SMALL, default_level=default_level))
        config = dataclasses.replace(CONFIG, network=network.config, data=DataConfig())
        training = Training(config, Teachers(), Processes(device=CPU), network)
        batch = draw_batch()
        batch = batch._replace(level=torch.full_like(batch.level, drawn))
        training.advance(iter([batch]))
        return network.state_dict()

    low, high, other = step(0.25, 0.0), step(0.25, 1.0), step(0.75, 0.0)
    name = "descriptor.conv_in.weight"
    assert torch.equal(low[name], high[name])
    assert not torch.equal(low[name], other[name])


def test_frozen_statistics_stay_and_the_weights_learn() -> None:
    torch.manual_seed(1)
    network = SmoothingNetwork(SMALL)
    training = Training(CONFIG, Teachers(), Processes(device=CPU), network, simplifier=network)
    before = {name: value.clone() for name, value in training._network.state_dict().items()}
    training.advance(iter([draw_batch()]))
    after = training._network.state_dict()
    statistics = [name for name in before if "running" in name]
    assert statistics
    assert all(torch.equal(before[name], after[name]) for name in statistics)
    assert not torch.equal(before["finish.guide.weight"], after["finish.guide.weight"])
    assert isinstance(training._network, nn.Module)


def test_a_run_goes_on_with_its_own_simplifier(lab: Lab, config: Config, tmp_path: Path) -> None:
    torch.manual_seed(1)
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    save_network(first, SmoothingNetwork(SMALL))
    save_network(second, SmoothingNetwork(SMALL))
    quick = lab.changed(lab.quick(config), steps=2, checkpoint_every=1)
    quick = dataclasses.replace(
        quick, network=SMALL, data=dataclasses.replace(quick.data, level_passes=1)
    )

    def begin(name: str, simplifier: Path | None, stop_at: int = 2) -> object:
        train(
            lab.data,
            lab.folder / name,
            quick,
            device="cpu",
            initial=load_network(first),
            simplifier=simplifier,
            callback=lambda step, values: step == stop_at,
        )
        return lab.content(name)["best.safetensors"] if stop_at == 2 else None

    given = begin("given", first)
    assert given == begin("initial", None)  # whose simplifier is the network to start from
    assert given != begin("other", second)
    begin("stopped", first, stop_at=1)
    with pytest.raises(ConfigError, match=r"first\.safetensors as its simplifier"):
        train(None, lab.folder / "stopped", device="cpu", resume=True, simplifier=second)
    train(None, lab.folder / "stopped", device="cpu", resume=True)
    assert lab.content("stopped")["best.safetensors"] == given


@pytest.mark.parametrize("level", [True, False])
def test_levels_need_a_simplifier_and_a_network_that_takes_them(level: bool) -> None:
    network = dataclasses.replace(SMALL, level=level)
    simplifier = None if level else SmoothingNetwork(network)
    config = dataclasses.replace(CONFIG, network=network)
    with pytest.raises(ConfigError, match=r"level_passes needs a network with a level"):
        Training(config, Teachers(), Processes(device=CPU), simplifier=simplifier)


def test_a_simplifier_that_nothing_asks_or_of_unknown_colours_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "authors.pth"
    torch.save(SmoothingNetwork(NetworkConfig(width=4, blocks=1)).state_dict(), path)
    with pytest.raises(ConfigError, match=r"level_passes is 0, so nothing would ask it"):
        load_simplifier(path, DataConfig())
    with pytest.raises(ConfigError, match=r"authors\.pth does not say the order of its channels"):
        load_simplifier(path, DataConfig(level_passes=1))
