"""Photographs in a batch: at levels above 0, without edges, their label made by a network."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from csgisnet.errors import ConfigError
from csgisnet.networks.smoothing import SmoothingNetwork
from csgisnet.objective.losses import UNKNOWN
from csgisnet.training.augment import AugmentConfig
from csgisnet.training.config import Config
from csgisnet.training.data import BatchSource, DataConfig
from csgisnet.training.distributed import Processes
from csgisnet.training.photographs import MixedSource, batch_source
from csgisnet.training.runs import Setup
from csgisnet.training.sources import Sources
from csgisnet.training.train import train
from tests.csgisnet.training.test_levels import SMALL
from vocsmooth.shards import open_dataset

if TYPE_CHECKING:
    from tests.csgisnet.training.conftest import Lab

CPU = torch.device("cpu")
MIXED = DataConfig(patch=24, batch_size=3, photographs=1, level_passes=1)


def setup_of(
    folder: Path,
    data: DataConfig = MIXED,
    initial: SmoothingNetwork | None = None,
    *,
    photographs: bool = True,
) -> Setup:
    config = Config(network=SMALL, data=data, augment=AugmentConfig(permute=True, invert=True))
    return Setup(
        config=config,
        sources=Sources(data=folder, photographs=folder if photographs else None),
        dataset=open_dataset(folder),
        initial=initial,
    )


def test_the_last_patches_are_of_photographs_in_their_own_colours(data_dir: Path) -> None:
    source = batch_source(setup_of(data_dir), Processes(device=CPU))
    assert isinstance(source, MixedSource)
    upright = AugmentConfig()
    alone = BatchSource(
        open_dataset(data_dir),
        dataclasses.replace(MIXED, batch_size=1, photographs=0),
        upright,
        seed=Config().seed,
        device=CPU,
    )
    for batch, photograph in zip(source.batches(2, 5), alone.batches(2, 5), strict=True):
        assert batch.input.shape == (3, 3, 24, 24)
        assert torch.equal(batch.input[2:], photograph.input)
        assert torch.equal(batch.label[2:], photograph.label)
        assert batch.level[2] == 1
        assert (batch.edge[2] == UNKNOWN).all()
        assert (batch.edge[:2] >= 0).all()


def test_a_network_with_a_level_smooths_photographs_first(data_dir: Path) -> None:
    torch.manual_seed(1)
    network = SmoothingNetwork(SMALL).eval()
    plain = batch_source(setup_of(data_dir), Processes(device=CPU))
    first = batch_source(setup_of(data_dir, initial=network), Processes(device=CPU))
    before, after = next(plain.batches(0, 1)), next(first.batches(0, 1))
    assert before.level[2] == 1
    with torch.no_grad():
        expected = network(before.label[2:], after.level[2:]).result.clamp(0, 1)
    torch.testing.assert_close(after.label[2:], expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(after.input, before.input)
    assert torch.equal(after.label[:2], before.label[:2])


def test_a_network_with_a_level_gets_photographs_at_all_levels_but_0(data_dir: Path) -> None:
    network = SmoothingNetwork(SMALL).eval()
    source = batch_source(setup_of(data_dir, initial=network), Processes(device=CPU))
    levels = torch.cat([batch.level[2:] for batch in source.batches(0, 60)])
    assert levels.min() > 0
    assert 0.15 < (levels == 1).float().mean() < 0.55  # a third of them
    assert ((levels > 0.2) & (levels < 0.8)).any()


def test_up_to_the_level_of_one_pass_photographs_are_smoothed_at_level_0_first(
    data_dir: Path,
) -> None:
    torch.manual_seed(1)
    network = SmoothingNetwork(SMALL).eval()
    data = dataclasses.replace(MIXED, one_pass_level=0.6)
    source = batch_source(setup_of(data_dir, data, network), Processes(device=CPU))
    plain = batch_source(setup_of(data_dir), Processes(device=CPU))
    below = 0
    for batch, photograph in zip(source.batches(0, 20), plain.batches(0, 20), strict=True):
        level = batch.level[2:]
        first = torch.zeros_like(level) if level <= 0.6 else (level - 0.6) / 0.4
        below += int(level < 0.6)
        with torch.no_grad():
            expected = network(photograph.label[2:], first).result.clamp(0, 1)
        torch.testing.assert_close(batch.label[2:], expected, rtol=1e-4, atol=1e-5)
    assert 3 < below < 17


def test_processes_share_both_parts_of_a_batch(data_dir: Path) -> None:
    data = dataclasses.replace(MIXED, batch_size=6, photographs=2)
    whole = next(batch_source(setup_of(data_dir, data), Processes(device=CPU)).batches(3, 4))
    shares = [
        next(
            batch_source(
                setup_of(data_dir, data), Processes(device=CPU, rank=rank, world=2)
            ).batches(3, 4)
        )
        for rank in (0, 1)
    ]
    for part, rows in ((slice(0, 2), slice(0, 4)), (slice(2, 3), slice(4, 6))):
        joined = torch.cat([share.input[part] for share in shares])
        assert torch.equal(joined, whole.input[rows])


@pytest.mark.parametrize(
    ("data", "photographs", "message"),
    [
        (MIXED, False, r"data\.photographs is 1, and no dataset of photographs is given"),
        (dataclasses.replace(MIXED, photographs=0), True, r"but data\.photographs is 0"),
        (dataclasses.replace(MIXED, level_passes=0), True, r"needs data\.level_passes"),
    ],
)
def test_photographs_that_do_not_go_with_the_settings_are_refused(
    data: DataConfig, photographs: bool, message: str, data_dir: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        batch_source(setup_of(data_dir, data, photographs=photographs), Processes(device=CPU))


def test_a_batch_is_not_of_photographs_alone() -> None:
    with pytest.raises(ValueError, match="photographs must be less than batch_size 2, got 2"):
        DataConfig(batch_size=2, photographs=2)


def test_a_run_goes_on_with_its_photographs(lab: Lab, config: Config) -> None:
    quick = lab.changed(lab.quick(config), steps=2, checkpoint_every=1)
    data = dataclasses.replace(quick.data, level_passes=1, photographs=1)
    quick = dataclasses.replace(quick, network=SMALL, data=data)

    def begin(name: str, stop_at: int) -> None:
        torch.manual_seed(1)
        train(
            lab.data,
            lab.folder / name,
            quick,
            device="cpu",
            initial=SmoothingNetwork(SMALL),
            photographs=lab.data,
            callback=lambda step, _: step == stop_at,
        )

    begin("whole", 2)
    begin("stopped", 1)
    train(None, lab.folder / "stopped", device="cpu", resume=True)
    assert lab.content("stopped") == lab.content("whole")
