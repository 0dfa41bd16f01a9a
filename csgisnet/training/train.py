"""Train a smoothing network: from a dataset and a configuration to a folder of checkpoints."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

from torch import nn

from csgisnet.checkpoints.best import BEST_FILE
from csgisnet.device import pick_device
from csgisnet.networks.segmenter import OutputStride
from csgisnet.networks.smoothing import SmoothingNetwork
from csgisnet.objective.forms import needs_features
from csgisnet.objective.losses import Batch, Teachers
from csgisnet.training.config import Config, RunConfig, as_config
from csgisnet.training.data import BatchSource, filled
from csgisnet.training.distributed import Processes, join_processes
from csgisnet.training.hooks import Callback, Loss, Own, objective_of, own_network
from csgisnet.training.photographs import MixedSource, batch_source
from csgisnet.training.precisions import settled
from csgisnet.training.progress import RunLog, report_nothing, to_stderr
from csgisnet.training.runs import Setup, claim_run, new_run, resumed_run
from csgisnet.training.saving import (
    better,
    check_finite,
    explained,
    keep_network,
    keep_state,
    restore,
)
from csgisnet.training.signals import stop_signals
from csgisnet.training.sources import Sources
from csgisnet.training.step import Training
from csgisnet.training.teacher import check_teacher
from csgisnet.training.validate import Scores, Validation
from csgisnet.training.values import StepValues
from vocsmooth.files import AnyPath, as_path, as_path_or_none

EXIT_STOPPED = 75
"""Exit code of a command that a signal stopped after it had saved its state: try again later."""

_ASK_EVERY = 10
"""Number of steps after which several processes ask each other whether one was told to stop."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """How a run ended."""

    leads: bool
    """Whether this is the process that reports; false in all but one of several."""
    finished: bool
    """False if a signal or the callback stopped it; it can be resumed."""
    steps: int
    """Optimizer steps taken, including those before a resume."""
    seconds: float
    """Wall time since the run began, or since it was last resumed."""
    scores: Scores | None
    """Validation scores of the best network so far, None before the first validation."""
    best: Path | None
    """Weights of the best network so far."""


def train(
    data_dir: AnyPath | None,
    run_dir: AnyPath,
    config: Config | AnyPath | None = None,
    *,
    device: str = "auto",
    resume: bool = False,
    segmenter: AnyPath | None = None,
    features: AnyPath | None = None,
    simplifier: AnyPath | None = None,
    photographs: AnyPath | None = None,
    output_stride: OutputStride | None = None,
    initial: SmoothingNetwork | None = None,
    network: nn.Module | None = None,
    loss: Loss | None = None,
    callback: Callback | None = None,
    report: Callable[[str], None] = to_stderr,
) -> Summary:
    """Train a network on the split "train" of a dataset and validate it on "val".

    On a CPU, a run that was killed and resumed ends bit for bit like one that was not, given the
    same machine and number of threads. SIGTERM and SIGINT save the state and end the run early.
    Under torchrun, each process takes an equal share of every batch.

    Parameters
    ----------
    data_dir : str or path-like or None
        Dataset of `vocsmooth build`; with `resume`, None takes the one the run began with.
    run_dir : str or path-like
        New folder for states, best networks (safetensors), metrics.jsonl and TensorBoard files.
    config : Config, str or path-like, optional
        All settings, or the name or file of them, see `csgisnet.training.config.load_config`; by
        default "compact", or with `resume` those the run began with.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to train.
    resume : bool
        Continue the run in `run_dir`.
    segmenter, features : str or path-like, optional
        Teachers of the semantic and the contrast term, see
        `csgisnet.objective.teachers.load_teachers`; with `resume`, by default those the run began
        with.
    simplifier : str or path-like, optional
        Network that makes the labels of level 1, see `csgisnet.training.levels`; by default the
        one to start from.
    photographs : str or path-like, optional
        Dataset of photographs that teach level 1, see `csgisnet.training.photographs`.
    output_stride : {8, 16}, optional
        Of a public segmenter whose file does not say it; the run remembers it.
    initial : SmoothingNetwork, optional
        Network to start from instead of random weights, as
        `csgisnet.checkpoints.networks.load_network` returns it; its size replaces the one in
        `config`. Not with `resume`: that run has its own.
    network : Module, optional
        One of your own, trained in place of ours: it maps (B, 3, H, W) to an image of that shape or
        a `Smoothing`, at any size. Needed again with `resume`; seeded alike in all processes.
    loss : callable, optional
        Called with what the network made of a batch (`csgisnet.networks.smoothing.Smoothing`) and
        the batch (`csgisnet.objective.losses.Batch`); returns the value to minimise, in the place
        of the terms of `config`, or that and a dict of terms to log. A run that began with one
        needs it again with `resume`.
    callback : callable, optional
        Called in the leading process with the step and the values of each record of the log, by
        names such as "train/loss" and "validation/psnr_result". If it returns True, the state is
        saved and the run ends, as by a signal; what it raises ends the run at once.
    report : callable
        Called with each line of the log.

    Raises
    ------
    InputError, ConfigError, CheckpointError, DatasetError
        An argument cannot be used, another process trains in `run_dir`, or the segmenter of the
        semantic term knows no more than a constant answer; nothing has been trained.
    TrainingError
        A loss or gradient is not finite (the message says where its batch was saved), a file
        cannot be written, or the dataset is gone.
    """
    run_dir = as_path(run_dir, "run_dir")
    with (
        join_processes(pick_device(device), report) as processes,
        stop_signals() as stopped,
        ExitStack() as stack,
    ):
        report = report if processes.leads else report_nothing

        # Check and load everything before anything is written.
        given = Sources(
            data=as_path_or_none(data_dir, "data_dir"),
            segmenter=as_path_or_none(segmenter, "segmenter"),
            features=as_path_or_none(features, "features"),
            simplifier=as_path_or_none(simplifier, "simplifier"),
            photographs=as_path_or_none(photographs, "photographs"),
            output_stride=output_stride,
        )
        setup = settled(
            (resumed_run if resume else new_run)(
                run_dir,
                given,
                None if config is None else as_config(config),
                initial,
                Own(loss=loss, network=own_network(network)),
            ),
            processes,
            report,
            resume=resume,
        )
        config, run = setup.config, setup.config.run
        teachers = setup.load_teachers().to(processes.device)
        training = Training(
            config, teachers, processes, setup.network, objective_of(loss), setup.load_simplifier()
        )
        source = batch_source(setup, processes)
        validation = Validation(filled(setup.dataset, "val"), config, processes)

        if not resume:
            _check_teacher(setup, teachers, processes, report)

        # Claim the folder, and load the newest state from it.
        processes.wait()  # until every process has looked at the folder
        if processes.leads:
            stack.enter_context(claim_run(run_dir, begin=None if resume else setup))
        best = restore(run_dir, training, report) if resume else None

        # Train until the last step, or until a signal.
        began = time.monotonic()
        log: RunLog | None = None
        if processes.leads:
            log = stack.enter_context(closing(RunLog(run_dir, training.step, config, callback)))
        values, stop = StepValues(processes), False
        batches = _remaining(source, training.step, run)
        with explained(training, run_dir), closing(batches):
            while training.step < run.steps and not stop:
                values.add(training.advance(batches))
                step = training.step
                stop = _told_to_stop(stopped, step, processes)
                due = _due_after(step, run, stop=stop)

                if due.log:
                    table = values.take()
                    check_finite(table, step, source, run_dir, setup, processes)
                    if log is not None:
                        means = {**table.means(), "lr": training.learning_rate}
                        report(log.train(step, means, config.data.batch_size * run.accumulate))

                if due.validate:
                    scores = validation.score(training.average)
                    best = better(best, scores)
                    if log is not None:
                        panel = validation.draw_panel(training.average)
                        report(log.validation(step, scores, panel))
                        keep_network(run_dir, training, scores, setup)

                stop = stop or (due.log and processes.any(log is not None and log.told_to_stop))
                if (due.save or stop) and processes.leads:
                    keep_state(run_dir, training, best, keep=run.keep_states)

                if log is not None and (due.validate or due.save or stop):
                    log.restart_clock(step)

        # Say how it ended.
        if training.step < run.steps:
            report(f"stopped after step {training.step}; --resume continues from there")
        processes.wait()
        return Summary(
            leads=processes.leads,
            finished=training.step >= run.steps,
            steps=training.step,
            seconds=time.monotonic() - began,
            scores=best,
            best=None if best is None else run_dir / BEST_FILE,
        )


def _check_teacher(
    setup: Setup, teachers: Teachers, processes: Processes, report: Callable[[str], None]
) -> None:
    """Refuse a teacher of the semantic term that has nothing to teach; warn of one nobody asks."""
    losses = setup.config.losses
    if teachers.segmenter is None:
        return
    if "semantic" in losses.terms:
        split, refuse = setup.dataset.split("val"), setup.config.run.check_teacher
        check_teacher(teachers.segmenter, split, processes, report, refuse=refuse)
    elif not needs_features(losses):
        report(
            "warning: no term of this configuration asks the segmenter. losses.semantic_share or "
            "losses.contrast_share, 0.1 say, turns one on."
        )


def _remaining(
    source: BatchSource | MixedSource, step: int, run: RunConfig
) -> Generator[Batch, None, None]:
    """Yield the batches of all steps after `step`."""
    return source.batches(step * run.accumulate, run.steps * run.accumulate)


def _told_to_stop(stopped: Callable[[], bool], step: int, processes: Processes) -> bool:
    """Tell whether a signal has reached any process; several processes ask only now and then."""
    if processes.world > 1 and step % _ASK_EVERY != 0:
        return False
    return processes.any(stopped())


class _Due(NamedTuple):
    """What to do after a step."""

    log: bool
    validate: bool
    save: bool


def _due_after(step: int, run: RunConfig, *, stop: bool) -> _Due:
    """Return what is due after `step`; the last step of all, and one that a signal ends, save.

    Validating and saving also log: they must not see values that are not finite.
    """
    last = step == run.steps
    validate = step % run.validate_every == 0 or last
    save = step % run.checkpoint_every == 0 or last or stop
    return _Due(
        log=step % run.log_every == 0 or validate or save,
        validate=validate,
        save=save,
    )
