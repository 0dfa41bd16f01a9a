"""Two processes learn what one learns from the same batches; half a group is one error."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import free_port

from csgisnet.checkpoints.best import BEST_FILE
from csgisnet.checkpoints.networks import load_network
from csgisnet.checkpoints.segmenters import load_segmenter
from csgisnet.device import Precision, bfloat16_instructions
from csgisnet.errors import ConfigError
from csgisnet.networks.symmetry import is_symmetric
from csgisnet.training.config import Config, without_terms
from csgisnet.training.distributed import join_processes
from csgisnet.training.runs import RUN_FILE
from csgisnet.training.train import train
from vocsmooth import settings

# Also tells which threads of the group of processes (gloo's) have not ended with it.
TRAIN = """
import json, sys
from pathlib import Path
import torch
from csgisnet.training.config import Config
from csgisnet.training.train import train
from vocsmooth import settings
torch.set_num_threads(1)
data, run, config = sys.argv[1:]
summary = train(data, run, settings.from_dict(Config, json.loads(config), "config"), device="cpu")
threads = [file.read_text().strip() for file in Path("/proc/self/task").glob("*/comm")]
left = [name for name in threads if "gloo" in name]
print(json.dumps({"leads": summary.leads, "left": left}))
"""

# Only the first process has a processor that multiplies bfloat16.
TRAIN_UNLIKE = """
import os
import torch
torch.cpu.get_capabilities = lambda: {"amx_bf16": os.environ["RANK"] == "0"}
"""

# Also tells which pictures each step was given.
TRAIN_SEGMENTER = """
import json, sys
import torch
from csgisnet.training import train_segmenter as module
from csgisnet.training.config import Config
from vocsmooth import settings
torch.set_num_threads(1)
mix, seen = module._mixed_images, []
def mix_and_note(batch):
    seen.append([float(picture.sum()) for picture in batch.input])
    return mix(batch)
module._mixed_images = mix_and_note
data, out, config = sys.argv[1:]
config = settings.from_dict(Config, json.loads(config), "config")
summary = module.train_segmenter(data, out, config, device="cpu")
print(json.dumps({"leads": summary.leads, "mean_iou": summary.mean_iou, "seen": seen}))
"""

GROUP = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


def run_processes(
    count: int, script: str, data: Path, out: Path, config: Config
) -> tuple[list[dict[str, Any]], list[str]]:
    """Run a script in processes as torchrun starts them; return what each printed, and its log."""
    content = json.dumps(settings.to_dict(config))
    command = [sys.executable, "-W", "error", "-c", script, str(data), str(out), content]
    group = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    children = [
        subprocess.Popen(
            command,
            env={**os.environ, **group, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    try:
        texts = [child.communicate(timeout=120) for child in children]
    finally:
        for child in children:  # those that wait for one that failed
            child.kill()
            child.communicate()
    logs = [log for _, log in texts]
    assert [child.returncode for child in children] == [0] * count, logs
    return [json.loads(text) for text, _ in texts], logs


def records(run: Path, kind: str, name: str) -> list[float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line[name] for line in lines if line["kind"] == kind]


# Where bfloat16 is emulated, oneDNN takes other kernels for batches of other sizes.
in_hardware = pytest.mark.skipif(not bfloat16_instructions(), reason="needs bfloat16 in hardware")


@pytest.mark.parametrize(
    ("precision", "times"), [("float32", 1), pytest.param("bfloat16", 10, marks=in_hardware)]
)
def test_two_processes_have_the_loss_curve_of_one(
    data_dir: Path, config: Config, tmp_path: Path, precision: Precision, times: float
) -> None:
    config = without_terms(config, ("contrast", "semantic"))
    config = config.computed_in(precision)
    train(data_dir, tmp_path / "one", config, device="cpu")
    two = tmp_path / "two"
    found, logs = run_processes(2, TRAIN, data_dir, two, config)
    assert found == [{"leads": True, "left": []}, {"leads": False, "left": []}]
    assert "step" in logs[0]
    assert logs[1] == ""  # only the first process reports
    for name in ("loss", "l1", "structure"):
        one = records(tmp_path / "one", "train", name)
        assert records(two, "train", name) == pytest.approx(one, rel=5e-3 * times)
    first = [records(run, "train", "grad_norm")[0] for run in (tmp_path / "one", two)]
    assert first[1] == pytest.approx(first[0], rel=1e-4 * times)
    for name in ("psnr_input", "psnr_result", "ssim_result"):
        one = records(tmp_path / "one", "validation", name)
        assert records(two, "validation", name) == pytest.approx(one, abs=1e-3 * times)


def test_processes_on_unlike_processors_train_in_one_precision(
    data_dir: Path, config: Config, tmp_path: Path
) -> None:
    config = without_terms(config, ("contrast", "semantic"))
    config = dataclasses.replace(config, run=dataclasses.replace(config.run, steps=1))
    script = TRAIN_UNLIKE + TRAIN
    _, logs = run_processes(2, script, data_dir, tmp_path / "run", config.computed_in("auto"))
    assert "training in float32: it is what another of the processes takes" in logs[0]
    record = json.loads((tmp_path / "run" / RUN_FILE).read_text())
    assert (record["precision"], record["config"]["run"]["precision"]) == ("auto", "float32")


def test_two_processes_keep_a_network_symmetric(
    data_dir: Path, config: Config, tmp_path: Path
) -> None:
    config = without_terms(config, ("contrast", "semantic"))
    run = dataclasses.replace(config.run, symmetric=True)
    run_processes(2, TRAIN, data_dir, tmp_path / "run", dataclasses.replace(config, run=run))
    network = load_network(tmp_path / "run" / BEST_FILE)
    assert is_symmetric(network)
    mean = network.state_dict()["descriptor.res16.0.bn_conv_3x3_1.running_mean"]
    assert mean.abs().max() > 1e-3  # it has been trained


def test_two_processes_share_the_batches_of_a_segmenter_and_one_writes_it(
    data_dir: Path, config: Config, tmp_path: Path
) -> None:
    one, two = tmp_path / "one/segmenter.safetensors", tmp_path / "two/segmenter.safetensors"
    (alone,), _ = run_processes(1, TRAIN_SEGMENTER, data_dir, one, config)
    found, logs = run_processes(2, TRAIN_SEGMENTER, data_dir, two, config)
    assert [each["leads"] for each in (alone, *found)] == [True, True, False]
    assert "segmenter step 6/6" in logs[0]
    assert logs[1] == ""
    assert [path.name for path in two.parent.iterdir()] == [two.name]
    load_segmenter(two)
    assert found[0]["mean_iou"] == found[1]["mean_iou"]
    steps = zip(alone["seen"], *(each["seen"] for each in found), strict=True)
    for whole, first, second in steps:
        assert len(first) == len(second) == len(whole) / 2
        assert sorted(first + second) == sorted(whole)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE is 2, but these are not set: RANK, MASTER_ADDR, MASTER_"),
        ({"WORLD_SIZE": "2", "RANK": ""}, "not set: RANK"),
        ({"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "localhost"}, "not set: MASTER_PORT"),
        ({"RANK": "1"}, "RANK is 1 and WORLD_SIZE is not set"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "RANK must be 0 to WORLD_SIZE - 1"),
        ({"WORLD_SIZE": "2", "RANK": "-1"}, "RANK must be 0 to WORLD_SIZE - 1"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE is 0"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two', expected an integer"),
        ({"WORLD_SIZE": "2", "RANK": "0.5"}, "RANK is '0.5', expected an integer"),
        (
            {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "x"},
            "did not meet at localhost:x",
        ),
    ],
)
def test_half_a_group_is_one_error(
    given: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in GROUP:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with (
        pytest.raises(ConfigError, match=r"start them with torchrun") as caught,
        join_processes(torch.device("cpu"), lambda _: None),
    ):
        pass
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", [{}, {"WORLD_SIZE": "1"}, {"WORLD_SIZE": "", "RANK": ""}])
def test_a_process_alone_leads(given: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in GROUP:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with join_processes(torch.device("cpu"), lambda _: None) as processes:
        assert (processes.leads, processes.world) == (True, 1)
