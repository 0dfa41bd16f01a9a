"""`csgisnet export`: a network for other runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import options


@click.command()
@options.CHECKPOINT
@click.option(
    "--format", "form", type=click.Choice(["onnx", "torchscript"]), default="onnx", help="Format."
)
@click.option("--out", type=options.FILE, required=True, help="File to write.")
def export(checkpoint: Path, form: Any, out: Path) -> None:
    """Export a network to ONNX or TorchScript, for images of any size.

    The file appears only after its results equal the network's on three sizes. ONNX needs
    `pip install csgisnet[export]`.

    \b
    Example: csgisnet export --checkpoint runs/a --out smooth.onnx
    """
    from csgisnet.checkpoint import load_network
    from csgisnet.export import export_network
    from csgisnet.pretrained import find_weights

    difference = export_network(load_network(find_weights(checkpoint)), out, form)
    click.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB, difference {difference:.1g}")
