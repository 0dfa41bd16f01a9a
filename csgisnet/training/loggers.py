"""Programs that show a run: TensorBoard, Weights & Biases and MLflow, loaded only when named."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from torch import Tensor

from csgisnet.errors import ConfigError
from vocsmooth.files import write_atomically

LoggerName: TypeAlias = Literal["tensorboard", "wandb", "mlflow"]

_PROJECT = "csgisnet"
"""Name of the project or experiment, where the variables of W&B and MLflow do not name another."""

_MOST_PARAMS = 100
"""Parameters that MLflow takes at a time."""


class Logger(Protocol):
    """Takes the values and pictures of one run."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Take values by names such as "train/loss"."""

    def picture(self, step: int, panel: Tensor) -> None:
        """Take a picture (3, H, W) uint8 of validation results."""

    def close(self) -> None:
        """Finish what is written."""


def check_loggers(names: Sequence[LoggerName]) -> None:
    """Raise ConfigError if a logger is named whose package is not installed."""
    for name in names:
        if find_spec(name) is None:
            raise ConfigError(
                f"run.loggers names {name!r}, which is not installed: pip install "
                f"'csgisnet[loggers]', or leave it out with --set run.loggers='[\"tensorboard\"]'."
            )


def start_loggers(
    names: Sequence[LoggerName], folder: Path, step: int, config: Mapping[str, Any]
) -> dict[str, Logger]:
    """Start the loggers of a run, or continue them after `step`.

    Parameters
    ----------
    names : sequence of str
        Which.
    folder : Path
        The run's folder, whose name is the run's.
    step : int
        Steps done so far.
    config : mapping
        The run's settings, as tables of tables.

    Raises
    ------
    ConfigError
        One cannot start.
    """
    return {name: _start(name, folder, step, config) for name in names}


def _start(name: str, folder: Path, step: int, config: Mapping[str, Any]) -> Logger:
    """Start one logger."""
    try:
        return _LOGGERS[name](folder, step, config)
    except OSError:
        raise  # of the disk, which the run itself needs
    except Exception as error:  # each library has errors of its own
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ConfigError(
            f"run.loggers: {name} cannot start: {reason} {_CURES.get(name, '')}"
        ) from error


class TensorBoard:
    """Event files in the folder "tensorboard" of the run."""

    def __init__(self, folder: Path, step: int, _: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Take values, see `Logger`."""
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def picture(self, step: int, panel: Tensor) -> None:
        """Take a picture, see `Logger`."""
        self._board.add_image("validation", panel, step)
        self._board.flush()

    def close(self) -> None:
        """Finish the file; on a full disk, write what fits: metrics.jsonl has the values, too."""
        with contextlib.suppress(OSError):
            self._board.close()


class WeightsAndBiases:
    """A run of W&B, whose own variables say where it goes: WANDB_MODE, WANDB_PROJECT and so on."""

    def __init__(self, folder: Path, _: int, config: Mapping[str, Any]) -> None:
        self._library = import_module("wandb")
        self._run = self._library.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            name=folder.name,
            dir=str(folder),
            id=_kept(folder / "wandb.id", functools.partial(secrets.token_hex, 4)),
            resume="allow",
            config=dict(config),
        )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Take values, see `Logger`."""
        self._run.log(dict(values), step=step)

    def picture(self, step: int, panel: Tensor) -> None:
        """Take a picture, see `Logger`."""
        image = self._library.Image(panel.permute(1, 2, 0).numpy())
        self._run.log({"validation": image}, step=step)

    def close(self) -> None:
        """Send what is left."""
        self._run.finish()


class MLflow:
    """A run of MLflow, on the server or in the store that MLFLOW_TRACKING_URI names."""

    def __init__(self, folder: Path, _: int, config: Mapping[str, Any]) -> None:
        library = import_module("mlflow")
        self._entities = library.entities
        self._client = library.MlflowClient()
        file = folder / "mlflow.id"
        known = file.exists()
        self._run = _kept(file, lambda: self._create(folder.name))
        if known:
            self._client.update_run(self._run, status="RUNNING")
            return
        params = [self._entities.Param(name, str(value)) for name, value in _flat(config)]
        for first in range(0, len(params), _MOST_PARAMS):
            self._client.log_batch(self._run, params=params[first : first + _MOST_PARAMS])

    def _create(self, name: str) -> str:
        """Create a run, and the experiment if it is missing; return the run's id."""
        title = os.environ.get("MLFLOW_EXPERIMENT_NAME", _PROJECT)
        found = self._client.get_experiment_by_name(title)
        number = found.experiment_id if found else self._client.create_experiment(title)
        return str(self._client.create_run(number, run_name=name).info.run_id)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Take values, see `Logger`."""
        now = int(time.time() * 1000)
        metrics = [self._entities.Metric(n, value, now, step) for n, value in values.items()]
        self._client.log_batch(self._run, metrics=metrics)

    def picture(self, step: int, panel: Tensor) -> None:
        """Take a picture, see `Logger`."""
        image = panel.permute(1, 2, 0).numpy()
        self._client.log_image(self._run, image, artifact_file=f"validation-{step:09d}.png")

    def close(self) -> None:
        """Mark the run as finished."""
        self._client.set_terminated(self._run)


_LOGGERS: dict[str, Callable[[Path, int, Mapping[str, Any]], Logger]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
    "mlflow": MLflow,
}

_CURES = {
    "wandb": "Log in with `wandb login`, or set WANDB_MODE=offline.",
    "mlflow": "Check MLFLOW_TRACKING_URI; a database as a store needs the whole package mlflow.",
}


def _kept(file: Path, make: Callable[[], str]) -> str:
    """Return the id kept in a file of the run, or create both; a resumed run continues under it."""
    if not file.exists():
        write_atomically(file, make().encode())
    return file.read_text(encoding="utf-8").strip()


def _flat(tables: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return the keys of tables of tables, with dots before those of sections."""
    found: list[tuple[str, Any]] = []
    for key, value in tables.items():
        inner = isinstance(value, Mapping)
        found += _flat(value, f"{prefix}{key}.") if inner else [(f"{prefix}{key}", value)]
    return found
