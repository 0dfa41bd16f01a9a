"""Smooth files and whole folders: plan every output first, then read, smooth and write each file.

The plan finds collisions before anything is written. A file that fails is named with its reason and
the others go on; every output appears whole or not at all.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vocsmooth.errors import ConvergenceError, InputError, VocsmoothError
from vocsmooth.image_writing import FORMATS, write_picture
from vocsmooth.images import MAX_PIXELS, Picture, read_picture, to_float, to_uint
from vocsmooth.settings import nearest
from vocsmooth.workers import WorkerDied, run_tasks

IMAGE_SUFFIXES = frozenset(FORMATS) | {".gif", ".ppm", ".pgm", ".avif", ".jp2"}
"""Endings, in any case, by which files are found in folders; a file named itself may have any."""

Smoother = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Takes ``(H, W)`` or ``(H, W, 3)`` float32 in [0, 1] and returns the same shape."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One file to smooth."""

    source: Path
    destination: Path


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


def plan(
    inputs: Sequence[Path], out: Path, *, suffix: str = "", ending: str | None = None
) -> list[Task]:
    """Pair every input image with its output, and refuse the whole run if two paths collide.

    Parameters
    ----------
    inputs : sequence of Path
        Files, and folders, which are searched through all sub-folders (links to folders are not
        followed, names that begin with a dot are passed over). Sub-folders are mirrored in `out`.
    out : Path
        Folder for the results; may not exist yet. Where it lies inside an input folder, what it
        holds is no input.
    suffix : str
        Added to each file's name before its ending.
    ending : str, optional
        "png", "jpg", ...: the format of all results. By default each keeps its own; formats that
        can be read but not written become PNG.

    Returns
    -------
    list of Task
        In the order of `inputs`, each folder's files sorted by path.

    Raises
    ------
    InputError
        An input is missing, a folder holds no image, the format is unknown, two inputs would write
        one output, or an output would replace an input.
    """
    if not inputs:
        raise InputError("No inputs: give image files or folders.")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; the results need a folder.")
    new_ending = None if ending is None else _checked_ending(ending)
    tasks = {}
    for given in inputs:
        for source, relative in _find(given, out):
            name = relative.stem + suffix + (new_ending or _own_ending(relative))
            task = Task(source=source, destination=out / relative.with_name(name))
            tasks[task.source, task.destination] = task  # the same file given twice is one task
    _refuse_collisions(tasks.values())
    return list(tasks.values())


def run(
    tasks: Sequence[Task],
    function: Smoother,
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
    profile pass through, orientation is applied; see `vocsmooth.images` for other modes. The
    function sees colour and grey values as stored, divided by 255 or 65535.

    Parameters
    ----------
    tasks
        From `plan`.
    function
        Picklable for processes. For threads it is called by several at once: a function that must
        not be (a network on a GPU) holds a lock of its own, and reading and writing of other files
        then overlap with it.
    jobs
        Files in work at a time; one is worked on in this process.
    workers
        Processes for operators on the CPU, one thread each; threads for a network.
    skip_existing
        Leave files alone whose output exists (outputs are only ever whole).
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
    work = partial(
        _attempt,
        function=function,
        skip_existing=skip_existing,
        quality=quality,
        max_pixels=max_pixels,
    )
    _make_folders(tasks)
    outcomes: dict[Task, Outcome] = {}
    for outcome in _outcomes(work, tasks, jobs, workers):
        outcomes[outcome.task] = outcome
        if progress:
            progress(outcome)
    states = [outcome.state for outcome in outcomes.values()]
    return Summary(
        written=states.count("written"),
        skipped=states.count("skipped"),
        failures=tuple(outcomes[task] for task in tasks if outcomes[task].state == "failed"),
        seconds=time.monotonic() - start,
    )


def _outcomes(
    work: Callable[[Task], Outcome], tasks: Sequence[Task], jobs: int, workers: str
) -> Iterator[Outcome]:
    """Do all tasks and yield what became of each when it is known."""
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


def _attempt(task: Task, *, skip_existing: bool, **options: Any) -> Outcome:
    """Smooth one file; what is wrong with it, or with writing it, becomes the outcome."""
    if skip_existing and task.destination.is_file():
        return Outcome(task=task, state="skipped")
    try:
        _smooth_file(task, **options)
    except VocsmoothError as error:
        reason = str(error)
        if str(task.source) not in reason and str(task.destination) not in reason:
            reason = f"{task.source}: {reason}"
        return Outcome(task=task, state="failed", reason=reason)
    except MemoryError:
        return Outcome(task=task, state="failed", reason=f"{task.source}: not enough memory.")
    except OSError as error:
        reason = f"{task.destination}: cannot be written: {error.strerror or error}."
        return Outcome(task=task, state="failed", reason=reason)
    return Outcome(task=task, state="written")


def _smooth_file(task: Task, *, function: Smoother, quality: int, max_pixels: int) -> None:
    """Read, smooth, write."""
    picture = read_picture(task.source, max_pixels)
    result = function(to_float(picture.pixels))
    if not np.isfinite(result).all():
        raise ConvergenceError(f"{task.source}: the result has NaN or infinite values.")
    pixels = to_uint(result, picture.pixels.dtype)
    smoothed = Picture(pixels=pixels, alpha=picture.alpha, icc=picture.icc)
    write_picture(task.destination, smoothed, quality)


def _lost(task: Task) -> Outcome:
    """Outcome of a file whose worker process died of it."""
    reason = f"{task.source}: its worker process died (killed, or out of memory)."
    return Outcome(task=task, state="failed", reason=reason)


def _find(given: Path, out: Path) -> list[tuple[Path, Path]]:
    """Return (file, path under the output folder) for a file or for all images in a folder."""
    if not given.is_dir():
        if not (given.exists() or given.is_symlink()):
            raise InputError(f"No file or folder {given}.")
        return [(given, Path(given.name))]
    found = []
    for folder, subfolders, files in os.walk(given, onerror=_refuse_folder):
        here = Path(folder)
        subfolders[:] = [
            name
            for name in subfolders
            if not name.startswith(".") and os.path.realpath(here / name) != os.path.realpath(out)
        ]
        # A folder or link named like an image is taken for one and reported when it is read.
        names = [name for name in subfolders + files if _looks_like_an_image(name)]
        found += [(here / name, (here / name).relative_to(given)) for name in names]
    if not found:
        endings = " ".join(sorted(IMAGE_SUFFIXES))
        raise InputError(f"No images in {given}; looked for files ending in {endings}.")
    return sorted(found)


def _looks_like_an_image(name: str) -> bool:
    """Whether a name in a folder has the ending of an image and is not hidden."""
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES


def _refuse_folder(error: OSError) -> None:
    """Stop before starting when a folder cannot be listed: its images would be missed silently."""
    raise InputError(f"{error.filename}: cannot be listed: {error.strerror}.")


def _own_ending(path: Path) -> str:
    """Ending of the output for an input that keeps its format, if that can be written."""
    return path.suffix if path.suffix.lower() in FORMATS else ".png"


def _checked_ending(ending: str) -> str:
    """Return the ending with its dot."""
    dotted = "." + ending.lower().removeprefix(".")
    if dotted not in FORMATS:
        legal = [name.removeprefix(".") for name in FORMATS]
        raise InputError(f"Cannot write format {ending!r}.{nearest(ending, legal)}")
    return dotted


def _refuse_collisions(tasks: Iterable[Task]) -> None:
    """Refuse two inputs for one output, and outputs over inputs."""
    sources = {os.path.realpath(task.source) for task in tasks}  # links to themselves too
    writers: dict[str, Path] = {}
    for task in tasks:
        place = os.path.realpath(task.destination)
        if place in sources:
            raise InputError(
                f"The result of {task.source} would replace the input {place}; "
                "choose another output folder, or a suffix for the names."
            )
        other = writers.setdefault(os.path.normcase(place), task.source)
        if other != task.source:
            raise InputError(
                f"{other} and {task.source} would both write {task.destination}; "
                "run them into different output folders."
            )


def _make_folders(tasks: Iterable[Task]) -> None:
    """Make the folders of all results."""
    try:
        for folder in {task.destination.parent for task in tasks}:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{error.filename}: cannot make folder: {error.strerror}.") from None
