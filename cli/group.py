"""What both commands share: errors printed as one line, and a progress bar on stderr."""

from __future__ import annotations

import errno
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vocsmooth.errors import VocsmoothError

_SECONDS_BETWEEN_LINES = 10.0
"""How often a log that is not a terminal gets a line of progress."""

CONTEXT = {"help_option_names": ["-h", "--help"], "show_default": True}


class Commands(click.Group):
    """A group that prints the project's and the system's errors as one line, with exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command."""
        _hush_decoders()
        try:
            return super().invoke(ctx)
        except VocsmoothError as error:
            raise click.ClickException(str(error)) from error
        except ImportError as error:
            raise click.ClickException(
                f"A package cannot be imported: {error}. `vocsmooth info` lists what is installed "
                "and what is missing."
            ) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader of our output is gone, which click handles
                raise
            raise click.ClickException(_sentence(error)) from error


def _hush_decoders() -> None:
    """Silence OpenCV and Pillow about damaged files, which our own errors report.

    This goes through the environment, which worker processes inherit; what the user has set stays.
    """
    os.environ.setdefault(
        "OPENCV_LOG_LEVEL", "SILENT"
    )  # OpenCV reads it when it is imported, which is later
    hushed = [f"PIL.{name}" for name in ("TiffImagePlugin", "PngImagePlugin", "Image")]
    os.environ.setdefault("PYTHONWARNINGS", ",".join(f"ignore:::{name}" for name in hushed))
    if not sys.warnoptions:
        warnings.filterwarnings("ignore", module=r"PIL\.")


class Bar:
    """A progress bar, and lines that are printed above it; in a log, a line every ten seconds."""

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
        if self._progress.disable:
            self._log(time.monotonic())

    def _log(self, now: float) -> None:
        """Print the first state, the last one, and one every ten seconds in between."""
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
        self.print(line)

    def print(self, line: str) -> None:
        """Print a line on stderr without breaking the bar."""
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)


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
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield Bar(progress, description, total)


def _duration(seconds: float) -> str:
    """Write seconds as hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))


def _sentence(error: OSError) -> str:
    """Say which file failed and why."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}." if error.filename else f"{reason}."
