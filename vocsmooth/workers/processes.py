"""Run tasks in worker processes of one core each, which neither hang nor outlive their parent.

By loky and not by multiprocessing, which waits for ever for a worker that was killed.
"""

from __future__ import annotations

import ctypes
import itertools
import logging
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from types import FrameType
from typing import Any, Generic, Protocol, TypeVar

import cv2
from joblib.externals.loky import ProcessPoolExecutor

Task = TypeVar("Task")

Result = TypeVar("Result")

_PR_SET_PDEATHSIG = 1

SECONDS_BETWEEN_LOOKS = 1.0
"""Seconds between two calls of `idle` while a runner waits for its tasks."""

ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS",
    ),
    "1",
)
"""Environment variables that keep the libraries of a process to one thread."""


@dataclass(frozen=True)
class WorkerDied:
    """Stands in for the result of a task that killed its worker even when it ran alone."""


class Waiting(Generic[Task]):
    """Tasks that have not begun, of which only the next ones are held.

    Parameters
    ----------
    tasks : iterable
        The tasks.
    ahead : int
        How many of them to hold.
    """

    def __init__(self, tasks: Iterable[Task], ahead: int) -> None:
        self._tasks = iter(tasks)
        self.next = deque(itertools.islice(self._tasks, ahead))
        """The next ones, in order; empty if none is left."""

    def begin(self) -> Task:
        """Return the next task, which has begun."""
        task = self.next.popleft()
        self.next.extend(itertools.islice(self._tasks, 1))
        return task


class Runner(Protocol):
    """Runs a function on every task: on this machine like `run_tasks`, or elsewhere."""

    def __call__(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Generator[tuple[Task, Result | WorkerDied], None, None]:
        """Yield every task with its result, in the order in which they finish.

        Tasks are taken one by one, a few more than there are workers: millions need no memory.
        """


def local_runner(jobs: int, idle: Callable[[], None] = lambda: None) -> Runner:
    """Return a runner of tasks in this number of processes; see `run_tasks`."""

    def run(
        function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Generator[tuple[Task, Result | WorkerDied], None, None]:
        return run_tasks(function, tasks, jobs, idle)

    return run


def run_tasks(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    jobs: int,
    idle: Callable[[], None] = lambda: None,
    *,
    ahead: int = 0,
) -> Generator[tuple[Task, Result | WorkerDied], None, None]:
    """Run `function` on every task in `jobs` processes of one thread each; yield as they finish.

    A worker that dies costs nothing but time: the tasks that were running are run again, one at a
    time, and a task that kills its worker once more yields `WorkerDied`. Whatever ends the
    iteration early (an exception of `function`, which is raised here; closing the generator; an
    interrupt) kills the workers at once, and so does the death of this process.

    Parameters
    ----------
    function : callable
        Must be defined at the top level of a module.
    tasks : iterable
        The arguments of `function`; they and the results are pickled. Each is taken when a process
        is about to be free for it.
    jobs : int
        Number of processes, at least 1; even a single one is not this process.
    idle : callable
        Called in this thread about once a second while no task finishes.
    ahead : int
        How many tasks are handed out before a process is free for them, so that none waits for this
        one. They are among those that are run again after a death.
    """
    waiting = Waiting(tasks, jobs)
    while waiting.next:
        suspects = yield from _run_pool(function, waiting, idle, ahead)
        for task in suspects:
            if (yield from _run_pool(function, Waiting([task], 1), idle, 0)):
                yield task, WorkerDied()


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    else:  # noqa: RET505 (type checkers leave out what the other systems lack)
        return os.cpu_count() or 1


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt in the block, so that it ends as tidily as on Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run_pool(
    function: Callable[[Task], Result], waiting: Waiting[Task], idle: Callable[[], None], ahead: int
) -> Generator[tuple[Task, Result | WorkerDied], None, list[Task]]:
    """Run the tasks that wait; if a worker dies, return those that may have killed it."""
    workers = len(waiting.next)
    pool = ProcessPoolExecutor(
        workers, initializer=prepare_worker, initargs=(os.getpid(),), env=ONE_THREAD
    )
    running: dict[Future[Result], Task] = {}
    try:
        while waiting.next or running:
            while waiting.next and len(running) < workers + ahead:
                with _interrupts_held():
                    future = pool.submit(function, waiting.next[0])
                running[future] = waiting.begin()
            done, _ = wait(running, SECONDS_BETWEEN_LOOKS, return_when=FIRST_COMPLETED)
            if not done:
                idle()
            for future in sorted(done, key=_is_broken):
                result = future.result()
                yield running.pop(future), result
    except BrokenExecutor:
        return list(running.values())
    finally:
        with _manager_unheard():
            pool.shutdown(kill_workers=True)
    return []


def _is_broken(future: Future[Any]) -> bool:
    """Return whether a finished task has lost its worker."""
    return isinstance(future.exception(), BrokenExecutor)


@contextmanager
def _manager_unheard() -> Iterator[None]:
    """Hide tracebacks of loky's manager thread, which may miss a task that a shutdown just took."""
    before = threading.excepthook

    def hook(arguments: threading.ExceptHookArgs) -> None:
        if arguments.thread is None or arguments.thread.name != "ExecutorManagerThread":
            before(arguments)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold back Ctrl-C and SIGTERM while loky starts workers, which they would break off midway.

    The workers inherit the blocked Ctrl-C and leave it to the parent. In the parent that is not
    enough: another thread may take the signal, and Python then raises in the main one. On Windows
    nothing is inherited, and a worker that is starting may print that Ctrl-C has ended it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[tuple[int, FrameType | None]] = []
    signals = [s for s in (signal.SIGINT, signal.SIGTERM) if callable(signal.getsignal(s))]
    handlers = {s: signal.signal(s, lambda *call: caught.append(call)) for s in signals}
    try:
        with _interrupts_blocked():
            yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for caught_number, frame in caught:
        handler = signal.getsignal(caught_number)
        if callable(handler):
            handler(caught_number, frame)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block Ctrl-C for this thread and the processes that it starts; Windows cannot."""
    if sys.platform == "win32":
        yield
        return
    resource_tracker.ensure_running()  # if loky starts it, the signal gets through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def prepare_worker(parent: int) -> None:
    """Limit OpenCV to one thread (no variable does that), ignore Ctrl-C, die when `parent` does.

    Messages about the installation come from the parent alone, and not once more from each worker.
    A worker that a signal ends prints no traceback: its parent says which task it was. To have one,
    set PYTHONFAULTHANDLER=1.
    """
    os.environ.setdefault("PYTHONFAULTHANDLER", "")  # loky switches it on where the variable is not
    cv2.setNumThreads(1)
    logging.getLogger("vocsmooth").setLevel(logging.ERROR)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)
