"""`csgisnet export`: write a network for other runtimes, or as a model to share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import options


@click.command()
@options.CHECKPOINT
@click.option(
    "--format",
    "form",
    type=click.Choice(["onnx", "torchscript", "safetensors"]),
    default="onnx",
    help="onnx and torchscript for other runtimes, safetensors for csgisnet elsewhere.",
)
@click.option("--out", type=options.FILE, required=True, help="File to write.")
@click.option("--description", default="", help="safetensors only: what `csgisnet models` shows.")
@click.option("--half", is_flag=True, help="safetensors only: weights as bfloat16, half the size.")
def export(checkpoint: Path, form: Any, out: Path, description: str, half: bool) -> None:
    """Export a network to ONNX or TorchScript, for images of any size, or as a model to share.

    An ONNX or TorchScript file is written only once its results match the network's on three sizes.
    ONNX needs `pip install csgisnet[export]`.

    \b
    Example: csgisnet export --checkpoint runs/a --out smooth.onnx
    """
    from csgisnet.checkpoints.export import export_network
    from csgisnet.checkpoints.networks import load_network, publish_network
    from csgisnet.checkpoints.pretrained import find_weights

    if form == "safetensors":
        publish_network(find_weights(checkpoint), out, description=description, half=half)
        click.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB")
        return
    if description or half:
        raise click.UsageError("--description and --half go with --format safetensors only.")
    difference = export_network(load_network(find_weights(checkpoint)), out, form)
    click.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB, difference {difference:.1g}")
