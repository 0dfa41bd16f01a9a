"""Show progress on stderr: a bar in a terminal, lines in a log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .messages import amount, printable

_SECONDS_BETWEEN_LINES = 60.0
"""How often a log that is not a terminal gets a line of progress."""


class Bar:
    """A progress bar, and lines printed above it; in a log, a line a minute instead."""

    def __init__(self, progress: Progress, description: str, total: int | None) -> None:
        self._progress, self._description = progress, description
        self._task = progress.add_task(description, total=total)
        self._done, self._total = 0, total or 0
        self._first: int | None = None
        self._began = self._said = time.monotonic()

    def advance(self) -> None:
        """Move on by one."""
        self.update(self._done + 1, self._total)

    def update(self, done: int, total: int) -> None:
        """Move to `done` of `total`."""
        self._done, self._total = done, total
        self._progress.update(self._task, completed=done, total=total)
        if not self._progress.console.is_terminal:
            self._log(time.monotonic())

    def _log(self, now: float) -> None:
        """Print the first state, the last one, and one a minute in between."""
        if self._first is None:
            self._first = self._done  # what an earlier, interrupted command had finished
        elif self._done < self._total and now - self._said < _SECONDS_BETWEEN_LINES:
            return
        self._said = now
        line = f"{self._description}: {self._done} of {self._total}"
        rate = (self._done - self._first) / max(now - self._began, 1e-3)
        if self._done == self._total:
            line += f" in {_duration(now - self._began)}"
        elif rate > 0:
            left = _duration((self._total - self._done) / rate)
            line += f", {rate:.3g} a second, {left} left"
        self.note(line)

    def note(self, line: str) -> None:
        """Print a line above the bar, unless only errors are wanted."""
        if amount() != "errors":
            self.print(line)

    def detail(self, line: str) -> None:
        """Print a line above the bar if details are wanted."""
        if amount() == "details":
            self.print(line)

    def print(self, line: str) -> None:
        """Print a line on stderr without breaking the bar."""
        self._progress.console.print(
            printable(line), markup=False, highlight=False, emoji=False, soft_wrap=True
        )


@contextmanager
def progress_bar(description: str, total: int | None = None) -> Iterator[Bar]:
    """Show a bar on stderr while the block runs; a log that is not a terminal gets lines."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    hidden = not console.is_terminal or amount() == "errors" or total == 0
    with Progress(*columns, console=console, disable=hidden) as progress:
        yield Bar(progress, description, total)


def _duration(seconds: float) -> str:
    """Write seconds as hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))
