"""Worker processes that use one core each and never outlive the process that started them."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeVar

import cv2
from joblib import Parallel, delayed, parallel_config

Item = TypeVar("Item")
Result = TypeVar("Result")

_PR_SET_PDEATHSIG = 1


def unordered(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    jobs: int,
    kind: Literal["processes", "threads"] = "processes",
) -> Iterator[Result]:
    """Yield ``function(item)`` for every item, as each is done.

    Parameters
    ----------
    function
        Picklable for processes. What it raises ends the iteration, so catch in it what is expected.
    items
        Taken lazily, at most two for each worker ahead.
    jobs
        Workers at a time; 1 runs in this process.
    kind
        Processes for work that holds the interpreter lock, threads for work that waits.

    Raises
    ------
    joblib.externals.loky.process_executor.TerminatedWorkerError
        A worker process was killed or crashed.
    """
    options: dict[str, object] = {"backend": "threading"}
    if kind == "processes":
        options = {
            "backend": "loky",
            "inner_max_num_threads": 1,
            "initializer": _prepare_worker,
            "initargs": (os.getpid(),),
        }
    with parallel_config(**options):
        parallel = Parallel(n_jobs=jobs, batch_size=1, return_as="generator_unordered")
    yield from parallel(delayed(function)(item) for item in items)


def _prepare_worker(parent: int) -> None:
    """Limit OpenCV's threads (loky does not) and tie this process' life to its parent's."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)
