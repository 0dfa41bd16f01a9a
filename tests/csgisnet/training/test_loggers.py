"""Loggers: what each is told, that none is loaded unnamed, and that a lost one ends no run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from csgisnet.errors import ConfigError
from csgisnet.training import loggers
from csgisnet.training.config import Config
from vocsmooth import settings
from vocsmooth.errors import InputError

if TYPE_CHECKING:
    from tests.csgisnet.training.conftest import Lab

SCRIPT = """
import json, sys
from csgisnet.training.config import Config
from csgisnet.training.train import train
from vocsmooth import settings
data, run, config, first = sys.argv[1:]
config = settings.from_dict(Config, json.loads(config), "config")
stop = lambda step, values: step == 6
train(data, run, config, device="cpu", callback=stop if first == "first" else None)
if first == "first":
    train(data, run, config, device="cpu", resume=True)
print(*sorted({name.split(".")[0] for name in sys.modules} & {"tensorboard", "wandb", "mlflow"}))
"""


def train_apart(lab: Lab, config: Config, first: str, **variables: str) -> str:
    """Train in a process of its own, as the libraries leave threads and hooks behind."""
    words = (str(lab.data), str(lab.folder / "run"), json.dumps(settings.to_dict(config)))
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words, first],
        env={**os.environ, **variables},
        cwd=lab.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip().splitlines()[-1] if result.stdout.strip() else ""


@pytest.mark.parametrize("names", [(), ("tensorboard",)])
def test_only_what_is_named_is_loaded(lab: Lab, config: Config, names: tuple[str, ...]) -> None:
    config = lab.changed(lab.quick(config), steps=1, loggers=names)
    assert train_apart(lab, config, "once") == " ".join(names)
    assert (lab.folder / "run/tensorboard").exists() == bool(names)


def test_wandb_keeps_one_run_over_a_resume(lab: Lab, config: Config) -> None:
    pytest.importorskip("wandb")
    config = lab.changed(lab.quick(config), loggers=("wandb",))
    train_apart(lab, config, "first", WANDB_MODE="offline", WANDB_SILENT="true")
    own = (lab.folder / "run/wandb.id").read_text()
    files = list((lab.folder / "run/wandb").glob(f"offline-run-*-{own}/run-{own}.wandb"))
    assert len(files) == 2
    content = b"".join(file.read_bytes() for file in files)
    assert b"validation/psnr_result" in content
    assert b"train/loss" in content
    assert lab.records()[-1]["step"] == 12


def test_mlflow_keeps_one_run_over_a_resume(lab: Lab, config: Config) -> None:
    mlflow = pytest.importorskip("mlflow")
    config = lab.changed(lab.quick(config), loggers=("mlflow", "tensorboard"))
    store = f"file://{lab.folder / 'store'}"
    variables = {"MLFLOW_TRACKING_URI": store, "MLFLOW_ALLOW_FILE_STORE": "true"}
    train_apart(lab, config, "first", **variables)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        client = mlflow.MlflowClient(store)
        run = client.get_run((lab.folder / "run/mlflow.id").read_text())
        assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
        assert run.data.params["optimizer.lr"] == str(config.optimizer.lr)
        losses = client.get_metric_history(run.info.run_id, "train/loss")
        logged = [line for line in lab.records() if line["kind"] == "train"]
        assert [(m.step, m.value) for m in losses] == [(x["step"], x["loss"]) for x in logged]
        pictures = [file.path for file in client.list_artifacts(run.info.run_id)]
        assert pictures == ["validation-000000006.png", "validation-000000012.png"]


def test_a_missing_package_is_named_before_anything_is_written(
    lab: Lab, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda name: None if name == "wandb" else name)
    with pytest.raises(ConfigError, match=r"names 'wandb', .* pip install 'csgisnet\[loggers\]'"):
        lab.train(lab.changed(lab.quick(config), loggers=("tensorboard", "wandb")))
    assert not (lab.folder / "run").exists()


def test_an_unknown_logger_is_refused() -> None:
    with pytest.raises(InputError, match=r"loggers\[0\] must be one of 'tensorboard', 'wandb'"):
        settings.from_dict(Config, {"run": {"loggers": ["wandbb"]}}, "x.toml")


class Lost(loggers.TensorBoard):
    """A logger whose server goes away after its first record."""

    def scalars(self, step: int, values: object) -> None:
        if step > 2:
            raise ConnectionError("no route to host")


def test_a_run_goes_on_without_a_logger_that_is_lost(
    lab: Lab, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(loggers._LOGGERS, "mlflow", Lost)
    monkeypatch.setattr(loggers, "find_spec", bool)
    assert lab.train(lab.changed(lab.quick(config), loggers=("mlflow",))).finished
    told = [line for line in lab.lines if "the run goes on without mlflow" in line]
    assert len(told) == 1
    assert "no route to host" in told[0]


def test_a_logger_that_cannot_start_says_what_to_do(
    lab: Lab, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> loggers.Logger:
        raise RuntimeError("No API key configured.\nmore")

    monkeypatch.setitem(loggers._LOGGERS, "wandb", refuse)
    monkeypatch.setattr(loggers, "find_spec", bool)
    with pytest.raises(ConfigError, match=r"wandb cannot start: No API key configured. Log in"):
        lab.train(lab.changed(lab.quick(config), loggers=("wandb",)))
