"""The folder of a run: when one may begin there, and what a resumed one must agree with."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from typing import TYPE_CHECKING

import pytest
import torch
from helpers import content_of

from csgisnet.checkpoints.networks import load_network
from csgisnet.checkpoints.segmenters import save_segmenter
from csgisnet.errors import ConfigError
from csgisnet.networks.segmenter import Segmenter
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from csgisnet.training.config import Config
from csgisnet.training.runs import claim_run, new_run
from csgisnet.training.sources import Sources
from csgisnet.training.train import train
from vocsmooth.errors import InputError
from vocsmooth.shards.entries import TableEntry
from vocsmooth.shards.index import TABLE_NAME, index_files, read_index
from vocsmooth.shards.table import encode_table

if TYPE_CHECKING:
    from tests.csgisnet.training.conftest import Lab


def test_a_folder_in_use_is_refused_without_resume(lab: Lab, config: Config) -> None:
    (lab.folder / "run").mkdir()
    (lab.folder / "run" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds other files.*--resume"):
        lab.train(config)
    with pytest.raises(InputError, match="does not hold a run"):
        lab.train(config, resume=True)
    assert [p.name for p in (lab.folder / "run").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("resume", [False, True])
def test_one_process_at_a_time_trains_in_a_folder(lab: Lab, config: Config, resume: bool) -> None:
    config, folder = lab.changed(lab.quick(config), steps=1), lab.folder / "run"
    if resume:
        lab.train(config)
    with claim_run(folder):
        before = sorted(folder.rglob("*"))
        with pytest.raises(InputError, match=r"Process \d+ on .* is training in .*run\. Wait"):
            lab.train(config, resume=resume)
        assert sorted(folder.rglob("*")) == before
    assert lab.train(config, resume=resume).finished
    assert not list(folder.glob(".*.lock"))


def test_of_two_runs_that_begin_at_once_the_second_is_refused(lab: Lab, config: Config) -> None:
    sources = Sources(data=lab.data)
    first, second = (new_run(lab.folder / "run", sources, config, None) for _ in range(2))
    with claim_run(lab.folder / "run", first):
        pass
    before = content_of(lab.folder / "run")
    with (
        pytest.raises(InputError, match="holds other files"),
        claim_run(lab.folder / "run", second),
    ):
        pass
    assert content_of(lab.folder / "run") == before


def test_resuming_with_other_settings_names_them(lab: Lab, config: Config) -> None:
    lab.train(lab.changed(config, steps=2))
    with pytest.raises(ConfigError, match=r"run\.steps was 2, given 12"):
        lab.train(config, resume=True)


def test_a_run_knows_what_it_learns_from(lab: Lab, config: Config) -> None:
    lab.train(lab.changed(config, steps=3), "whole")
    killed = lab.folder / "killed"  # before its first state
    killed.mkdir()
    shutil.copy(lab.folder / "whole" / "run.json", killed)
    train(None, killed, device="cpu", resume=True, report=lab.lines.append)
    assert lab.content("killed") == lab.content("whole")


@pytest.mark.parametrize("name", ["data", "segmenter", "features"])
def test_resuming_with_another_source_is_refused(name: str, lab: Lab, config: Config) -> None:
    lab.train(lab.changed(config, steps=1))
    other = lab.folder / "other"
    if name == "data":  # of the same recipe: only the bytes of its shards differ
        shutil.copytree(lab.data, other)
        index = read_index(other)
        sha256 = index.columns.sha256.copy()
        sha256[0] ^= 1
        table = bytes(encode_table(dataclasses.replace(index.columns, sha256=sha256)))
        entry = TableEntry(bytes=len(table), sha256=hashlib.sha256(table).hexdigest())
        for file, content in index_files(dataclasses.replace(index, table=entry)).items():
            (other / file).write_bytes(table if file == TABLE_NAME else content)
    else:
        save_segmenter(other, Segmenter(config.segmenter.network))
    given = {"data_dir": None, name + "_dir" * (name == "data"): other}
    with pytest.raises(ConfigError, match=f"{other} is another. Leave out --{name} or give"):
        train(**given, run_dir=lab.folder / "run", device="cpu", resume=True)  # type: ignore[arg-type]


def test_a_copy_of_a_source_is_the_same(lab: Lab, config: Config) -> None:
    lab.train(lab.changed(config, steps=2))
    data, teacher = shutil.copytree(lab.data, lab.folder / "d"), lab.folder / "t"
    shutil.copy(lab.teacher, teacher)
    assert type(lab)(data, teacher, lab.folder).train(None, resume=True).finished


def test_runs_that_did_not_note_their_sources_can_be_resumed(lab: Lab, config: Config) -> None:
    lab.train(lab.changed(config, steps=2))
    path = lab.folder / "run" / "run.json"
    record = json.loads(path.read_text())
    del record["sources"]
    path.write_text(json.dumps(record))
    assert lab.train(None, resume=True).finished
    with pytest.raises(ConfigError, match="give one with --data"):
        train(None, lab.folder / "run", device="cpu", resume=True)


def test_a_run_goes_on_from_given_weights_and_their_size(lab: Lab, config: Config) -> None:
    torch.manual_seed(5)
    given = SmoothingNetwork(NetworkConfig(width=12, blocks=1, coarse_blocks=1, refine_blocks=1))
    before = {name: value.clone() for name, value in given.named_parameters()}
    still = dataclasses.replace(config.optimizer, lr=1e-9)
    config = lab.changed(dataclasses.replace(lab.quick(config), optimizer=still), steps=2)
    summary = lab.train(config, initial=given)
    assert summary.best is not None
    trained = load_network(summary.best)
    assert trained.config == given.config != config.network
    for name, value in trained.named_parameters():
        torch.testing.assert_close(value, before[name], rtol=0, atol=1e-8)


def test_given_weights_grow_to_the_size_of_the_settings(lab: Lab, config: Config) -> None:
    given = SmoothingNetwork(NetworkConfig(width=12, blocks=1, coarse_blocks=1, refine_blocks=1))
    wanted = NetworkConfig(width=24, blocks=2, coarse_blocks=0, refine_blocks=1, shuffle=2)
    config = dataclasses.replace(lab.changed(lab.quick(config), steps=3, grow=True), network=wanted)
    lab.train(lab.changed(config, steps=2), initial=given)
    grown = NetworkConfig(width=24, blocks=2, coarse_blocks=1, refine_blocks=1)
    assert load_network(lab.folder / "run" / "initial.safetensors").config == grown
    assert lab.train(None, resume=True).finished
    assert load_network(lab.folder / "run" / "best.safetensors").config == grown
