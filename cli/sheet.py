"""The command `csgisnet sheet`: results beside all maps of a dataset, in one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import completion, messages, options


@click.command()
@options.DATA
@options.CHECKPOINT
@options.CHANNEL_ORDER
@options.out_option(
    options.OUTPUT_FILE, "Picture to write; its ending says the format, such as .png."
)
@click.option(
    "--split",
    default="val",
    shell_complete=completion.splits,
    help="Split to take the samples from.",
)
@click.option(
    "--rows", type=click.IntRange(min=1), default=4, help="Number of photographs to show."
)
@options.DEVICE
@options.JSON
@messages.amount_options
def sheet(
    data: Path,
    checkpoint: Path | None,
    channel_order: Any,
    out: Path,
    split: str,
    rows: int,
    device: str,
    as_json: bool,
) -> None:
    """Show a network's results on a dataset, beside all maps, in one picture.

    \b
    Example: csgisnet sheet --data voc-smooth --checkpoint runs/a --out before_after.png
    """
    from csgisnet.prediction.loading import load
    from vocsmooth.images.reading import Picture
    from vocsmooth.images.writing import format_of, write_picture
    from vocsmooth.shards.reader import open_dataset
    from vocsmooth.views.sheet import draw_sheet

    format_of(out)  # a format that cannot be written is refused before the work
    smoother = load(checkpoint, device=device, channel_order=channel_order)
    pixels, shown = draw_sheet(open_dataset(data), split, rows=rows, smooth=smoother.smooth)
    write_picture(out, Picture(pixels=pixels))
    line = f"{out}: {', '.join(shown)}"
    messages.summary(line, {"path": out, "photographs": shown}, as_json)
