"""Resuming: killing, stopping and damage change nothing."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from csgisnet.networks.smoothing import SmoothingNetwork
from csgisnet.training.config import Config
from csgisnet.training.train import train
from vocsmooth import settings
from vocsmooth.errors import InputError

if TYPE_CHECKING:
    from tests.csgisnet.training.conftest import Lab

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
    config = lab.changed(lab.quick(config), steps=24, validate_every=12)
    lab.train(config, "whole")
    draws = random.Random(4)
    lives = [draws.randrange(4) for _ in range(10)]
    arguments = [lab.data, lab.folder / "killed"]
    texts = [json.dumps(settings.to_dict(config)), json.dumps([*lives, -1])]
    command = [sys.executable, "-c", TRIES, *map(str, arguments), *texts]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    codes = [int(line) for line in done.stdout.split()]
    assert codes == [-signal.SIGKILL] * 10 + [0]
    assert lab.content("killed") == lab.content("whole")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_sigterm_saves_and_the_run_goes_on_from_there(
    lab: Lab, config: Config, precision: str
) -> None:
    config = lab.changed(lab.quick(config), precision=precision)
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
    for name, value in lab.content("whole").items():
        if name != "metrics":
            assert lab.content("run")[name] == value, name


def test_a_truncated_state_is_refused_and_the_one_before_used(lab: Lab, config: Config) -> None:
    lab.train(lab.quick(config), "whole")
    lab.train(lab.quick(config), "run")
    newest = lab.folder / "run" / "state-000000012.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    lab.lines.clear()
    lab.train(None, resume=True)
    assert "state-000000012.pt is damaged" in lab.lines[0]
    assert "Going back to state-000000010.pt" in lab.lines[0]
    assert lab.content("run") == lab.content("whole")


def test_a_run_killed_while_it_began_can_begin_again(lab: Lab, config: Config) -> None:
    for name in ("initial.safetensors", ".run.json.host.1-2.tmp"):
        (lab.folder / "run").mkdir(exist_ok=True)
        (lab.folder / "run" / name).write_text("half")
    assert lab.train(lab.changed(lab.quick(config), steps=1)).finished
    assert lab.train(None, resume=True).finished


def test_a_run_killed_before_its_first_state_still_begins_with_its_weights(
    lab: Lab, config: Config
) -> None:
    config, given = lab.quick(config), SmoothingNetwork(config.network)
    lab.train(config, "whole", initial=given)
    killed = lab.folder / "killed"
    killed.mkdir()
    for name in ("run.json", "initial.safetensors"):
        shutil.copy(lab.folder / "whole" / name, killed)
    lab.train(None, "killed", resume=True)
    assert lab.content("killed") == lab.content("whole")
    with pytest.raises(InputError, match="continues from its own weights"):
        lab.train(None, "killed", resume=True, initial=given)
