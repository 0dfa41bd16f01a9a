"""What the commands print, in the amount asked for and without terminal control characters."""

from __future__ import annotations

import io
import json
import os
import sys
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

Amount = Literal["errors", "normal", "details"]

_KEY = "vocsmooth.amount"

_STEERING = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories: control, format (such as right-to-left), surrogate, line, paragraph."""


def printable(text: str, *, keep: str = "") -> str:
    r"""Escape characters that would control a terminal or start a new line.

    File names and what is in other people's files may hold any. Of a name that is not UTF-8, the
    odd bytes are shown.

    Examples
    --------
    >>> printable("a\x1b[31m\nb")
    'a\\x1b[31m\\nb'
    """
    if text.isprintable():
        return text
    return "".join(_escape(c) if c not in keep else c for c in text)


def show(text: str) -> None:
    """Print on stdout what the user has asked to see, in several lines."""
    click.echo(printable(text, keep="\n"))


def result(line: str) -> None:
    """Print on stdout what a command has done, unless only errors are wanted."""
    if amount() != "errors":
        click.echo(printable(line))


def summary(line: str, content: Mapping[str, Any], as_json: bool) -> None:
    """Print what a command has done, as a line or as JSON; --quiet does not suppress JSON."""
    if as_json:
        click.echo(json.dumps(content, indent=1, default=str))
    else:
        result(line)


def note(line: str) -> None:
    """Print a line on stderr, unless only errors are wanted."""
    if amount() != "errors":
        click.echo(printable(line), err=True)


def amount() -> Amount:
    """Return how much the running command should print."""
    context = click.get_current_context(silent=True)
    found: Amount = context.meta.get(_KEY, "normal") if context else "normal"
    return found


def amount_options(command: Command) -> Command:
    """Give a command the options --quiet and --verbose."""
    for flags, value, text in (
        (("-v", "--verbose"), "details", "Print more: each picture, and where an error arose."),
        (("-q", "--quiet"), "errors", "Print errors only."),
    ):
        command = click.option(
            *flags, value, is_flag=True, expose_value=False, callback=_choose, help=text
        )(command)
    return command


def prepare_streams() -> None:
    """Open closed streams to nowhere; let stdout escape what its encoding lacks, as stderr does.

    A standard stream that is closed is None, and its number is free for the next file or pipe.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 (stays open)
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _choose(context: click.Context, option: click.Parameter, given: bool) -> None:
    """Note which of the two options was given."""
    if given and context.meta.setdefault(_KEY, option.name) != option.name:
        raise click.UsageError("Give --quiet or --verbose, not both.")


def _escape(character: str) -> str:
    """Write a character as an escape if it is one of those that steer."""
    if unicodedata.category(character) not in _STEERING:
        return character
    if "\udc80" <= character <= "\udcff":  # a byte of a name that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
