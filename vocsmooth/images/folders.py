"""Smooth files and whole folders: read, smooth and write each file of a plan (`destinations`).

A file that fails is named with its reason, and the others are smoothed all the same; every output
appears completely or not at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vocsmooth.arrays import Pixels, to_float, to_uint
from vocsmooth.errors import ConvergenceError, InputError, VocsmoothError
from vocsmooth.images.destinations import Task
from vocsmooth.images.reading import MAX_PIXELS, Picture, read_picture
from vocsmooth.images.writing import write_picture
from vocsmooth.workers.processes import WorkerDied, run_tasks

FloatSmoother: TypeAlias = Callable[..., NDArray[np.float32]]
"""Takes ``(H, W)`` or ``(H, W, 3)`` float32 in [0, 1] and returns the same shape. Where tasks have
a mask, its path comes second."""

PixelSmoother: TypeAlias = Callable[..., tuple[Pixels, NDArray[np.uint8] | None]]
"""Takes ``(H, W)`` or ``(H, W, 3)`` uint8 or uint16, and returns the same shape and type, and the
edges (H, W), needed only for tasks that ask for them. Where tasks have a mask, its path comes
second."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one file."""

    task: Task
    state: Literal["written", "skipped", "failed"]
    reason: str = ""
    """Why it failed, beginning with the path."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What became of all files."""

    written: int
    skipped: int
    failures: tuple[Outcome, ...]
    """In the order of the plan."""
    seconds: float


def on_floats(function: FloatSmoother) -> PixelSmoother:
    """Return a function that smooths pixels as `function` smooths floats; picklable if that is."""
    return partial(_smooth_as_float, function=function)


def run(
    tasks: Sequence[Task],
    function: PixelSmoother,
    *,
    jobs: int = 1,
    workers: Literal["processes", "threads"] = "processes",
    skip_existing: bool = False,
    quality: int = 95,
    max_pixels: int = MAX_PIXELS,
    progress: Callable[[Outcome], None] | None = None,
) -> Summary:
    """Read, smooth and write every file of a plan.

    Grey stays grey, 16 bits stay 16 where the format has them, the alpha channel and the ICC
    profile pass through, orientation is applied; see `vocsmooth.images.reading` for other modes.

    Parameters
    ----------
    tasks
        From `vocsmooth.images.destinations.plan`.
    function
        Picklable for processes; `on_floats` makes one of an operator. For threads it is called by
        several at once: a function that must not be (a network on a GPU) holds a lock of its own,
        and reading and writing of other files then overlap with it.
    jobs
        Files in work at a time; one is worked on in this process.
    workers
        Processes for operators on the CPU, one thread each; threads for a network.
    skip_existing
        Skip files whose outputs exist (an output that exists is complete).
    quality
        1 to 100, for JPEG and WebP.
    max_pixels
        Refuse larger files.
    progress
        Called in this thread after each file.

    Raises
    ------
    InputError
        A folder for the results cannot be made.
    """
    start = time.monotonic()
    smooth = partial(_smooth_file, function=function, quality=quality, max_pixels=max_pixels)
    work = partial(attempt, smooth=smooth, skip_existing=skip_existing)
    make_folders(tasks)
    outcomes: dict[Task, Outcome] = {}
    for outcome in _outcomes(work, tasks, jobs, workers):
        outcomes[outcome.task] = outcome
        if progress:
            progress(outcome)
    return summarise([outcomes[task] for task in tasks], time.monotonic() - start)


def summarise(outcomes: Sequence[Outcome], seconds: float) -> Summary:
    """Count the outcomes."""
    states = [outcome.state for outcome in outcomes]
    return Summary(
        written=states.count("written"),
        skipped=states.count("skipped"),
        failures=tuple(outcome for outcome in outcomes if outcome.state == "failed"),
        seconds=seconds,
    )


def _outcomes(
    work: Callable[[Task], Outcome], tasks: Sequence[Task], jobs: int, workers: str
) -> Iterator[Outcome]:
    """Do all tasks, and yield the outcome of each as soon as it is known."""
    if jobs == 1:
        yield from map(work, tasks)
    elif workers == "threads":
        with ThreadPoolExecutor(jobs) as pool:
            try:
                for done in as_completed([pool.submit(work, task) for task in tasks]):
                    yield done.result()
            finally:
                pool.shutdown(cancel_futures=True)
    else:
        for task, outcome in run_tasks(work, tasks, jobs):
            yield _lost(task) if isinstance(outcome, WorkerDied) else outcome


def attempt(task: Task, *, smooth: Callable[[Task], None], skip_existing: bool) -> Outcome:
    """Smooth one file; an error in it, or in writing the result, becomes the outcome."""
    if skip_existing and all(path.is_file() for path in task.outputs):
        return Outcome(task=task, state="skipped")
    try:
        smooth(task)
    except VocsmoothError as error:
        reason = str(error)
        if not reason.startswith(str(task.source)):
            reason = f"{task.source}: {reason}"
        return Outcome(task=task, state="failed", reason=reason)
    except MemoryError:
        return Outcome(task=task, state="failed", reason=f"{task.source}: not enough memory.")
    return Outcome(task=task, state="written")


def _smooth_file(task: Task, *, function: PixelSmoother, quality: int, max_pixels: int) -> None:
    """Read, smooth and write one file."""
    picture = read_picture(task.source, max_pixels)
    masks = () if task.mask is None else (task.mask,)
    pixels, edges = function(picture.pixels, *masks)
    smoothed = Picture(pixels=pixels, alpha=picture.alpha, icc=picture.icc)
    del picture, pixels  # of 100 megapixels 300 MB, which encoding could use
    if task.edges is not None and edges is not None:
        _write(task.edges, Picture(pixels=edges), quality)
    try:
        _write(task.destination, smoothed, quality)
    except VocsmoothError:
        if task.edges is not None:  # they are of no use without their picture
            task.edges.unlink(missing_ok=True)
        raise


def _write(path: Path, picture: Picture, quality: int) -> None:
    """Write a picture; an error of the system becomes an error of this file."""
    try:
        write_picture(path, picture, quality)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"the result {path} cannot be written: {reason}.") from None


def _smooth_as_float(pixels: Pixels, *masks: Path, function: FloatSmoother) -> tuple[Pixels, None]:
    """Convert pixels to floats, smooth them, and convert them back."""
    result = function(to_float(pixels), *masks)
    if not np.isfinite(result).all():
        raise ConvergenceError("the result has NaN or infinite values.")
    return to_uint(result, pixels.dtype), None


def _lost(task: Task) -> Outcome:
    """Return the outcome of a file whose worker process died of it."""
    reason = f"{task.source}: its worker process died (killed, or out of memory)."
    return Outcome(task=task, state="failed", reason=reason)


def make_folders(tasks: Iterable[Task]) -> None:
    """Make the folders of all results."""
    try:
        for folder in {task.destination.parent for task in tasks}:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{error.filename}: cannot make folder: {error.strerror}.") from None
