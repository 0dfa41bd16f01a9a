"""Save what a run leaves on disk: states to resume from, the best networks, a batch that failed."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

from csgisnet.checkpoints.best import BEST_FILE, list_best, save_best
from csgisnet.checkpoints.states import load_latest, save_latest, save_state
from csgisnet.errors import TrainingError
from csgisnet.training.data import BatchSource
from csgisnet.training.distributed import Processes
from csgisnet.training.photographs import MixedSource
from csgisnet.training.runs import Setup
from csgisnet.training.step import Training
from csgisnet.training.validate import Scores
from csgisnet.training.values import StepTable
from vocsmooth import settings
from vocsmooth.errors import DatasetError
from vocsmooth.files import write_atomically


@contextlib.contextmanager
def explained(training: Training, folder: Path) -> Iterator[None]:
    """Add to an error of the disk or the dataset what becomes of the steps done so far."""
    try:
        yield
    except (OSError, DatasetError) as error:
        reason = str(error)
        if isinstance(error, OSError):
            reason = f"{error.filename or folder}: {error.strerror or error}."
        raise TrainingError(
            f"The run in {folder} ended at step {training.step}: {reason} The states saved before "
            "are intact; when this is mended, continue with --resume."
        ) from error


def restore(folder: Path, training: Training, report: Callable[[str], None]) -> Scores | None:
    """Load the newest undamaged state, if there is one; return the best scores until then.

    Reports where the run resumes, and which damaged states were passed over.
    """
    latest = load_latest(folder)
    if latest is None:
        return None
    for reason in latest.refused:
        report(f"warning: {reason} Going back to {latest.path.name}.")
    training.restore(latest.state["training"])
    report(f"resuming after step {training.step} from {latest.path}")
    best = latest.state["best"]
    return None if best is None else Scores(**best)


def better(best: Scores | None, scores: Scores) -> Scores:
    """Return the scores with the higher PSNR of the result; the earlier ones if both are equal."""
    return scores if best is None or scores.psnr_result > best.psnr_result else best


def keep_network(folder: Path, training: Training, scores: Scores, setup: Setup) -> None:
    """Keep the averaged network if it is among the best so far, and copy the best one."""
    record = {
        "step": training.step,
        "scores": dataclasses.asdict(scores),
        "dataset": setup.digest,
        "config": settings.to_dict(setup.config),
    }
    save_best(
        folder,
        scores.psnr_result,
        training.step,
        training.average,
        metadata=record,
        keep=setup.config.run.keep_best,
    )
    write_atomically(folder / BEST_FILE, list_best(folder)[0].read_bytes())


def keep_state(folder: Path, training: Training, best: Scores | None, *, keep: int) -> None:
    """Save all that `restore` needs, and remove all but the `keep` newest states."""
    scores = None if best is None else dataclasses.asdict(best)
    state = {"training": training.state(), "best": scores}
    save_latest(folder, training.step, state, keep=keep)


def check_finite(
    table: StepTable,
    step: int,
    source: BatchSource | MixedSource,
    folder: Path,
    setup: Setup,
    processes: Processes,
) -> None:
    """Raise TrainingError if a value up to `step` is not finite, with the step's batches saved."""
    row = table.first_bad()
    if row is None:
        return
    failed = step - len(table.rows) + row + 1
    path = folder / f"failed-step{failed:09d}-rank{processes.rank}.pt"
    count = setup.config.run.accumulate
    batches = source.batches((failed - 1) * count, failed * count)
    save_state(path, {"batches": [batch._asdict() for batch in batches]})
    raise TrainingError(
        f"Step {failed} has values that are not finite: {table.describe(row)}. Its batch is in "
        f"{path}; the states saved before it are intact. Lower optimizer.lr or "
        "optimizer.clip_norm, or set run.precision to float32."
    )
