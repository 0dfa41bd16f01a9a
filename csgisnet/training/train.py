"""Train a smoothing network: from a dataset and a configuration to a folder of checkpoints."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor

from csgisnet.checkpoints.best import BEST_FILE, list_best, save_best
from csgisnet.checkpoints.states import load_latest, save_latest, save_state
from csgisnet.device import pick_device
from csgisnet.errors import ConfigError, TrainingError
from csgisnet.networks.smoothing import SmoothingNetwork
from csgisnet.objective.teachers import load_teachers
from csgisnet.prediction.smoother import Smoother
from csgisnet.training.config import Config
from csgisnet.training.data import BatchSource, filled
from csgisnet.training.distributed import Processes, join_processes
from csgisnet.training.progress import RunLog, to_stderr
from csgisnet.training.runs import Sources, begin_run, settle_config, settle_initial, settle_sources
from csgisnet.training.step import Training
from csgisnet.training.validate import Scores, choose_samples, draw_panel, score
from vocsmooth import settings
from vocsmooth.files import write_atomically
from vocsmooth.shards.reader import Dataset, open_dataset

EXIT_STOPPED = 75
"""Exit code of a command that a signal stopped after it had saved its state: try again later."""

_ASK_EVERY = 10
"""Steps between two questions to the other processes whether one was told to stop."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """What a run came to."""

    finished: bool
    """False if a signal stopped it; it can be resumed."""
    steps: int
    """Optimizer steps done in all."""
    seconds: float
    """Wall time of this part of the run."""
    scores: Scores | None
    """Validation scores of the best network so far, None before the first validation."""
    best: Path | None
    """Weights of the best network so far."""


def train(
    data_dir: Path | None,
    run_dir: Path,
    config: Config | None = None,
    *,
    device: str = "auto",
    resume: bool = False,
    segmenter: Path | None = None,
    features: Path | None = None,
    initial: SmoothingNetwork | None = None,
    report: Callable[[str], None] = to_stderr,
) -> Summary:
    """Train a network on the split "train" of a dataset and validate it on "val".

    On a CPU a run that was killed and resumed ends with the very bits of one that was not, on the
    same machine and number of threads. SIGTERM and SIGINT save the state and end the run early.
    Under torchrun each process takes its part of every batch.

    Parameters
    ----------
    data_dir : Path or None
        Dataset of `vocsmooth build`; with `resume`, None takes that of the run.
    run_dir : Path
        New folder for states, best networks (safetensors), metrics.jsonl and TensorBoard files.
    config : Config, optional
        All settings; "compact" without it, and with `resume` those of the run.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to train.
    resume : bool
        Go on with the run in `run_dir`.
    segmenter, features : Path, optional
        Teachers of the semantic and the contrast term, see `csgisnet.teachers.load_teachers`; with
        `resume` those of the run.
    initial : SmoothingNetwork, optional
        Network to go on from, as `csgisnet.checkpoint.load_network` returns it, instead of random
        weights; its size takes the place of the one in `config`. A run to resume has its own.
    report : callable
        Takes each line of the log.

    Raises
    ------
    InputError, ConfigError, CheckpointError, DatasetError
        Something given cannot be used; nothing has been trained.
    TrainingError
        The loss is no longer a number.
    """
    with join_processes(pick_device(device)) as processes, _stop_signals() as stopped:
        given = Sources(data=data_dir, segmenter=segmenter, features=features)
        sources = settle_sources(run_dir, given, resume=resume)
        if sources.data is None:
            raise ConfigError("No dataset to train on is known: give one with --data.")
        dataset = open_dataset(sources.data)
        digest = settings.digest(dataset.recipe)
        initial = settle_initial(run_dir, initial, resume=resume)
        network = None if initial is None else initial.config
        config = settle_config(run_dir, config, dataset=digest, resume=resume, network=network)
        teachers = load_teachers(config.losses, sources.segmenter, sources.features)
        teachers = teachers.to(processes.device)
        training = Training(config, teachers, processes, initial)
        run = _Run(
            dataset,
            run_dir,
            config,
            training=training,
            processes=processes,
            report=report if processes.leads else _silence,
        )
        processes.wait()
        if resume:
            run.resume()
        elif processes.leads:
            begin_run(run_dir, config, dataset=digest, sources=sources, initial=initial)
        return run.go(stopped)


class _Run:
    """One run of `train`: the loop and what happens along it."""

    def __init__(
        self,
        dataset: Dataset,
        folder: Path,
        config: Config,
        *,
        training: Training,
        processes: Processes,
        report: Callable[[str], None],
    ) -> None:
        self._folder, self._config, self._training = folder, config, training
        self._processes, self._report = processes, report
        self._digest = settings.digest(dataset.recipe)
        self._source = BatchSource(
            dataset,
            config.data,
            config.augment,
            seed=config.seed,
            device=processes.device,
            rank=processes.rank,
            world=processes.world,
        )
        self._split = filled(dataset, "val")
        self._samples = choose_samples(self._split, config.run.validate_samples)
        self._best: Scores | None = None
        self._values: list[dict[str, Tensor]] = []

    def resume(self) -> None:
        """Go on from the newest whole state, if there is one; say so, and which were refused."""
        latest = load_latest(self._folder)
        if latest is None:
            return
        for reason in latest.refused:
            self._report(f"warning: {reason} Going back to {latest.path.name}.")
        self._training.restore(latest.state["training"])
        best = latest.state["best"]
        self._best = None if best is None else Scores(**best)
        self._report(f"resuming after step {self._training.step} from {latest.path}")

    def go(self, stopped: Callable[[], bool]) -> Summary:
        """Train until the last step, or until told to stop."""
        began, training, run = time.monotonic(), self._training, self._config.run
        log = RunLog(self._folder, training.step, run.steps) if self._processes.leads else None
        first, end = (step * run.accumulate for step in (training.step, run.steps))
        finished = training.step >= run.steps
        with contextlib.closing(self._source.batches(first, end)) as batches:
            while not finished:
                self._values.append(training.advance(batches))
                finished = training.step == run.steps
                ask = self._processes.world == 1 or training.step % _ASK_EVERY == 0
                stop = ask and self._processes.any(stopped())
                self._after_step(log, leave=finished or stop)
                if stop:
                    self._report(f"stopped after step {training.step}; --resume goes on from there")
                    break
        if log is not None:
            log.close()
        self._processes.wait()
        return Summary(
            finished=finished,
            steps=training.step,
            seconds=time.monotonic() - began,
            scores=self._best,
            best=None if self._best is None else self._folder / BEST_FILE,
        )

    def _after_step(self, log: RunLog | None, *, leave: bool) -> None:
        """Log, validate and save where the step's number or the run's end asks for it."""
        run, step = self._config.run, self._training.step
        validate = step % run.validate_every == 0 or step == run.steps
        save = step % run.checkpoint_every == 0 or leave
        if validate or save or step % run.log_every == 0:
            means = self._means()
            if log is not None:
                rate = {"lr": self._training.learning_rate}
                images = self._config.data.batch_size * run.accumulate
                self._report(log.train(step, {**means, **rate}, images))
        if validate:
            self._validate(log)
        if save and self._processes.leads:
            best = None if self._best is None else dataclasses.asdict(self._best)
            state = {"training": self._training.state(), "best": best}
            save_latest(self._folder, step, state, keep=run.keep_states)
        if log is not None and (validate or save):
            log.restart_clock(step)

    def _means(self) -> dict[str, float]:
        """Return the means of the steps since the last call, over all processes.

        Raises
        ------
        TrainingError
            One of them is not finite; the batch lies in the run's folder.
        """
        names = list(self._values[0])
        table = torch.stack([torch.stack([v[n] for n in names]) for v in self._values])
        table = self._processes.mean(table).cpu()
        bad = (~table.isfinite()).any(dim=1).nonzero().flatten().tolist()
        if bad:
            self._give_up(self._training.step - len(self._values) + bad[0], names, table[bad[0]])
        self._values.clear()
        return dict(zip(names, table.mean(dim=0).tolist(), strict=True))

    def _give_up(self, step: int, names: list[str], values: Tensor) -> None:
        """Save the batches of a step (from 0) and raise."""
        count = self._config.run.accumulate
        path = self._folder / f"failed-step{step + 1:09d}-rank{self._processes.rank}.pt"
        batches = self._source.batches(step * count, (step + 1) * count)
        save_state(path, {"batches": [batch._asdict() for batch in batches]})
        found = ", ".join(f"{n} {v:.4g}" for n, v in zip(names, values.tolist(), strict=True))
        raise TrainingError(
            f"Step {step + 1} has values that are not finite: {found}. Its batch is in {path}, the "
            "states before it are whole. Lower optimizer.lr or optimizer.clip_norm, or take "
            "precision float32."
        )

    def _validate(self, log: RunLog | None) -> None:
        """Measure the averaged network on whole images; keep it if it is among the best."""
        precision, device = self._config.run.precision, str(self._processes.device)
        smoother = Smoother(self._training.average, device=device, precision=precision)
        scores = score(smoother, self._split, self._samples, self._processes)
        if self._best is None or scores.psnr_result > self._best.psnr_result:
            self._best = scores
        if log is None:
            return
        step = self._training.step
        panel = draw_panel(smoother, self._split, self._samples, self._config.data.negatives)
        self._report(log.validation(step, scores, panel))
        record = {
            "step": step,
            "scores": dataclasses.asdict(scores),
            "dataset": self._digest,
            "config": settings.to_dict(self._config),
        }
        network, keep = self._training.average, self._config.run.keep_best
        save_best(self._folder, scores.psnr_result, step, network, metadata=record, keep=keep)
        write_atomically(self._folder / BEST_FILE, list_best(self._folder)[0].read_bytes())


@contextlib.contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """Note SIGTERM and SIGINT instead of ending at once; a second one ends as ever."""
    told = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield told.is_set
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def note(number: int, _: FrameType | None) -> None:
        told.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, note)
    try:
        yield told.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _silence(_: str) -> None:
    """Report nothing."""
