"""Show progress on stderr: a bar in a terminal, lines in a log."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .messages import amount, printable

_SECONDS_BETWEEN_LINES = 60.0
"""How often a log that is not a terminal gets a line of progress."""

_MOST_NAMED = 20
"""So many photographs of each kind that were left out get a line of their own."""

_KINDS = {"rejected": "rejected", "error": "unusable"}
"""Why photographs are left out, and the words that count them."""


class Bar:
    """A progress bar, and lines printed above it; in a log, a line a minute instead."""

    def __init__(self, progress: Progress, description: str, total: int | None) -> None:
        self.left_out = Counter[str]()
        """How many photographs of each kind were left out."""
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
        text = self._description
        if counts := self._counts():
            text += f" ({counts} left out)"
        self._progress.update(self._task, completed=done, total=total, description=text)
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
        if counts := self._counts():
            line += f"; {counts} left out"
        self.note(line)

    def leave_out(self, kind: str, reason: str) -> None:
        """Print why a photograph was left out; once there are many of its kind, only count it.

        The next lines of progress, and the bar itself, say how many there are.
        """
        self.left_out[kind] += 1
        if self.left_out[kind] <= _MOST_NAMED:
            self._say(kind, f"{kind}: {reason}")

    def end_left_out(self, where: str) -> bool:
        """Say where all photographs are listed that were left out, unless each had its line.

        Returns whether it was said.
        """
        counts = self._counts()
        if counts:
            line = f"Left out: {counts}. The first {_MOST_NAMED} of each are named above; {where}."
            self._say("error" if self.left_out["error"] > _MOST_NAMED else "rejected", line)
        return bool(counts)

    def _counts(self) -> str:
        """Count what was left out, once not all of it has a line of its own."""
        if max(self.left_out.values(), default=0) <= _MOST_NAMED:
            return ""
        found = ((self.left_out[kind], word) for kind, word in _KINDS.items())
        return ", ".join(f"{count} {word}" for count, word in found if count)

    def _say(self, kind: str, line: str) -> None:
        """Print a line about photographs of a kind; only errors matter to who wants errors only."""
        (self.print if kind == "error" else self.note)(line)

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
