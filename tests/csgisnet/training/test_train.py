"""Runs: what they leave behind, and that killing, stopping and damage change nothing."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from csgisnet.checkpoints.best import list_best
from csgisnet.checkpoints.format import load_weights
from csgisnet.checkpoints.networks import load_network
from csgisnet.checkpoints.segmenters import save_segmenter
from csgisnet.checkpoints.states import load_state
from csgisnet.errors import ConfigError, TrainingError
from csgisnet.networks.segmenter import Segmenter
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from csgisnet.prediction.smoother import Smoother
from csgisnet.training.config import Config, without_terms
from csgisnet.training.distributed import Processes
from csgisnet.training.train import Summary, train
from csgisnet.training.validate import choose_samples, score
from vocsmooth import settings
from vocsmooth.errors import InputError
from vocsmooth.shards.reader import open_dataset

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


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    """Bits depend on the number of threads; the children take one too."""
    torch.set_num_threads(1)


class Lab:
    """Runs of one configuration on the small dataset."""

    def __init__(self, data: Path, teacher: Path, folder: Path) -> None:
        self.data, self.teacher, self.folder = data, teacher, folder
        self.lines: list[str] = []

    def train(
        self,
        config: Config | None,
        name: str = "run",
        *,
        resume: bool = False,
        initial: SmoothingNetwork | None = None,
    ) -> Summary:
        return train(
            self.data,
            self.folder / name,
            config,
            device="cpu",
            resume=resume,
            segmenter=self.teacher,
            initial=initial,
            report=self.lines.append,
        )


@pytest.fixture
def lab(data_dir: Path, segmenter_file: Path, tmp_path: Path) -> Lab:
    return Lab(data_dir, segmenter_file, tmp_path)


def content(run: Path) -> dict[str, object]:
    """What must not depend on a run's history: weights, states, and records but for speeds."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("images_per_second", None)
    weights = {path.name: path.read_bytes() for path in run.glob("*.safetensors")}
    states = {path.name: flat(load_state(path)) for path in run.glob("*.pt")}
    return {"metrics": lines, **weights, **states}


def flat(state: object) -> object:
    """A state with the bytes of each tensor in the tensor's place."""
    if isinstance(state, Mapping):
        return {key: flat(value) for key, value in state.items()}
    if isinstance(state, list):
        return [flat(value) for value in state]
    if isinstance(state, torch.Tensor):
        return state.contiguous().numpy().tobytes()
    return state


def quick(config: Config) -> Config:
    """Without the terms that need teachers, which take most of the time."""
    return without_terms(config, ("contrast", "semantic"))


def changed(config: Config, **run: object) -> Config:
    return dataclasses.replace(config, run=dataclasses.replace(config.run, **run))  # type: ignore[arg-type]


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


def test_training_lowers_the_loss_and_the_average_follows(lab: Lab, config: Config) -> None:
    longer = changed(quick(config), steps=60, log_every=10, validate_every=60, checkpoint_every=60)
    summary = lab.train(longer)
    lines = (lab.folder / "run" / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines if '"train"' in line]
    assert losses[-1] < losses[0]
    assert summary.scores is not None
    assert summary.scores.psnr_result != summary.scores.psnr_input
    assert summary.best is not None
    split, alone = open_dataset(lab.data).split("val"), Processes(device=torch.device("cpu"))
    smoother = Smoother(load_network(summary.best), device="cpu")
    scores = score(smoother, split, choose_samples(split, 0), alone)
    assert scores.psnr_result == pytest.approx(summary.scores.psnr_result, abs=1e-9)


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
    with pytest.raises(InputError, match=r"not empty.*--resume"):
        lab.train(config)
    with pytest.raises(InputError, match="no run to resume"):
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


def test_a_run_goes_on_from_given_weights_and_their_size(lab: Lab, config: Config) -> None:
    torch.manual_seed(5)
    given = SmoothingNetwork(NetworkConfig(width=12, blocks=1, coarse_blocks=1, refine_blocks=1))
    before = {name: value.clone() for name, value in given.named_parameters()}
    still = dataclasses.replace(config.optimizer, lr=1e-9)
    config = changed(dataclasses.replace(quick(config), optimizer=still), steps=2)
    summary = lab.train(config, initial=given)
    assert summary.best is not None
    trained = load_network(summary.best)
    assert trained.config == given.config != config.network
    for name, value in trained.named_parameters():
        torch.testing.assert_close(value, before[name], rtol=0, atol=1e-8)


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
    with pytest.raises(InputError, match="goes on from its own weights"):
        lab.train(None, "killed", resume=True, initial=given)


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


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_batch(
    lab: Lab, config: Config
) -> None:
    wild = dataclasses.replace(
        changed(quick(config), log_every=1, checkpoint_every=1),
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
    """Without batch statistics two batches of 4 in one step would be one of 8."""
    config = quick(config)
    small = changed(config, steps=1, accumulate=2)
    lab.train(small)
    record = json.loads((lab.folder / "run" / "metrics.jsonl").read_text().splitlines()[0])
    single = changed(config, steps=2, log_every=1)
    frozen = dataclasses.replace(single, optimizer=dataclasses.replace(config.optimizer, lr=1e-30))
    lab.train(frozen, "frozen")
    lines = (lab.folder / "frozen" / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines if '"train"' in line]
    assert record["loss"] == pytest.approx(sum(losses) / 2, rel=1e-5)


def test_each_term_moves_the_weights(lab: Lab, config: Config) -> None:
    moved: dict[str, torch.Tensor] = {}
    for term in ("l1", "structure", "edge", "contrast", "semantic"):
        others = tuple(t for t in ("l1", "structure", "edge", "contrast", "semantic") if t != term)
        alone = changed(without_terms(config, others), steps=1, validate_every=1)
        summary = lab.train(alone, term)
        assert summary.best is not None
        tensors = load_weights(summary.best, "network").tensors
        moved[term] = tensors["descriptor.conv_in.weight"]
    fresh = lab.train(
        dataclasses.replace(
            changed(config, steps=1, validate_every=1),
            optimizer=dataclasses.replace(config.optimizer, lr=1e-30),
        ),
        "fresh",
    )
    assert fresh.best is not None
    start = load_weights(fresh.best, "network").tensors["descriptor.conv_in.weight"]
    for term, weights in moved.items():
        assert not torch.allclose(weights, start, atol=1e-7), term
