"""Log a run's progress: as lines of text, in a JSON Lines file, and for TensorBoard."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from csgisnet.errors import TrainingError
from csgisnet.training.hooks import Callback
from csgisnet.training.validate import Scores
from vocsmooth.files import read_file, write_atomically
from vocsmooth.settings import counted

METRICS = "metrics.jsonl"
"""Name of the JSON Lines file in a run's folder."""


def to_stderr(line: str) -> None:
    """Print a line to stderr at once; a log that nobody can read any more does not end a run."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def report_nothing(_: str) -> None:
    """Take a line and drop it: of several processes, only the first reports."""


class RunLog:
    """The records of one run; those after `step`, which a resumed run will repeat, are dropped.

    Parameters
    ----------
    folder : Path
        The run's folder.
    step : int
        Steps done so far.
    steps : int
        Steps of the run in all.
    callback : callable, optional
        Called with the step and the values of each record.
    """

    def __init__(
        self, folder: Path, step: int, steps: int, callback: Callback | None = None
    ) -> None:
        self._steps, self._callback = steps, callback
        self.told_to_stop = False
        """Whether the callback wants the run to end."""
        self._path = folder / METRICS
        _keep_until(self._path, step)
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
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
        return f"step {step:{width}}/{self._steps}  {terms}  {speed:.1f} images/s  ETA {left}"

    def validation(self, step: int, scores: Scores, panel: Tensor) -> str:
        """Record scores and a picture (3, H, W); return the scores as a line."""
        self._record("validation", step, dataclasses.asdict(scores))
        self._board.add_image("validation", panel, step)
        self._board.flush()
        return (
            f"step {step}  validation on {counted(scores.samples, 'whole image')}: "
            f"PSNR {scores.psnr_input:.2f} -> {scores.psnr_result:.2f} dB, "
            f"SSIM {scores.ssim_input:.4f} -> {scores.ssim_result:.4f}"
        )

    def restart_clock(self, step: int) -> None:
        """Measure speed from now on, so that validating and saving do not count."""
        self._mark = (time.monotonic(), step)

    def close(self) -> None:
        """Finish the TensorBoard file; on a full disk, as far as it fits: the rest is in JSON."""
        with contextlib.suppress(OSError):
            self._board.close()

    def _record(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Append a line of JSON, and hand the same values to TensorBoard and the callback."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
        named = {f"{kind}/{name}": value for name, value in values.items()}
        for name, value in named.items():
            self._board.add_scalar(name, value, step)
        if self._callback is not None and self._callback(step, named):
            self.told_to_stop = True


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
