"""Options that several commands share, and `smooth_files`, which some of them run."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from vocsmooth.settings import bundled_toml

from . import completion, messages
from .progress import progress_bar

if TYPE_CHECKING:
    from vocsmooth.images.folders import Summary

Command = TypeVar("Command", bound=Callable[..., Any])

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)


class OutputFile(click.Path):
    """A file to write; whether its folder can be written to is checked before the work is done."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        folder = path.absolute().parent
        if not folder.is_dir():
            self.fail(f"the folder {folder} does not exist.", param, ctx)
        if not os.access(folder, os.W_OK):
            self.fail(f"the folder {folder} cannot be written.", param, ctx)
        return path


OUTPUT_FILE = OutputFile(path_type=Path, dir_okay=False)

INPUTS = click.argument("inputs", nargs=-1, required=True, shell_complete=completion.files)


def out_option(kind: click.Path, text: str) -> Callable[[Command], Command]:
    """Return the option --out with this help."""
    return click.option("-o", "--out", "out", type=kind, required=True, help=text)


OUT = out_option(FOLDER, "Folder for the results.")
JOBS = click.option(
    "--jobs", type=click.IntRange(min=1), help="Processes to use.  [default: one per core]"
)
DATA = click.option(
    "--data", type=FOLDER, required=True, help="Dataset that `vocsmooth build` has made."
)
CHECKPOINT_WORDS = (
    "Weights: a file, a run's folder (its best), a name of `csgisnet models`, or hf:OWNER/NAME."
)
CHECKPOINT = click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    shell_complete=completion.names_or_files(completion.networks),
    help=f"{CHECKPOINT_WORDS}  [default: compact]",
)
CHANNEL_ORDER = click.option(
    "--channel-order",
    type=click.Choice(["rgb", "bgr"]),
    help="Order that another project's network expects: rgb as the paper's authors trained theirs, "
    "bgr as in their test script and for Easy2Hard's.",
)
LEVEL = click.option(
    "--level",
    type=click.FloatRange(0, 1),
    help="For a network with levels: 0 keeps faint structure, 1 only what people draw as "
    "boundaries.  [default: the network's own]",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
DEVICE = click.option(
    "--device",
    default="auto",
    shell_complete=completion.names(("auto", "cpu", "cuda", "mps")),
    help="auto, cpu, cuda (or cuda:1), or mps.",
    show_default=True,
)
CONFIG = click.option(
    "--config",
    shell_complete=completion.names_or_files(completion.configurations),
    help=f"A TOML file, or {', '.join(bundled_toml('csgisnet.configs'))}.  [default: compact]",
)
MANIFEST = click.option(
    "--manifest",
    default="voc-smooth",
    shell_complete=completion.names_or_files(completion.recipes),
    help=f"Recipe: a TOML file, or {', '.join(bundled_toml('vocsmooth.manifests'))}.",
)


def set_option(example: str) -> Callable[[Command], Command]:
    """Return the option --set."""
    return click.option(
        "--set",
        "changes",
        multiple=True,
        metavar="KEY=VALUE",
        help=f"Change one key, such as {example}; may be repeated.",
    )


def _parse_part(
    _context: click.Context, _option: click.Parameter, value: str | None
) -> tuple[int, int]:
    """Return the two numbers of I/N; 1/1 if the option is not given."""
    found = re.fullmatch(r"(\d+)/(\d+)", value or "1/1")
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise click.BadParameter(f"{value!r} is not I/N with 1 <= I <= N, such as 3/8.")
    return int(found[1]), int(found[2])


PART = click.option(
    "--part",
    metavar="I/N",
    callback=_parse_part,
    help="Build every N-th shard, starting with the I-th.",
)


class Finite(click.types.FloatParamType):
    """A number that is neither NaN nor infinite."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class FiniteRange(click.FloatRange):
    """A number in a range that is neither NaN nor infinite."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        return super().convert(Finite().convert(value, param, ctx), param, ctx)


_FILE_OPTIONS = (
    out_option(
        click.Path(path_type=Path),
        "Folder for the results; for a single input, the name of an image file works, too.",
    ),
    click.option("--skip-existing", is_flag=True, help="Skip files whose result exists."),
    click.option("--suffix", default="", help="Text to append to each file's name."),
    click.option(
        "--format", "ending", help="png, jpg, tiff, webp or bmp.  [default: that of the input]"
    ),
    click.option(
        "--quality", type=click.IntRange(1, 100), default=95, help="Quality of JPEG and WebP files."
    ),
    click.option(
        "--max-megapixels",
        type=FiniteRange(min=0, min_open=True),
        default=200.0,
        help="Refuse larger images, as likely decompression bombs.",
    ),
    click.option(
        "--persistence",
        type=FiniteRange(min=0, max=1, max_open=True),
        default=0.5,
        help="For videos, against flicker: share of the previous frame's result that is mixed in "
        "where nothing moved.",
    ),
    JSON,
    messages.amount_options,
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
    persistence: float,
    as_json: bool,
    save_edges: bool = False,
    masks: Path | None = None,
    about: Mapping[str, str] | None = None,
) -> None:
    """Smooth every image, print a summary, and exit with 1 if any failed.

    `function` is what `vocsmooth.images.folders.run` takes. `about` says how it computes: the
    `precision`, and the `precision_reason`.
    """
    from vocsmooth.images.destinations import plan
    from vocsmooth.images.finding import expand_inputs
    from vocsmooth.images.folders import Outcome, run
    from vocsmooth.images.videos import is_video

    from .videos import refuse_videos, show_outcome, smooth_videos, together

    paths = expand_inputs(inputs, _listed_names())
    tasks = plan(paths, out, suffix=suffix, ending=ending, edges=save_edges, masks=masks)
    videos = [task for task in tasks if is_video(task.source)]
    tasks = [task for task in tasks if not is_video(task.source)]
    if save_edges or masks:
        refuse_videos(videos, "--save-edges" if save_edges else "--masks")
    with progress_bar("images", len(tasks)) as bar:

        def show(outcome: Outcome) -> None:
            bar.advance()
            show_outcome(bar, outcome)

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
    if videos:
        seen = smooth_videos(
            videos,
            function,
            persistence=persistence,
            jobs=jobs,
            skip_existing=skip_existing,
            max_pixels=int(max_megapixels * 1e6),
        )
        summary = together(summary, seen)
    if as_json:
        click.echo(json.dumps({**_content(summary), **(about or {})}, indent=1))
    else:
        how = f", in {about['precision']} ({about['precision_reason']})" if about else ""
        messages.result(
            f"{out}: {summary.written} written, {summary.skipped} skipped, "
            f"{len(summary.failures)} failed, {summary.seconds:.1f} s{how}"
        )
    if summary.failures:
        sys.exit(1)


def _content(summary: Summary) -> dict[str, Any]:
    """Return a summary as plain values, ready for JSON."""
    failed = [
        {"path": str(outcome.task.source), "reason": outcome.reason} for outcome in summary.failures
    ]
    return {
        "written": summary.written,
        "skipped": summary.skipped,
        "failed": failed,
        "seconds": summary.seconds,
    }


def _listed_names() -> Iterator[str]:
    """Yield the file names on standard input, one a line or, as of `find -print0`, ended by NUL."""
    content = sys.stdin.buffer.read()
    yield from map(os.fsdecode, content.split(b"\0" if b"\0" in content else b"\n"))
