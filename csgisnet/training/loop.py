"""The loop of a run: take a step, and log, validate and save when it is time to."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from csgisnet.checkpoints.best import BEST_FILE, list_best, save_best
from csgisnet.checkpoints.states import load_latest, save_latest, save_state
from csgisnet.errors import TrainingError
from csgisnet.prediction.smoother import Smoother
from csgisnet.training.data import BatchSource, filled
from csgisnet.training.distributed import Processes
from csgisnet.training.progress import RunLog
from csgisnet.training.runs import Start
from csgisnet.training.step import Training
from csgisnet.training.validate import Scores, choose_samples, draw_panel, score
from vocsmooth import settings
from vocsmooth.files import write_atomically
from vocsmooth.shards import Split

_ASK_EVERY = 10
"""Steps after which the processes ask each other whether one of them was told to stop."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """The outcome of a run."""

    finished: bool
    """False if a signal stopped it; it can be resumed."""
    steps: int
    """Optimizer steps done in all."""
    seconds: float
    """Wall time since the run began or was resumed."""
    scores: Scores | None
    """Validation scores of the best network so far, None before the first validation."""
    best: Path | None
    """Weights of the best network so far."""


def take_up(folder: Path, training: Training, report: Callable[[str], None]) -> Scores | None:
    """Restore the newest intact state of a run, if there is one; return its best scores so far."""
    latest = load_latest(folder)
    if latest is None:
        return None
    for reason in latest.refused:
        report(f"warning: {reason} Going back to {latest.path.name}.")
    training.restore(latest.state["training"])
    report(f"resuming after step {training.step} from {latest.path}")
    best = latest.state["best"]
    return None if best is None else Scores(**best)


def run_steps(
    folder: Path,
    start: Start,
    training: Training,
    processes: Processes,
    best: Scores | None,
    stopped: Callable[[], bool],
    report: Callable[[str], None],
) -> Summary:
    """Train until the last step, or until told to stop.

    Parameters
    ----------
    folder : Path
        Of the run; the leading process writes log, states and best networks into it.
    start : Start
        What the run began with.
    training : Training
        The network and its optimizers, restored if the run is resumed.
    processes : Processes
        Who else trains.
    best : Scores or None
        Best scores so far.
    stopped : callable
        Whether this process was told to stop.
    report : callable
        Takes each line of the log.
    """
    began, config, run = time.monotonic(), start.config, start.config.run
    device, rank, world = processes.device, processes.rank, processes.world
    source = BatchSource(
        start.dataset,
        config.data,
        config.augment,
        seed=config.seed,
        device=device,
        rank=rank,
        world=world,
    )
    validation = _Validation(start, processes)
    log = RunLog(folder, training.step, run.steps) if processes.leads else None
    values: list[dict[str, Tensor]] = []  # of the steps since the last line of the log
    finished, stop = training.step >= run.steps, False
    first, end = (step * run.accumulate for step in (training.step, run.steps))
    with contextlib.closing(source.batches(first, end)) as batches:
        while not (finished or stop):
            values.append(training.advance(batches))
            step = training.step
            finished = step == run.steps
            ask = world == 1 or step % _ASK_EVERY == 0
            stop = ask and processes.any(stopped())
            validate = finished or step % run.validate_every == 0
            save = finished or stop or step % run.checkpoint_every == 0
            if validate or save or step % run.log_every == 0:
                means = _means(values, processes)
                if isinstance(means, _NotFinite):
                    raise _failure(means, folder, source, step - len(values), run.accumulate, rank)
                values.clear()
                if log is not None:
                    images = config.data.batch_size * run.accumulate
                    report(log.train(step, {**means, "lr": training.learning_rate}, images))
            if validate:
                smoother = Smoother(training.average, device=str(device), precision=run.precision)
                scores = validation.score(smoother)
                best = scores if best is None or scores.psnr_result > best.psnr_result else best
                if log is not None:
                    report(log.validation(step, scores, validation.panel(smoother)))
                    _keep_best(folder, start, training, scores)
            if save and processes.leads:
                record = None if best is None else dataclasses.asdict(best)
                state = {"training": training.state(), "best": record}
                save_latest(folder, step, state, keep=run.keep_states)
            if log is not None and (validate or save):
                log.restart_clock(step)
    if stop and not finished:
        report(f"stopped after step {training.step}; continue with --resume")
    if log is not None:
        log.close()
    processes.wait()
    return Summary(
        finished=finished,
        steps=training.step,
        seconds=time.monotonic() - began,
        scores=best,
        best=None if best is None else folder / BEST_FILE,
    )


class _Validation:
    """The samples of a run to validate on; every process scores its share of them."""

    def __init__(self, start: Start, processes: Processes) -> None:
        self._processes, self._negatives = processes, start.config.data.negatives
        self._split: Split = filled(start.dataset, "val")
        self._samples = choose_samples(self._split, start.config.run.validate_samples)

    def score(self, smoother: Smoother) -> Scores:
        """Measure the network on whole images."""
        return score(smoother, self._split, self._samples, self._processes)

    def panel(self, smoother: Smoother) -> Tensor:
        """Draw some results, (3, H, W) uint8."""
        return draw_panel(smoother, self._split, self._samples, self._negatives)


@dataclasses.dataclass(frozen=True)
class _NotFinite:
    """The first of some steps whose values are NaN or infinite."""

    number: int
    """Its number among the steps."""
    values: dict[str, float]


def _means(
    values: Sequence[dict[str, Tensor]], processes: Processes
) -> dict[str, float] | _NotFinite:
    """Return the means of some steps' values over all processes, or the first step gone wrong."""
    names = list(values[0])
    table = torch.stack([torch.stack([step[name] for name in names]) for step in values])
    table = processes.mean(table).cpu()
    bad = (~table.isfinite()).any(dim=1).nonzero().flatten().tolist()
    if bad:
        return _NotFinite(bad[0], dict(zip(names, table[bad[0]].tolist(), strict=True)))
    return dict(zip(names, table.mean(dim=0).tolist(), strict=True))


def _failure(
    found: _NotFinite, folder: Path, source: BatchSource, before: int, accumulate: int, rank: int
) -> TrainingError:
    """Save the batches of a step that went wrong, `before` steps in, and return the error."""
    step = before + found.number
    path = folder / f"failed-step{step + 1:09d}-rank{rank}.pt"
    batches = source.batches(step * accumulate, (step + 1) * accumulate)
    save_state(path, {"batches": [batch._asdict() for batch in batches]})
    values = ", ".join(f"{name} {value:.4g}" for name, value in found.values.items())
    return TrainingError(
        f"Step {step + 1} has values that are not finite: {values}. Its batch is in {path}, the "
        "states before it are intact. Lower optimizer.lr or optimizer.clip_norm, or take "
        "precision float32."
    )


def _keep_best(folder: Path, start: Start, training: Training, scores: Scores) -> None:
    """Keep the averaged network if it is among the best of the run."""
    record = {
        "step": training.step,
        "scores": dataclasses.asdict(scores),
        "dataset": start.digest,
        "config": settings.to_dict(start.config),
    }
    keep = start.config.run.keep_best
    network = training.average
    save_best(folder, scores.psnr_result, training.step, network, metadata=record, keep=keep)
    write_atomically(folder / BEST_FILE, list_best(folder)[0].read_bytes())
