"""Commands that turn a dataset into another form: `export` and `repack`."""

from __future__ import annotations

from pathlib import Path

import click

from vocsmooth.settings import counted, to_dict

from . import completion, messages, options
from .progress import progress_bar


@click.command()
@click.argument("folder", type=options.FOLDER)
@options.OUT
@click.option(
    "--format",
    "form",
    type=click.Choice(["png", "imagefolder"]),
    default="png",
    show_default=True,
    help="png for trainers in the style of BasicSR, imagefolder for Hugging Face's datasets.",
)
@click.option(
    "--split",
    "splits",
    multiple=True,
    shell_complete=completion.splits,
    help="Split to export; may be repeated.  [default: all]",
)
@click.option(
    "--map",
    "maps",
    multiple=True,
    shell_complete=completion.maps,
    help="Map to export; may be repeated.  [default: all but texture]",
)
@options.JOBS
@options.JSON
@messages.amount_options
def export(
    folder: Path,
    out: Path,
    form: str,
    splits: tuple[str, ...],
    maps: tuple[str, ...],
    jobs: int | None,
    as_json: bool,
) -> None:
    """Write the dataset in FOLDER as pairs of image files, or continue an interrupted export.

    OUT/SPLIT/MAP/ID_K.png is map MAP of the Kth input of photograph ID: for trainers in the style
    of BasicSR, OUT/train/input is the folder of inputs and OUT/train/label the folder of targets.

    With --format imagefolder, load_dataset("imagefolder", data_dir="OUT") of Hugging Face's
    datasets reads the result, each map as a column of images.

    \b
    Example: vocsmooth export voc-smooth --out pairs --map input --map label
    Example: vocsmooth export voc-smooth --out hub --format imagefolder
    """
    from vocsmooth.views.png import export_png

    with progress_bar("shards") as bar:
        summary = export_png(
            folder, out, form=form, splits=splits, maps=maps, jobs=jobs, progress=bar.update
        )
    messages.summary(
        f"{out}: {counted(summary.samples, 'sample')}, {counted(summary.written, 'file')} written, "
        f"{summary.kept} kept, {summary.seconds:.1f} s",
        to_dict(summary),
        as_json,
    )


@click.command()
@click.argument("folder", type=options.FOLDER)
@options.OUT
@click.option(
    "--to", type=click.Choice(["archive", "shards"]), required=True, help="Form of the result."
)
@options.JOBS
@options.JSON
@messages.amount_options
def repack(folder: Path, out: Path, to: str, jobs: int | None, as_json: bool) -> None:
    """Pack the dataset in FOLDER into an archive, or unpack an archive to the very same files.

    An archive takes about a third of the space; unpack it to read it, train on it or verify it.

    \b
    Example: vocsmooth repack voc-smooth --to archive --out voc-smooth.archive
    Example: vocsmooth repack voc-smooth.archive --to shards --out voc-smooth
    """
    from vocsmooth.dataset.archive import pack_dataset, unpack_dataset

    with progress_bar("shards") as bar:
        function = {"archive": pack_dataset, "shards": unpack_dataset}[to]
        summary = function(folder, out, jobs=jobs, progress=bar.update)
    messages.summary(
        f"{out}: {counted(summary.shards, 'shard')} ({summary.kept} kept), "
        f"{summary.bytes_before / 1e6:.1f} -> {summary.bytes_after / 1e6:.1f} MB, "
        f"{summary.seconds:.1f} s",
        to_dict(summary),
        as_json,
    )
