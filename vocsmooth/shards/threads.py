"""Threads that do not keep Python from ending, as those of an executor do.

One of them may wait for a server that never answers.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")


class Threads:
    """Runs tasks in threads, each of which ends when no task is left.

    Parameters
    ----------
    most : int
        Threads that run at a time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._tasks: deque[Callable[[], None]] = deque()
        self._running = 0

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Start a task, at once or when a thread is free."""
        future: Future[Result] = Future()

        def task() -> None:
            try:
                future.set_result(function(*arguments))
            except BaseException as error:
                future.set_exception(error)

        with self._lock:
            self._tasks.append(task)
            if self._running < self._most:
                self._running += 1
                threading.Thread(target=self._work, name="vocsmooth-remote", daemon=True).start()
        return future

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._tasks:
                    self._running -= 1
                    return
                task = self._tasks.popleft()
            task()
