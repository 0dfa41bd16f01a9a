"""What both commands share: every error becomes one line and an exit code."""

from __future__ import annotations

import errno
import os
import select
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from vocsmooth.errors import OverrideError, UnknownNameError, VocsmoothError

from .messages import amount, note, prepare_streams, printable

CONTEXT = {"help_option_names": ["-h", "--help"], "show_default": True}

EXIT_INTERRUPTED = 130
"""Exit code after Ctrl-C, as in shells: 128 plus the number of the signal."""

_SAME = "The same command continues where it stopped."

_SKIPPING = "The same command with --skip-existing continues where it stopped."

_AFTER_INTERRUPT = {
    "build": _SAME,
    "export": _SAME,
    "repack": _SAME,
    "verify": "The same command skips the shards that were found intact.",
    **dict.fromkeys(("smooth", "enhance", "abstract", "compose", "predict"), _SKIPPING),
}
"""What to do after Ctrl-C, by command; the other commands start from the beginning."""


class Commands(click.Group):
    """A group of commands whose errors are one line each.

    The exit code is 1 for what the project and the system refuse, 2 for misuse (an unknown option
    as well as an unknown name), and 130 after Ctrl-C.
    """

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the group's own options."""
        prepare_streams()
        with _errors_as_lines():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command."""
        _hush_decoders()
        try:
            with _errors_as_lines(), _hints_as_notes():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            advice = _AFTER_INTERRUPT.get(ctx.invoked_subcommand or "", "")
            click.echo(f"\nInterrupted. {advice}".rstrip(), err=True)
            sys.exit(EXIT_INTERRUPTED)


@contextmanager
def _errors_as_lines() -> Iterator[None]:
    """Turn the errors that users can meet into click's, of one line without control characters."""
    try:
        yield
    except click.ClickException as error:
        error.message = printable(error.message)  # type: ignore[misc]
        raise
    except OSError as error:
        if error.errno == errno.EPIPE and _reader_is_gone():  # which click handles
            raise
        raise _line(_sentence(error)) from error
    except (OverrideError, UnknownNameError) as error:
        raise _line(str(error), click.UsageError) from error
    except VocsmoothError as error:
        raise _line(str(error)) from error
    except ImportError as error:
        raise _line(
            f"A package cannot be imported: {error}. `vocsmooth info` lists what is installed "
            "and what is missing."
        ) from error
    except MemoryError as error:
        raise _line("Not enough memory.") from error


@contextmanager
def _hints_as_notes() -> Iterator[None]:
    """Print warnings of this project's libraries as single lines, without Python's own framing."""
    from csgisnet.errors import ChannelOrderWarning

    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *args: Any) -> None:
            if issubclass(category, ChannelOrderWarning):
                note(f"Hint: {message}")
            else:
                usual(message, category, *args)

        warnings.showwarning = show  # type: ignore[assignment]
        yield


def _line(
    message: str, kind: type[click.ClickException] = click.ClickException
) -> click.ClickException:
    """Return an error of click; if details are wanted, first print where it arose."""
    if amount() == "details":
        click.echo(printable(traceback.format_exc(), keep="\n"), err=True)
    return kind(printable(message))


def _reader_is_gone() -> bool:
    """Return whether the reader of our own output has gone, and not that of a pipe to a worker.

    Windows has no poll, and no such pipes either.
    """
    if sys.platform == "win32":
        return True
    poll = select.poll()
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            poll.register(stream.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _hush_decoders() -> None:
    """Silence OpenCV and Pillow on damaged files, and loky on the semaphores of killed workers.

    Our own errors report both. This goes through the environment, which worker processes inherit;
    what the user has set stays.
    """
    os.environ.setdefault(
        "OPENCV_LOG_LEVEL", "SILENT"
    )  # OpenCV reads it when it is imported, which is later
    hushed = [f"PIL.{name}" for name in ("TiffImagePlugin", "PngImagePlugin", "Image")]
    hushed.append("joblib.externals.loky.backend.resource_tracker")
    os.environ.setdefault("PYTHONWARNINGS", ",".join(f"ignore:::{name}" for name in hushed))
    if not sys.warnoptions:
        warnings.filterwarnings("ignore", module=r"PIL\.")


def _sentence(error: OSError) -> str:
    """Say which file failed and why."""
    reason = error.strerror or str(error)
    if error.filename:
        return f"{error.filename}: {reason}."
    try:
        Path.cwd()
    except FileNotFoundError:
        return "The working folder no longer exists; go to another."
    return f"{reason}."
