"""Train a smoothing network: from a dataset and a configuration to a folder of checkpoints."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from csgisnet.device import pick_device
from csgisnet.networks.smoothing import SmoothingNetwork
from csgisnet.objective.teachers import load_teachers
from csgisnet.training.config import Config
from csgisnet.training.distributed import join_processes
from csgisnet.training.loop import Summary, run_steps, take_up
from csgisnet.training.progress import to_stderr
from csgisnet.training.runs import Sources, begin_run, new_run, resumed_run
from csgisnet.training.step import Training

EXIT_STOPPED = 75
"""Exit code of a command that a signal stopped after it had saved its state: try again later."""


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

    On a CPU, a run that was killed and resumed ends bit for bit like one that was not, on the same
    machine with the same number of threads. SIGTERM and SIGINT save the state and end the run.
    Under torchrun each process takes its share of every batch.

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
        Continue the run in `run_dir`.
    segmenter, features : Path, optional
        Teachers of the semantic and the contrast term, see
        `csgisnet.objective.teachers.load_teachers`; with `resume` those of the run.
    initial : SmoothingNetwork, optional
        Network to start from instead of random weights, as
        `csgisnet.checkpoints.networks.load_network` returns it; its size takes the place of the one
        in `config`. A run to resume has its own.
    report : callable
        Takes each line of the log.

    Raises
    ------
    InputError, ConfigError, CheckpointError, DatasetError
        Something given cannot be used; nothing has been trained.
    TrainingError
        The loss is no longer a number.
    """
    settle = resumed_run if resume else new_run
    with join_processes(pick_device(device)) as processes, _stop_signals() as stopped:
        given = Sources(data=data_dir, segmenter=segmenter, features=features)
        start = settle(run_dir, given, config, initial)
        teachers = load_teachers(
            start.config.losses, start.sources.segmenter, start.sources.features
        )
        training = Training(start.config, teachers.to(processes.device), processes, start.initial)
        report = report if processes.leads else _silence
        processes.wait()  # until all have looked at the folder, before one writes to it
        best = None
        if resume:
            best = take_up(run_dir, training, report)
        elif processes.leads:
            begin_run(run_dir, start)
        return run_steps(run_dir, start, training, processes, best, stopped, report)


@contextlib.contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """Note SIGTERM and SIGINT instead of ending at once; a second signal ends the process."""
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
