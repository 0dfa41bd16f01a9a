"""Killing, stopping, resuming and damage change nothing, and what does not fit is refused."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys

import pytest
from lab import Lab, changed, content, quick

from csgisnet.checkpoints.segmenters import save_segmenter
from csgisnet.errors import ConfigError
from csgisnet.networks.segmenter import Segmenter
from csgisnet.networks.smoothing import SmoothingNetwork
from csgisnet.training.config import Config
from csgisnet.training.train import train
from vocsmooth import settings
from vocsmooth.errors import InputError

# One process imports torch and forks a child for each try, which kills itself after some steps.
TRIES = """
import json, os, signal, sys
from pathlib import Path
import torch
from csgisnet.training import train as module
from csgisnet.training.config import Config
from csgisnet.training.step import Training
from vocsmooth import settings
torch.set_num_threads(1)
data, run, config, plan = sys.argv[1:]
config = settings.from_dict(Config, json.loads(config), "config")
advance = Training.advance

def run_until(steps_left) -> None:
    def advance_or_die(self, batches):
        nonlocal steps_left
        if steps_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        steps_left -= 1
        return advance(self, batches)
    Training.advance = advance_or_die
    resume = (Path(run) / "run.json").exists()
    module.train(Path(data), Path(run), config, device="cpu", resume=resume)

for steps in json.loads(plan):
    child = os.fork()
    if child == 0:
        run_until(steps)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status))
"""


def test_ten_kills_at_random_steps_leave_no_trace(lab: Lab, config: Config) -> None:
    config = changed(quick(config), steps=24, validate_every=12)
    lab.train(config, "whole")
    draws = random.Random(4)
    lives = [draws.randrange(4) for _ in range(10)]
    arguments = [lab.data, lab.folder / "killed"]
    texts = [json.dumps(settings.to_dict(config)), json.dumps([*lives, -1])]
    command = [sys.executable, "-c", TRIES, *map(str, arguments), *texts]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    codes = [int(line) for line in done.stdout.split()]
    assert codes == [-signal.SIGKILL] * 10 + [0]
    assert content(lab.folder / "killed") == content(lab.folder / "whole")


def test_sigterm_saves_and_the_run_goes_on_from_there(lab: Lab, config: Config) -> None:
    config = quick(config)
    lab.train(config, "whole")

    def stop_at_step_3(line: str) -> None:
        if line.startswith("step  3/"):
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    summary = train(
        lab.data,
        lab.folder / "run",
        config,
        device="cpu",
        segmenter=lab.teacher,
        report=stop_at_step_3,
    )
    assert (summary.finished, summary.steps) == (False, 4)
    assert signal.getsignal(signal.SIGTERM) == before
    assert lab.train(None, resume=True).finished
    for name, value in content(lab.folder / "whole").items():
        if name != "metrics":
            assert content(lab.folder / "run")[name] == value, name


def test_a_truncated_state_is_refused_and_the_one_before_used(lab: Lab, config: Config) -> None:
    lab.train(quick(config), "whole")
    lab.train(quick(config), "run")
    newest = lab.folder / "run" / "state-000000012.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    lab.lines.clear()
    lab.train(None, resume=True)
    assert "state-000000012.pt is damaged" in lab.lines[0]
    assert "Going back to state-000000010.pt" in lab.lines[0]
    assert content(lab.folder / "run") == content(lab.folder / "whole")


def test_a_folder_in_use_is_refused_without_resume(lab: Lab, config: Config) -> None:
    (lab.folder / "run").mkdir()
    (lab.folder / "run" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds other files.*--resume"):
        lab.train(config)
    with pytest.raises(InputError, match="does not hold a run to resume"):
        lab.train(config, resume=True)
    assert [p.name for p in (lab.folder / "run").iterdir()] == ["notes.txt"]


def test_a_run_killed_while_it_began_can_begin_again(lab: Lab, config: Config) -> None:
    for name in ("initial.safetensors", ".run.json.host.1-2.tmp"):
        (lab.folder / "run").mkdir(exist_ok=True)
        (lab.folder / "run" / name).write_text("half")
    assert lab.train(changed(quick(config), steps=1)).finished
    assert lab.train(None, resume=True).finished


def test_resuming_with_other_settings_names_them(lab: Lab, config: Config) -> None:
    lab.train(changed(config, steps=2))
    with pytest.raises(ConfigError, match=r"run\.steps was 2, given 12"):
        lab.train(config, resume=True)


def test_a_run_knows_what_it_learns_from(lab: Lab, config: Config) -> None:
    lab.train(changed(config, steps=3), "whole")
    killed = lab.folder / "killed"  # before its first state
    killed.mkdir()
    shutil.copy(lab.folder / "whole" / "run.json", killed)
    train(None, killed, device="cpu", resume=True, report=lab.lines.append)
    assert content(killed) == content(lab.folder / "whole")


@pytest.mark.parametrize("name", ["data", "segmenter", "features"])
def test_resuming_with_another_source_is_refused(name: str, lab: Lab, config: Config) -> None:
    lab.train(changed(config, steps=1))
    other = lab.folder / "other"
    if name == "data":  # of the same recipe: only the bytes of its shards differ
        shutil.copytree(lab.data, other)
        index = json.loads((other / "index.json").read_text())
        index["shards"][0]["sha256"] = 64 * "0"
        (other / "index.json").write_text(json.dumps(index))
    else:
        save_segmenter(other, Segmenter(config.segmenter.network))
    given = {"data_dir": None, name + "_dir" * (name == "data"): other}
    with pytest.raises(ConfigError, match=f"{other} is another. Leave out --{name} or give"):
        train(**given, run_dir=lab.folder / "run", device="cpu", resume=True)  # type: ignore[arg-type]


def test_a_copy_of_a_source_is_the_same(lab: Lab, config: Config) -> None:
    lab.train(changed(config, steps=2))
    data, teacher = shutil.copytree(lab.data, lab.folder / "d"), lab.folder / "t"
    shutil.copy(lab.teacher, teacher)
    assert Lab(data, teacher, lab.folder).train(None, resume=True).finished


def test_runs_that_did_not_note_their_sources_can_be_resumed(lab: Lab, config: Config) -> None:
    lab.train(changed(config, steps=2))
    path = lab.folder / "run" / "run.json"
    record = json.loads(path.read_text())
    del record["sources"]
    path.write_text(json.dumps(record))
    assert lab.train(None, resume=True).finished
    with pytest.raises(ConfigError, match="give one with --data"):
        train(None, lab.folder / "run", device="cpu", resume=True)


def test_a_run_killed_before_its_first_state_still_begins_with_its_weights(
    lab: Lab, config: Config
) -> None:
    config, given = quick(config), SmoothingNetwork(config.network)
    lab.train(config, "whole", initial=given)
    killed = lab.folder / "killed"
    killed.mkdir()
    for name in ("run.json", "initial.safetensors"):
        shutil.copy(lab.folder / "whole" / name, killed)
    lab.train(None, "killed", resume=True)
    assert content(killed) == content(lab.folder / "whole")
    with pytest.raises(InputError, match="continues from its own weights"):
        lab.train(None, "killed", resume=True, initial=given)
