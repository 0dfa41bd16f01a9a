"""Run tasks in a child process, so that a crash kills the child and not the worker.

Each thread of a Dask worker has one child, which it keeps from task to task. The children are
started by hand, since Dask's workers may not start processes with multiprocessing or loky.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from typing import TypeVar

from vocsmooth.errors import ClusterError
from vocsmooth.workers.processes import ONE_THREAD, WorkerDied, prepare_worker

Task = TypeVar("Task")

Result = TypeVar("Result")

_TRIES = 2

_own = threading.local()


@dataclass(frozen=True, kw_only=True)
class _Child:
    """A child process and the connection to it."""

    process: subprocess.Popen[bytes]
    connection: Connection


def run_in_child(function: Callable[[Task], Result], task: Task) -> Result | WorkerDied:
    """Run a task in this thread's child process; what it raises is raised here.

    If the child dies, the task is run again in a new one; if that dies too, return `WorkerDied`.

    Parameters
    ----------
    function : callable
        Must be defined at the top level of a module.
    task
        The argument of `function`; it and the result are pickled.
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
            raise _placed(error)
        answer: Result = result
        return answer
    return WorkerDied()


def _placed(error: BaseException) -> BaseException:
    """Add the name of the machine to an error of the system, such as a full disk."""
    if isinstance(error, OSError) and error.strerror:
        reason = f"on {platform.node()}: {error.strerror}"
        return OSError(error.errno, reason, error.filename)
    return error


def close_child() -> None:
    """End this thread's child process, if it has one; the next task gets a new one."""
    child: _Child | None = getattr(_own, "child", None)
    if child is not None:
        child.connection.close()
        child.process.kill()
        child.process.wait()
        _own.child = None


def _find_child() -> _Child:
    """Return this thread's child process; start it if there is none."""
    if sys.platform == "win32":
        raise ClusterError(
            "This worker of the cluster runs on Windows, where workers are not supported. Use "
            "workers on Linux or macOS, or build there with --jobs, or with --part I/N."
        )
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
    """Run tasks for the process that started this one, until it closes the connection or dies."""
    descriptor, parent = map(int, sys.argv[1:])
    prepare_worker(parent)
    # The executor catches whatever a task raises, so that the parent can raise it.
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
