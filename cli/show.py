"""Commands that show what is in a dataset: `info`, `labels report` and `report`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from vocsmooth.settings import counted, to_dict

from . import messages, options
from .environment import as_text, environment, problems
from .progress import progress_bar


@click.command()
@click.argument("folder", type=options.FOLDER, required=False)
@options.JSON
def info(folder: Path | None, as_json: bool) -> None:
    """Print the contents and the recipe of the dataset in FOLDER, or else what is installed.

    The recipe is printed as TOML, which `vocsmooth build --manifest` accepts. What is installed is
    what a bug report needs: versions, kernels, processor, accelerators. Exits with 1 if a package
    is missing or cannot be imported.

    \b
    Example: vocsmooth info voc-smooth
    """
    if folder is None:
        found = environment()
        messages.show(json.dumps(found, indent=2) if as_json else as_text(found))
        if reasons := problems(found):
            raise click.ClickException(" ".join(reasons))
        return
    from vocsmooth.shards.index import read_index
    from vocsmooth.views.text import describe_dataset

    index = read_index(folder)
    if as_json:
        names = ("version", "digest", "recipe", "versions", "maps", "splits")
        content = {name: getattr(index, name) for name in names}
        content["totals"] = to_dict(index.totals)
        content["shards"] = [to_dict(shard) for shard in index.shards]
        click.echo(json.dumps(content, indent=2))
    else:
        messages.show(describe_dataset(index))


@click.group()
def labels() -> None:
    """Show how the labels of a dataset were chosen."""


@labels.command("report")
@click.argument("folder", type=options.FOLDER)
@options.JSON
def report_labels(folder: Path, as_json: bool) -> None:
    """Print which operators made the labels, how they scored, and what was left out.

    \b
    Example: vocsmooth labels report voc-smooth
    """
    from vocsmooth.shards.index import read_index
    from vocsmooth.shards.scan import list_shards
    from vocsmooth.views.text import count_labels, describe_labels

    index = read_index(folder)
    sidecars = (shard.read_record().sidecar for shard in list_shards(folder, index))
    if as_json:
        messages.show(json.dumps(count_labels(index, sidecars), indent=2))
    else:
        messages.show(describe_labels(index, sidecars))


@click.command()
@click.argument("folder", type=options.FOLDER)
@options.out_option(options.OUTPUT_FILE, "HTML file to write.")
@click.option(
    "--side",
    type=click.IntRange(min=16),
    help="Longer side of a picture, in pixels.  [default: 320, or less if there are many]",
)
@click.option(
    "--most",
    type=click.IntRange(min=1),
    help="Of more photographs than this show a sample, evenly spread.  [default: 3000; 2000 if "
    "there are more]",
)
@options.JOBS
@options.JSON
@messages.amount_options
def report(
    folder: Path, out: Path, side: int | None, most: int | None, jobs: int | None, as_json: bool
) -> None:
    """Write one HTML page that shows the photographs of a dataset with all their maps.

    Pictures are shrunk to --side pixels, by default so that the page stays below about 60 MB, or
    20 MB if it shows a sample.

    \b
    Example: vocsmooth report voc-smooth --out report.html
    """
    from vocsmooth.views.page import write_report

    if out.suffix.lower() not in ("", ".html", ".htm"):  # index.json of the dataset, say
        raise click.UsageError(f"{out} does not end in .html; give a name that does.")
    with progress_bar("shards") as bar:
        summary = write_report(folder, out, side=side, most=most, jobs=jobs, progress=bar.update)
    shown = counted(summary.photographs, "photograph")
    if summary.photographs < summary.dataset_photographs:
        shown += f" (a sample of {summary.dataset_photographs}; see --most)"
    messages.summary(
        f"{out}: {shown} at {summary.side} pixels, "
        f"{summary.bytes / 1e6:.1f} MB, {summary.seconds:.1f} s",
        to_dict(summary),
        as_json,
    )
