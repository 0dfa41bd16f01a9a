"""Two processes learn what one learns from the same batches."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from csgisnet.training.config import Config, without_terms
from csgisnet.training.train import train
from vocsmooth import settings

SCRIPT = """
import sys
from pathlib import Path
import torch
from csgisnet.training.config import Config, without_terms
from csgisnet.training.train import train
from vocsmooth import settings
torch.set_num_threads(1)
data, run, config = sys.argv[1:]
config = settings.from_dict(Config, __import__("json").loads(config), "config")
train(Path(data), Path(run), config, device="cpu")
"""


def records(run: Path, kind: str, name: str) -> list[float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line[name] for line in lines if line["kind"] == kind]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_two_processes_have_the_loss_curve_of_one(
    data_dir: Path, config: Config, tmp_path: Path
) -> None:
    config = without_terms(config, ("contrast", "semantic"))
    train(data_dir, tmp_path / "one", config, device="cpu")
    two = tmp_path / "two"
    command = [sys.executable, "-W", "error", "-c", SCRIPT, str(data_dir), str(two)]
    command.append(json.dumps(settings.to_dict(config)))
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    children = [
        subprocess.Popen(
            command,
            env={**os.environ, **group, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [child.communicate(timeout=120)[1] for child in children]
    assert [child.returncode for child in children] == [0, 0], errors
    assert "step" in errors[0]
    assert errors[1] == ""  # only the first process reports
    for name in ("loss", "l1", "structure"):
        one = records(tmp_path / "one", "train", name)
        assert records(two, "train", name) == pytest.approx(one, rel=5e-3)
    first = [records(run, "train", "grad_norm")[0] for run in (tmp_path / "one", two)]
    assert first[1] == pytest.approx(first[0], rel=1e-4)
    for name in ("psnr_input", "psnr_result", "ssim_result"):
        one = records(tmp_path / "one", "validation", name)
        assert records(two, "validation", name) == pytest.approx(one, abs=1e-3)
