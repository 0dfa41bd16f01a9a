"""Log a run's progress: as lines of text, in a JSON Lines file, and for other programs."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

from torch import Tensor

from csgisnet.errors import TrainingError
from csgisnet.training.config import Config
from csgisnet.training.hooks import Callback
from csgisnet.training.loggers import Logger, start_loggers
from csgisnet.training.validate import Scores
from vocsmooth.files import read_file, write_atomically
from vocsmooth.settings import counted, to_dict

METRICS = "metrics.jsonl"
"""Name of the JSON Lines file in a run's folder."""


def to_stderr(line: str) -> None:
    """Print a line to stderr at once; the run goes on even if nobody reads stderr any more."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def report_nothing(_: str) -> None:
    """Drop a line: of several processes, only the first reports."""


class RunLog:
    """The records of one run; those after `step`, which a resumed run will repeat, are dropped.

    Parameters
    ----------
    folder : Path
        The run's folder.
    step : int
        Steps done so far.
    config : Config
        Settings of the run.
    callback : callable, optional
        Called with the step and the values of each record.
    """

    def __init__(
        self, folder: Path, step: int, config: Config, callback: Callback | None = None
    ) -> None:
        self._steps, self._callback = config.run.steps, callback
        self.told_to_stop = False
        """Whether the callback wants the run to end."""
        self._path = folder / METRICS
        _keep_until(self._path, step)
        self._loggers = start_loggers(config.run.loggers, folder, step, to_dict(config))
        self._warnings: list[str] = []
        self._mark = (time.monotonic(), step)

    def train(self, step: int, values: Mapping[str, float], batch_size: int) -> str:
        """Record means over the last steps; return them as a line, with speed and ETA."""
        then, before = self._mark
        seconds = (time.monotonic() - then) / max(1, step - before)
        self.restart_clock(step)
        speed = batch_size / seconds
        self._record("train", step, {**values, "images_per_second": speed})
        left = timedelta(seconds=round(seconds * (self._steps - step)))
        terms = " ".join(f"{name} {value:.4g}" for name, value in values.items())
        width = len(str(self._steps))
        return self._with_warnings(
            f"step {step:{width}}/{self._steps}  {terms}  {speed:.1f} images/s  ETA {left}"
        )

    def validation(self, step: int, scores: Scores, panel: Tensor) -> str:
        """Record scores and a picture (3, H, W); return the scores as a line."""
        self._record("validation", step, dataclasses.asdict(scores))
        self._tell(lambda logger: logger.picture(step, panel))
        return self._with_warnings(
            f"step {step}  validation on {counted(scores.samples, 'whole image')}: "
            f"PSNR {scores.psnr_input:.2f} -> {scores.psnr_result:.2f} dB, "
            f"SSIM {scores.ssim_input:.4f} -> {scores.ssim_result:.4f}"
        )

    def restart_clock(self, step: int) -> None:
        """Measure speed from now on, so that validating and saving do not count."""
        self._mark = (time.monotonic(), step)

    def close(self) -> None:
        """Finish what the loggers write."""
        self._tell(lambda logger: logger.close())
        for warning in self._warnings:
            to_stderr(warning)

    def _record(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Append a line of JSON, and hand the same values to the loggers and the callback."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
        named = {f"{kind}/{name}": value for name, value in values.items()}
        self._tell(lambda logger: logger.scalars(step, named))
        if self._callback is not None and self._callback(step, named):
            self.told_to_stop = True

    def _tell(self, what: Callable[[Logger], None]) -> None:
        """Pass values to every logger."""
        for name in list(self._loggers):
            self._tell_one(name, what)

    def _tell_one(self, name: str, what: Callable[[Logger], None]) -> None:
        """Pass values to one logger; the run goes on without a logger whose server is lost."""
        try:
            what(self._loggers[name])
        except Exception as error:
            if isinstance(error, OSError) and name == "tensorboard":
                raise  # of the disk, which the run itself needs
            del self._loggers[name]
            self._warnings.append(f"warning: the run goes on without {name}: {error}")

    def _with_warnings(self, line: str) -> str:
        """Return a line for people, with what went wrong since the last one before it."""
        lines, self._warnings = [*self._warnings, line], []
        return "\n".join(lines)


def _keep_until(path: Path, step: int) -> None:
    """Drop records of later steps, and a last line that was cut off halfway.

    Raises
    ------
    TrainingError
        A line is not a record.
    """
    if not path.exists():
        return
    lines = read_file(path).splitlines(keepends=True)
    complete = [line for line in lines if line.endswith(b"\n")]
    numbers = [_step_of(line, f"{path}, line {n}") for n, line in enumerate(complete, 1)]
    kept = [line for number, line in zip(numbers, complete, strict=True) if number <= step]
    write_atomically(path, b"".join(kept))


def _step_of(line: bytes, where: str) -> int:
    """Return the step of a record, in which values may be NaN; TrainingError if it is none."""
    try:
        step = json.loads(line)["step"]
    except (ValueError, LookupError, TypeError, RecursionError):
        step = None
    if not isinstance(step, int):
        raise TrainingError(f"{where} is not a record of a run. Mend or remove it, then resume.")
    return step
