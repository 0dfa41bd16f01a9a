"""What both commands share: errors as one line, and a progress bar on stderr."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vocsmooth.errors import VocsmoothError

CONTEXT = {"help_option_names": ["-h", "--help"], "show_default": True}


class Commands(click.Group):
    """A group that reports the project's own errors and the system's as one line, exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except VocsmoothError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader of our output went away: click's business
                raise
            raise click.ClickException(_sentence(error)) from error


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[_Bar]:
    """Show a bar on stderr while the block runs; nothing is drawn where stderr is no terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield _Bar(progress, progress.add_task(description, total=total))


class _Bar:
    """A handle on one bar."""

    def __init__(self, progress: Progress, task: Any) -> None:
        self._progress, self._task = progress, task

    def advance(self, steps: int = 1) -> None:
        """Move the bar on."""
        self._progress.advance(self._task, steps)


def _sentence(error: OSError) -> str:
    """Say which file failed and why."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}." if error.filename else f"{reason}."
