"""Commands that show what is in a dataset: `info`, `labels report` and `report`."""

from __future__ import annotations

from pathlib import Path

import click

import vocsmooth

from . import options
from .group import progress_bar


@click.command()
@click.argument("folder", type=options.FOLDER, required=False)
def info(folder: Path | None) -> None:
    """Print the contents and the recipe of the dataset in FOLDER, or else what is installed.

    The recipe is printed as TOML, which `vocsmooth build --manifest` accepts.

    \b
    Example: vocsmooth info voc-smooth
    """
    if folder is None:
        from vocsmooth.operators.kernels import describe

        click.echo(f"vocsmooth {vocsmooth.__version__}")
        click.echo(f"kernels: {describe()}")
    else:
        from vocsmooth.shards.index import read_index
        from vocsmooth.views.text import describe_dataset

        click.echo(describe_dataset(read_index(folder)))


@click.group()
def labels() -> None:
    """Show how the labels of a dataset were chosen."""


@labels.command("report")
@click.argument("folder", type=options.FOLDER)
def report_labels(folder: Path) -> None:
    """Print which operators made the labels, how they scored, and what was left out.

    \b
    Example: vocsmooth labels report voc-smooth
    """
    from vocsmooth.shards.index import read_index
    from vocsmooth.views.text import describe_labels

    click.echo(describe_labels(read_index(folder)))


@click.command()
@click.argument("folder", type=options.FOLDER)
@click.option("--out", type=options.FILE, required=True, help="HTML file to write.")
@click.option(
    "--side",
    type=click.IntRange(min=16),
    help="Longer side of a picture, in pixels.  [default: 320, or less if there are many]",
)
@options.JOBS
def report(folder: Path, out: Path, side: int | None, jobs: int | None) -> None:
    """Write one HTML page that shows every photograph of a dataset with all its maps.

    Pictures are shrunk to --side pixels, by default so that the page stays below about 60 MB.

    \b
    Example: vocsmooth report voc-smooth --out report.html
    """
    from vocsmooth.views.page import write_report

    with progress_bar("shards") as bar:
        summary = write_report(folder, out, side=side, jobs=jobs, progress=bar.update)
    click.echo(
        f"{out}: {summary.photographs} photographs at {summary.side} pixels, "
        f"{summary.bytes / 1e6:.1f} MB, {summary.seconds:.1f} s"
    )
