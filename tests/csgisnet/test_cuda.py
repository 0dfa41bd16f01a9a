"""What a CUDA device computes is what the CPU computes; see `make gpu`.

`--accelerator cpu` tries these tests on a machine without such a device.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from processes import free_port
from torch import Tensor

import csgisnet
from csgisnet.checkpoints.segmenters import load_segmenter
from csgisnet.device import Precision, use_precision
from csgisnet.networks.features import SegmenterFeatures, VggFeatures
from csgisnet.networks.smoothing import COMPACT, Smoothing, SmoothingNetwork
from csgisnet.objective.config import TERMS, LossConfig
from csgisnet.objective.losses import Batch, Teachers, total_loss
from csgisnet.training.config import Config, without_terms
from csgisnet.training.data import BatchSource
from csgisnet.training.distributed import Processes
from csgisnet.training.step import Training
from csgisnet.training.train import train
from vocsmooth import settings
from vocsmooth.shards.reader import open_dataset

pytestmark = pytest.mark.cuda

CPU = torch.device("cpu")


@pytest.fixture
def device(request: pytest.FixtureRequest) -> torch.device:
    """The device to compare with the CPU."""
    name: str = request.config.getoption("accelerator")
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    return torch.device(name)


@pytest.fixture
def cuda(device: torch.device) -> torch.device:
    """The device, for tests that mean nothing elsewhere."""
    if device.type != "cuda":
        pytest.skip("needs a CUDA device")
    return device


def picture(height: int, width: int) -> NDArray[np.float32]:
    """Two areas under noise."""
    rng = np.random.default_rng(2)
    image = np.full((height, width, 3), 0.3, np.float32)
    image[height // 3 :, width // 4 :] = 0.7
    return (image + rng.normal(0, 0.1, image.shape)).clip(0, 1).astype(np.float32)


def batch_on(device: torch.device, *, side: int = 64) -> Batch:
    """The same batch on every device."""
    generator = torch.Generator().manual_seed(5)

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator)

    images = (4, 3, side, side)
    mask = torch.randint(0, 21, (4, side, side), generator=generator)
    edge = (draw(4, 1, side, side) > 0.9).float()
    batch = Batch(draw(*images), draw(*images), edge, mask, draw(4, 3, 3, side, side), draw(4))
    return Batch(*(m.to(device) for m in batch))


def distance(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference, relative to that of what is expected."""
    expected = expected.cpu()
    return float((found.cpu() - expected).norm() / expected.norm().clamp(min=1e-12))


@pytest.mark.parametrize(
    ("precision", "largest"), [("float32", 2e-5), ("tf32", 4e-3), ("bfloat16", 2e-2)]
)
@pytest.mark.parametrize("memory", [1, 1 << 30], ids=["tiles", "whole"])
def test_a_prediction_is_that_of_the_cpu(
    device: torch.device, precision: Precision, largest: float, memory: int
) -> None:
    if precision == "tf32" and device.type != "cuda":
        pytest.skip("only CUDA devices have it")
    image = picture(200, 301)
    expected = csgisnet.load(device="cpu", precision="float32").smooth(image)
    smoother = csgisnet.load(device=str(device), precision=precision, memory=memory)
    assert np.abs(smoother.smooth(image) - expected).max() <= largest


def test_tiles_are_halved_until_they_fit(cuda: torch.device) -> None:
    image = picture(1500, 2000)
    whole = csgisnet.load(device="cuda", precision="float32", memory=16 << 30)
    expected = whole.smooth(image)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(cuda).total_memory
    scarce = csgisnet.load(device="cuda", precision="float32", memory=16 << 30)
    torch.cuda.set_per_process_memory_fraction((512 << 20) / total)
    try:
        found = scarce.smooth(image)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert scarce.pixels < image.shape[0] * image.shape[1]
    np.testing.assert_allclose(found, expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("extractor", ["segmenter", "vgg"])
@pytest.mark.parametrize("form", ["ratio", "triplet"])
@pytest.mark.parametrize("term", TERMS)
def test_the_gradient_of_every_term_is_that_of_the_cpu(
    device: torch.device,
    segmenter_file: Path,
    term: str,
    form: Literal["ratio", "triplet"],
    extractor: str,
) -> None:
    weights: dict[str, Any] = {**dict.fromkeys(TERMS, 0.0), term: 1.0}
    config = LossConfig(**weights, contrast_form=form)
    torch.manual_seed(1)
    features = VggFeatures() if extractor == "vgg" else None
    network = SmoothingNetwork(COMPACT).eval()
    with torch.no_grad():
        predicted = network(batch_on(CPU).input)
    outcomes = []
    for where in (CPU, device):
        segmenter = load_segmenter(segmenter_file)
        judge = features or SegmenterFeatures(segmenter)
        average = copy.deepcopy(network)
        teachers = Teachers(segmenter=segmenter, features=judge, average=average).to(where)
        maps = Smoothing(*(m.to(where, copy=True).requires_grad_() for m in predicted))
        with use_precision("float32", where):
            loss, _ = total_loss(maps, batch_on(where), teachers, config)
            torch.autograd.backward(loss)
        gradients = [m.grad for m in (maps.result, maps.coarse, maps.edge)]
        outcomes.append([loss.detach(), *(g.clone() for g in gradients if g is not None)])
    assert len(outcomes[0]) == len(outcomes[1]) > 1
    for expected, found in zip(*outcomes, strict=True):
        assert distance(found, expected) < 2e-3


@pytest.mark.parametrize(
    ("precision", "largest"), [("float32", 2e-3), ("tf32", 1e-2), ("bfloat16", 5e-2)]
)
def test_steps_are_those_of_the_cpu(
    device: torch.device, config: Config, segmenter_file: Path, precision: Precision, largest: float
) -> None:
    if precision == "tf32" and device.type != "cuda":
        pytest.skip("only CUDA devices have it")
    curves = []
    sides: tuple[tuple[torch.device, Precision], ...] = ((CPU, "float32"), (device, precision))
    for where, chosen in sides:
        run = dataclasses.replace(config.run, precision=chosen)
        training = training_on(where, dataclasses.replace(config, run=run), segmenter_file)
        taken = [training.advance(iter([batch_on(where)])) for _ in range(4)]
        curves.append([float(values["loss"]) for values in taken])
    assert curves[1] == pytest.approx(curves[0], rel=largest)


def training_on(device: torch.device, config: Config, segmenter_file: Path) -> Training:
    """A training whose teachers share a backbone."""
    segmenter = load_segmenter(segmenter_file)
    teachers = Teachers(segmenter=segmenter, features=SegmenterFeatures(segmenter))
    return Training(config, teachers.to(device), Processes(device=device))


def test_a_compiled_step_is_that_of_an_ordinary_one(
    cuda: torch.device, config: Config, segmenter_file: Path
) -> None:
    curves = []
    for compiled in (False, True):
        run = dataclasses.replace(config.run, compile=compiled)
        training = training_on(cuda, dataclasses.replace(config, run=run), segmenter_file)
        taken = [training.advance(iter([batch_on(cuda)])) for _ in range(4)]
        curves.append([float(values["loss"]) for values in taken])
    assert curves[1] == pytest.approx(curves[0], rel=2e-3)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_the_host_never_waits_for_the_device(
    cuda: torch.device,
    config: Config,
    data_dir: Path,
    segmenter_file: Path,
    kind: Literal["adamw", "muon"],
) -> None:
    config = dataclasses.replace(
        config,
        augment=dataclasses.replace(config.augment, max_angle=10.0, contrast=0.1),
        optimizer=dataclasses.replace(config.optimizer, kind=kind),
    )
    training = training_on(cuda, config, segmenter_file)
    dataset = open_dataset(data_dir)
    source = BatchSource(dataset, config.data, config.augment, seed=1, device=cuda)
    batches = source.batches(0, 6)
    for _ in range(3):
        training.advance(batches)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            training.advance(batches)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(
    device: torch.device, config: Config, data_dir: Path, segmenter_file: Path, tmp_path: Path
) -> None:
    def stop_at_step_3(line: str) -> None:
        if line.startswith("step  3/"):
            os.kill(os.getpid(), signal.SIGTERM)

    given: dict[str, Any] = {"device": str(device), "segmenter": segmenter_file}
    train(data_dir, tmp_path / "whole", config, **given)
    stopped = train(data_dir, tmp_path / "run", config, report=stop_at_step_3, **given)
    assert not stopped.finished
    assert train(None, tmp_path / "run", resume=True, **given).finished
    curves = [losses_of(tmp_path / name)[-3:] for name in ("whole", "run")]
    assert curves[1] == pytest.approx(curves[0], rel=5e-3)


def losses_of(run: Path) -> list[float]:
    """The loss of each line of a run's log."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if line["kind"] == "train"]


RANK = """
import json, sys
from pathlib import Path
from csgisnet.training.config import Config
from csgisnet.training.train import train
from vocsmooth import settings
data, run, config, device = sys.argv[1:]
config = settings.from_dict(Config, json.loads(config), "config")
train(Path(data), Path(run), config, device=device)
"""


def test_two_devices_learn_what_one_learns(
    device: torch.device, config: Config, data_dir: Path, tmp_path: Path
) -> None:
    if device.type == "cuda" and torch.cuda.device_count() < 2:
        pytest.skip("needs two CUDA devices")
    config = without_terms(config, ("contrast", "semantic"))
    train(data_dir, tmp_path / "one", config, device=str(device))
    text = json.dumps(settings.to_dict(config))
    command = [sys.executable, "-c", RANK, str(data_dir), str(tmp_path / "two"), text, device.type]
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    ranks = [
        subprocess.Popen(command, env={**os.environ, **group, "RANK": n, "LOCAL_RANK": n})
        for n in ("0", "1")
    ]
    assert [rank.wait(timeout=120) for rank in ranks] == [0, 0]
    assert losses_of(tmp_path / "two") == pytest.approx(losses_of(tmp_path / "one"), rel=5e-3)
