"""Commands that look into a dataset: info, labels report, report."""

from __future__ import annotations

from pathlib import Path

import click

import vocsmooth

from . import options
from .group import progress_bar


@click.command()
@click.argument("folder", type=options.FOLDER, required=False)
def info(folder: Path | None) -> None:
    """Print what the dataset in FOLDER holds and its recipe; without FOLDER, what is installed.

    The recipe is TOML that `vocsmooth build --manifest` takes.

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
    """How the labels of a dataset were chosen."""


@labels.command("report")
@click.argument("folder", type=options.FOLDER)
def report_labels(folder: Path) -> None:
    """Print which operators made the labels, their scores, and what was left out.

    \b
    Example: vocsmooth labels report voc-smooth
    """
    from vocsmooth.shards.index import read_index
    from vocsmooth.views.text import describe_labels

    click.echo(describe_labels(read_index(folder)))


@click.command()
@click.argument("folder", type=options.FOLDER)
@click.option("--out", type=options.FILE, required=True, help="HTML file to write.")
@click.option("--side", type=click.IntRange(min=16), help="Pixels.  [default: by their number]")
@options.JOBS
def report(folder: Path, out: Path, side: int | None, jobs: int | None) -> None:
    """Write one HTML page that shows every photograph of a dataset with all its maps.

    Pictures are shrunk to --side pixels so that the page stays below about 60 MB.

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
