"""Tasks in a process that may die of them: one child for each thread, kept from task to task.

For threads of a Dask worker, which must outlive a photograph that ends the process that works on
it; Dask's workers may not start processes with multiprocessing or loky.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from typing import TypeVar

from vocsmooth.workers.processes import ONE_THREAD, WorkerDied, prepare_worker

Task = TypeVar("Task")

Result = TypeVar("Result")

_TRIES = 2

_own = threading.local()


@dataclass(frozen=True, kw_only=True)
class _Child:
    """A process of this module and the way to it."""

    process: subprocess.Popen[bytes]
    connection: Connection


def run_in_child(function: Callable[[Task], Result], task: Task) -> Result | WorkerDied:
    """Run a task in this thread's child process; what it raises is raised here.

    A child that dies is replaced and the task run again; `WorkerDied` if it does so once more.

    Parameters
    ----------
    function : callable
        At the top level of a module.
    task
        Its argument; it and the result are pickled.
    """
    for _ in range(_TRIES):
        connection = _find_child().connection
        try:
            connection.send((function, task))
            error, result = connection.recv()
        except (EOFError, ConnectionError):
            close_child()
            continue
        if error is not None:
            raise error
        answer: Result = result
        return answer
    return WorkerDied()


def close_child() -> None:
    """End this thread's child process if there is one; the next task gets another."""
    child: _Child | None = getattr(_own, "child", None)
    if child is not None:
        child.connection.close()
        child.process.kill()
        child.process.wait()
        _own.child = None


def _find_child() -> _Child:
    """Return this thread's child process, a new one if there is none."""
    child: _Child | None = getattr(_own, "child", None)
    if child is None:
        ours, theirs = Pipe()
        with theirs:
            command = [sys.executable, "-m", "vocsmooth.workers.child", str(theirs.fileno())]
            process = subprocess.Popen(
                [*command, str(os.getpid())],
                pass_fds=[theirs.fileno()],
                env={**os.environ, **ONE_THREAD},
            )
        child = _own.child = _Child(process=process, connection=ours)
    return child


def main() -> None:
    """Serve the process that started this one, until it closes the connection or is gone."""
    descriptor, parent = map(int, sys.argv[1:])
    prepare_worker(parent)
    # The executor takes whatever a task raises, to be raised in the parent.
    with Connection(descriptor) as connection, ThreadPoolExecutor(1) as thread:
        while True:
            try:
                function, task = connection.recv()
            except EOFError:
                return
            future = thread.submit(function, task)
            error = future.exception()
            connection.send((error, None if error else future.result()))


if __name__ == "__main__":
    main()
