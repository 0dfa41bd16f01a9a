"""A network of the caller's own in `train`: whole runs, resumed ones, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from csgisnet.checkpoints.networks import load_network
from csgisnet.checkpoints.own import load_module, save_module
from csgisnet.errors import CheckpointError, ConfigError
from csgisnet.networks.smoothing import Smoothing, SmoothingNetwork
from csgisnet.training.config import Config
from csgisnet.training.data import DataConfig
from csgisnet.training.hooks import Own, own_network
from csgisnet.training.train import Summary, train

if TYPE_CHECKING:
    from tests.csgisnet.training.conftest import Lab


class TinyUNet(nn.Module):
    """One step down and up, with a skip and batch normalisation, for images of any size."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.down = nn.Conv2d(3, 8, 3, padding=1)
            self.norm = nn.BatchNorm2d(8)
            self.deep = nn.Conv2d(8, 8, 3, padding=1)
            self.up = nn.Conv2d(8 + 3, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        x = functional.max_pool2d(self.norm(self.down(image)).relu(), 2, ceil_mode=True)
        x = functional.interpolate(self.deep(x).relu(), size=image.shape[-2:])
        out: Tensor = image + self.up(torch.cat([x, image], dim=1))
        return out


class Complete(TinyUNet):
    """Returns what our own network returns."""

    def forward(self, image: Tensor) -> Smoothing:  # type: ignore[override]
        result = super().forward(image)
        return Smoothing(result, result, result - image, result[:, :1])


@pytest.fixture
def images_only(lab: Lab, config: Config) -> Config:
    """Terms that need no teacher, no edges and no coarse image."""
    quick = lab.quick(config)
    return dataclasses.replace(
        quick, losses=dataclasses.replace(quick.losses, edge=0.0, coarse=0.0)
    )


def run(lab: Lab, config: Config | None, name: str, **options: Any) -> Summary:
    return train(
        lab.data, lab.folder / name, config, device="cpu", report=lab.lines.append, **options
    )


def test_a_small_unet_learns_and_its_best_weights_load_into_it(
    lab: Lab, images_only: Config
) -> None:
    network = TinyUNet()
    config = lab.changed(images_only, steps=36)
    summary = run(lab, config, "run", network=network)
    assert summary.finished
    losses = [line["loss"] for line in lab.records("run") if line["kind"] == "train"]
    assert losses[-1] < 0.8 * losses[0]
    best = load_module(lab.folder / "run/best.safetensors", TinyUNet(seed=5))
    assert not torch.equal(best.up.weight, TinyUNet().up.weight)
    image = torch.rand(1, 3, 33, 47)
    assert best(image).shape == image.shape
    with pytest.raises(CheckpointError, match="holds the weights of a module, expected a network"):
        load_network(lab.folder / "run/best.safetensors")
    with pytest.raises(CheckpointError, match="does not fit a Conv2d"):
        load_module(lab.folder / "run/best.safetensors", nn.Conv2d(3, 3, 1))


def test_a_stopped_run_resumes_to_the_same_bits_and_only_with_the_network(
    lab: Lab, images_only: Config
) -> None:
    run(lab, images_only, "whole", network=TinyUNet())
    stopped = run(lab, images_only, "run", network=TinyUNet(), callback=lambda step, _: step == 6)
    assert (stopped.finished, stopped.steps) == (False, 6)
    with pytest.raises(ConfigError, match="began with a network of the caller's own, given noth"):
        run(lab, None, "run", resume=True)
    other = nn.Conv2d(3, 3, 1)
    with pytest.raises(CheckpointError, match="does not fit a Conv2d"):
        run(lab, None, "run", resume=True, network=other)
    # The weights it is made with do not matter: those of the run take their place.
    assert run(lab, None, "run", resume=True, network=TinyUNet(seed=7)).finished
    assert lab.content("run") == lab.content("whole")


def test_a_run_without_a_state_begins_again_with_its_first_weights(
    lab: Lab, images_only: Config
) -> None:
    run(lab, images_only, "whole", network=TinyUNet())
    run(lab, images_only, "run", network=TinyUNet())
    for path in (lab.folder / "run").iterdir():
        if path.is_file() and path.name not in ("run.json", "initial.safetensors"):
            path.unlink()
    run(lab, None, "run", resume=True, network=TinyUNet(seed=7))
    assert lab.content("run") == lab.content("whole")


def test_a_network_that_returns_all_takes_all_terms(lab: Lab, config: Config) -> None:
    run(lab, lab.changed(lab.quick(config), steps=3), "run", network=Complete())
    line = lab.records("run")[0]
    assert line.keys() >= {"l1", "structure", "edge"}


def test_a_loss_of_ones_own_may_judge_images_only(lab: Lab, config: Config) -> None:
    def squares(smoothing: Smoothing, batch: Any) -> Tensor:
        error: Tensor = (smoothing.result - batch.label).square().mean()
        return error

    assert run(lab, lab.changed(config, steps=3), "run", network=TinyUNet(), loss=squares).finished


class Shared(TinyUNet):
    def __init__(self) -> None:
        super().__init__()
        self.again = self.deep


class Half(TinyUNet):
    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = super().forward(image)[..., ::2, :]
        return out


class Whole(TinyUNet):
    """Takes even sizes only."""

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = image + functional.interpolate(image[..., ::2, ::2], scale_factor=2.0)
        return out


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (TinyUNet(), r"images only, which is not enough for losses\.edge and losses\.coarse"),
        (Half(), r"but for an image \(1, 3, 33, 35\) its result is \(1, 3, 17, 35\)"),
        (Whole(), "but it fails on an image of 33 x 35 pixels .*have it pad its input"),
        (Shared(), "one weight under two names"),
        (nn.ReLU(), "has no weights to train"),
        (SmoothingNetwork, "of your own, got a type"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(
    lab: Lab, config: Config, network: Any, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        run(lab, config, "run", network=network)
    assert not (lab.folder / "run").exists()


def test_one_of_ours_is_given_as_initial(lab: Lab, config: Config) -> None:
    ours = SmoothingNetwork(config.network)
    with pytest.raises(ConfigError, match="to begin with is given as initial"):
        run(lab, config, "run", network=ours)
    with pytest.raises(ConfigError, match="but not both"):
        run(lab, config, "run", network=TinyUNet(), initial=ours)


class OnlyEighths(nn.Module):
    """A network that asserts the size of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        assert image.shape[-1] % 8 == 0, "sides must be multiples of 8"
        result: Tensor = self.layer(image)
        return result


def test_a_network_that_asserts_a_size_and_a_lazy_one_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"(?s)AssertionError: sides must be multiples of 8.*pad"):
        Own(network=own_network(OnlyEighths())).check(Config())
    levels = Config(data=DataConfig(level_passes=3))
    with pytest.raises(ConfigError, match="level_passes must be 0"):
        Own(network=own_network(OnlyEighths())).check(levels)
    with pytest.raises(ConfigError, match="lazy layers without sizes"):
        own_network(nn.LazyConv2d(3, 1))


class Masked(nn.Module):
    """A network with a mask of minus infinity, as attention has."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)
        self.register_buffer("mask", torch.full((2,), -torch.inf))


def test_masks_may_be_infinite_in_files_and_weights_may_not(tmp_path: Path) -> None:
    path, network = tmp_path / "net.safetensors", Masked()
    save_module(path, network)
    loaded = load_module(path, Masked())
    assert torch.equal(loaded.layer.weight, network.layer.weight)
    nn.init.constant_(network.layer.weight, torch.nan)
    save_module(path, network)
    with pytest.raises(CheckpointError, match=r"layer\.weight has values that are not finite"):
        load_module(path, Masked())
