"""What both commands share: errors printed as one line, and a progress bar on stderr."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vocsmooth.errors import VocsmoothError

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
    """A progress bar, and lines printed above it."""

    def __init__(self, progress: Progress, description: str, total: int | None) -> None:
        self._progress, self._description = progress, description
        self._task = progress.add_task(description, total=total)

    def advance(self) -> None:
        """Move on by one."""
        self._progress.advance(self._task)

    def update(self, done: int, total: int) -> None:
        """Move to `done` of `total`; print a line instead if stderr is not a terminal."""
        self._progress.update(self._task, completed=done, total=total)
        if self._progress.disable:
            self.print(f"{self._description}: {done} of {total}")

    def print(self, line: str) -> None:
        """Print a line on stderr without breaking the bar."""
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress_bar(description: str, total: int | None = None) -> Iterator[Bar]:
    """Show a bar on stderr while the block runs, if stderr is a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield Bar(progress, description, total)


def _sentence(error: OSError) -> str:
    """Say which file failed and why."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}." if error.filename else f"{reason}."
