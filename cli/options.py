"""Options that several commands share, and the smoothing of files that two commands do."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from .group import progress_bar

Command = TypeVar("Command", bound=Callable[..., Any])

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)

INPUTS = click.argument("inputs", nargs=-1, required=True)
OUT = click.option("--out", type=FOLDER, required=True, help="Folder for the results.")
JOBS = click.option(
    "--jobs", type=click.IntRange(min=1), help="Processes to use.  [default: one per core]"
)
DATA = click.option("--data", type=FOLDER, required=True, help="Dataset of `vocsmooth build`.")
CHECKPOINT = click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    required=True,
    help="Weights, or the folder of a run (its best weights).",
)
DEVICE = click.option(
    "--device", default="auto", help="auto, cpu, cuda (or cuda:1), mps.", show_default=True
)
CONFIG = click.option("--config", help="compact, full, demo, or a TOML file.  [default: compact]")


def _parse_part(
    _context: click.Context, _option: click.Parameter, value: str | None
) -> tuple[int, int]:
    """Return the numbers of I/N, 1/1 if it is not given."""
    found = re.fullmatch(r"(\d+)/(\d+)", value or "1/1")
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise click.BadParameter(f"{value!r} is not I/N with 1 <= I <= N, such as 3/8")
    return int(found[1]), int(found[2])


PART = click.option(
    "--part", metavar="I/N", callback=_parse_part, help="Make every N-th shard, from the I-th on."
)


class Finite(click.FloatRange):
    """A number, in a range if that is wanted, but never NaN or infinite."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number


_FILE_OPTIONS = (
    click.option("--skip-existing", is_flag=True, help="Leave out files whose result exists."),
    click.option("--suffix", default="", help="Added to each file's name."),
    click.option("--format", "ending", help="png, jpg, tiff, webp, bmp.  [default: as the input]"),
    click.option("--quality", type=click.IntRange(1, 100), default=95, help="JPEG and WebP."),
    click.option(
        "--max-megapixels",
        type=Finite(min=0, min_open=True),
        default=200.0,
        help="Refuse larger images as bombs.",
    ),
)


def file_options(command: Command) -> Command:
    """Give a command the options of `smooth_files`."""
    for option in reversed(_FILE_OPTIONS):
        command = option(command)
    return command


def smooth_files(
    inputs: Sequence[str],
    out: Path,
    function: Callable[..., Any],
    *,
    jobs: int,
    workers: Literal["processes", "threads"],
    skip_existing: bool,
    suffix: str,
    ending: str | None,
    quality: int,
    max_megapixels: float,
    save_edges: bool = False,
) -> None:
    """Smooth every image with `function`, say what came of it, and exit with 1 if any failed.

    `function` is of the kind that `vocsmooth.folders.run` takes.
    """
    from vocsmooth.images.destinations import plan
    from vocsmooth.images.finding import expand_inputs
    from vocsmooth.images.folders import Outcome, run

    paths = expand_inputs(inputs, sys.stdin)
    tasks = plan(paths, out, suffix=suffix, ending=ending, edges=save_edges)
    with progress_bar("images", len(tasks)) as bar:

        def show(outcome: Outcome) -> None:
            bar.advance()
            if outcome.state == "failed":
                bar.print(f"failed: {outcome.reason}")

        summary = run(
            tasks,
            function,
            jobs=jobs,
            workers=workers,
            skip_existing=skip_existing,
            quality=quality,
            max_pixels=int(max_megapixels * 1e6),
            progress=show,
        )
    click.echo(
        f"{out}: {summary.written} written, {summary.skipped} skipped, "
        f"{len(summary.failures)} failed, {summary.seconds:.1f} s"
    )
    if summary.failures:
        sys.exit(1)
