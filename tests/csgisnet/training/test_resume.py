"""Resuming: killing, stopping and damage change nothing."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from torch import Tensor

from csgisnet.errors import TrainingError
from csgisnet.networks.smoothing import SmoothingNetwork
from csgisnet.objective.losses import Batch
from csgisnet.training.config import Config
from csgisnet.training.progress import RunLog
from csgisnet.training.step import Training
from csgisnet.training.train import train
from vocsmooth import settings
from vocsmooth.errors import InputError
from vocsmooth.shards import windows

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


@pytest.mark.parametrize("when", ["before", "during"])
def test_a_signal_around_the_first_step_loses_nothing(
    lab: Lab, config: Config, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.train(config, "whole")
    advance = Training.advance

    def stop_and_advance(self: Training, batches: Iterator[Batch]) -> dict[str, Tensor]:
        os.kill(os.getpid(), signal.SIGTERM)
        return advance(self, batches)

    def stop(line: str) -> None:
        if line.startswith("warning"):  # of the teacher: all is loaded, and no step taken
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        if when == "during":
            patch.setattr(Training, "advance", stop_and_advance)
        summary = train(
            lab.data,
            lab.folder / "run",
            config,
            device="cpu",
            segmenter=lab.teacher,
            report=stop if when == "before" else lab.lines.append,
        )
    assert (summary.finished, summary.steps) == (False, 1)
    assert lab.train(None, resume=True).finished
    for name, value in lab.content("whole").items():
        if name != "metrics":  # it logged after step 1, too
            assert lab.content("run")[name] == value, name


# TensorBoard writes in a thread of its own, which dies of the full disk.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    ("share", "reason"),
    [(0.5, r"state-0.*4\.pt: "), (0, r"/run: File too large")],
    ids=["a state does not fit", "a line does not fit, and the system names no file"],
)
def test_a_full_disk_ends_the_run_and_leaves_what_was_saved(
    lab: Lab, config: Config, share: float, reason: str
) -> None:
    """From step 3 on, a file may grow no longer than a share of a state."""
    config = lab.quick(config)
    lab.train(config, "whole")
    size = (lab.folder / "whole" / "state-000000012.pt").stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_the_disk(line: str) -> None:
        if line.startswith("step  3/"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(size * share), limits[1]))

    try:
        with pytest.raises(TrainingError, match=rf"at step 4: .*{reason}.*--resume"):
            train(
                lab.data,
                lab.folder / "run",
                config,
                device="cpu",
                segmenter=lab.teacher,
                report=fill_the_disk,
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in (lab.folder / "run").glob("*state*")] == ["state-000000002.pt"]
    assert lab.train(None, resume=True).finished
    assert lab.content("run") == lab.content("whole")


@pytest.mark.parametrize("change", ["vanishes", "is built anew"])
def test_a_dataset_that_changes_ends_the_run_and_it_goes_on_with_the_old_one(
    lab: Lab, config: Config, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is mapped stays readable; here a process keeps a single shard open."""
    monkeypatch.setattr(windows, "_MOST_MAPPED", 1)
    config, data = lab.quick(config), Path(shutil.copytree(lab.data, lab.folder / "data"))
    lab.train(config, "whole")

    def spoil(line: str) -> None:
        if not line.startswith("step  3/"):
            return
        for shard in data.glob("train-*.h5"):
            if change == "is built anew":
                shutil.copy(data / "val-00000.h5", data / "new")
                (data / "new").replace(shard)
            else:
                shard.unlink()

    with pytest.raises(TrainingError, match=r"ended at step \d: .*train-0000\d\.h5.*--resume"):
        train(
            data,
            lab.folder / "run",
            config,
            device="cpu",
            segmenter=lab.teacher,
            report=spoil,
        )
    assert lab.train(None, resume=True).finished
    assert lab.content("run") == lab.content("whole")


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


@pytest.mark.parametrize(
    "line", [b"text", b"[]", b'{"a": 1}', b'{"step": "1"}', b"\xff", b"[" * 100_000]
)
def test_a_line_of_the_log_that_is_no_record_is_named(tmp_path: Path, line: bytes) -> None:
    log = tmp_path / "metrics.jsonl"
    log.write_bytes(b'{"step": 1, "loss": NaN}\n' + line + b"\n")
    with pytest.raises(TrainingError, match=r"metrics\.jsonl, line 2 is not a record of a run"):
        RunLog(tmp_path, step=1, config=Config())
    assert log.read_bytes().count(b"\n") == 2


def test_the_log_is_cut_after_the_last_whole_record_of_the_step(tmp_path: Path) -> None:
    first = b'{"step": 1, "loss": NaN}\n'
    (tmp_path / "metrics.jsonl").write_bytes(first + b'{"step": 2}\n{"st')
    RunLog(tmp_path, step=1, config=Config()).close()
    assert (tmp_path / "metrics.jsonl").read_bytes() == first
