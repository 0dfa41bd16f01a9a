"""`csgisnet export`: write a network for other runtimes, or as a model to share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import messages, options

if TYPE_CHECKING:
    from torch import Tensor

ENDINGS = {".onnx": "onnx", ".pt": "torchscript", ".safetensors": "safetensors"}
"""Format that an ending asks for; with any other ending, --format must say it."""


@click.command()
@options.CHECKPOINT
@options.CHANNEL_ORDER
@click.option(
    "--format",
    "form",
    type=click.Choice(["onnx", "torchscript", "safetensors"]),
    help="onnx and torchscript for other runtimes, safetensors for csgisnet elsewhere.  "
    "[default: what --out ends in, or onnx]",
)
@options.out_option(options.OUTPUT_FILE, "File to write: .onnx, .pt (TorchScript) or .safetensors.")
@click.option("--description", default="", help="safetensors only: what `csgisnet models` shows.")
@click.option("--half", is_flag=True, help="safetensors only: weights as bfloat16, half the size.")
@click.option(
    "--prune",
    type=options.FOLDER,
    help="safetensors only: leave out residual blocks that add nothing to any picture in this "
    "folder.",
)
@click.option(
    "--calibrate",
    type=options.FOLDER,
    help="safetensors only: measure what prediction in int8 needs, on the photographs in this "
    "folder (some ten of the kind to smooth) and on noise, text and full contrast, and show how "
    "far its results are from float32. Without it the file has no such ranges.",
)
@click.option(
    "--average-with",
    type=click.Path(path_type=Path),
    help="safetensors only: network from which this one was trained on; write the mean of both.",
)
@options.LEVEL
@click.option(
    "--highest-level",
    type=click.FloatRange(0, 1, min_open=True),
    help="safetensors only: the network's level that becomes level 1, the others in proportion.",
)
@click.option(
    "--grey-outside",
    is_flag=True,
    help="safetensors only: let the outside of an image count as grey instead of black; results "
    "change close to its border only.",
)
@click.option(
    "--level-input",
    is_flag=True,
    help="onnx and torchscript only: take the level, (N,) float32, as a second input.",
)
@options.JSON
@messages.amount_options
def export(
    checkpoint: Path | None,
    channel_order: Any,
    form: Any,
    out: Path,
    description: str,
    half: bool,
    prune: Path | None,
    calibrate: Path | None,
    average_with: Path | None,
    level: float | None,
    highest_level: float | None,
    grey_outside: bool,
    level_input: bool,
    as_json: bool,
) -> None:
    """Export a network to ONNX or TorchScript, for images of any size, or as a model to share.

    Whatever order the network's own file expects, the file written takes and returns RGB.

    An ONNX or TorchScript file is written only once its results match the network's on three sizes.
    ONNX needs `pip install csgisnet[export]`. A network that takes a level is written at one:
    --level, or its own; with --level-input, and in a safetensors file, it can still be changed.

    \b
    Example: csgisnet export --checkpoint runs/a --out smooth.onnx
    """
    from csgisnet.checkpoints.export import export_network
    from csgisnet.checkpoints.networks import load_network, publish_network
    from csgisnet.checkpoints.pretrained import find_weights
    from csgisnet.networks.levels import at_level

    weights = find_weights(checkpoint)
    if out.exists() and out.samefile(weights):
        raise click.UsageError(f"{out} is the network to export; give another --out.")
    ending = ENDINGS.get(out.suffix.lower())
    if form and ending and form != ending:
        raise click.UsageError(
            f"--format {form} does not suit {out}, which has the ending of {ending}."
        )
    if out.suffix and not (form or ending):
        raise click.UsageError(
            f"{out} does not end in one of {', '.join(ENDINGS)}; give another name, or --format."
        )
    form = form or ending or "onnx"
    if level_input and (form == "safetensors" or level is not None):
        raise click.UsageError("--level-input goes with ONNX and TorchScript, without --level.")
    if form == "safetensors":
        from csgisnet.prediction.kinds import as_batch

        publish_network(
            weights,
            out,
            description=description,
            half=half,
            channel_order=channel_order,
            average_with=average_with and find_weights(average_with),
            level=level,
            highest_level=highest_level,
            grey_outside=grey_outside,
            pictures=[as_batch(image) for image in _read_pictures(prune)] if prune else [],
            calibration_pictures=_of_all_kinds(calibrate) if calibrate else None,
        )
        _report(out, None, as_json, _judge(out, calibrate) if calibrate else None)
        return
    if any((description, half, prune, calibrate, average_with, highest_level, grey_outside)):
        raise click.UsageError(
            "--description, --half, --prune, --calibrate, --average-with, --highest-level and "
            "--grey-outside go with --format safetensors only."
        )
    network = load_network(weights, channel_order)
    network = network if level is None else at_level(network, level)
    difference = export_network(network, out, form, level_input=level_input)
    _report(out, difference, as_json)


def _read_pictures(folder: Path) -> Iterator[Any]:
    """Yield the pictures of a folder as images (H, W, 3) float32 in [0, 1]."""
    from vocsmooth.arrays import to_float
    from vocsmooth.images.finding import find_by_name
    from vocsmooth.images.reading import read_rgb

    for path in find_by_name(folder).values():
        yield to_float(read_rgb(path))


def _of_all_kinds(folder: Path) -> Iterator[Tensor]:
    """Yield what to calibrate on: the photographs of a folder, noise, text and full contrast."""
    from csgisnet.prediction.kinds import calibration_pictures

    return calibration_pictures(_read_pictures(folder))


def _judge(out: Path, folder: Path) -> dict[str, Any]:
    """Return, for each kind of picture, how far int8 is from float32 in grey levels of 255."""
    import torch

    from csgisnet.errors import ConfigError
    from csgisnet.prediction.kinds import judge
    from csgisnet.prediction.loading import load
    from csgisnet.prediction.precision import missing_for_int8

    if missing := missing_for_int8(torch.device("cpu")):
        messages.note(f"How well the ranges for int8 do was not measured: it needs {missing}.")
        return {}
    try:
        fast = load(out, device="cpu", precision="int8")
    except ConfigError as error:
        messages.note(f"The ranges for int8 are of no use: {error}")
        return {}
    exact = load(out, device="cpu", precision="float32")
    found = judge(fast, exact, _read_pictures(folder))
    return {kind: apart._asdict() for kind, apart in found.items()}


def _report(
    out: Path, difference: float | None, as_json: bool, int8: dict[str, Any] | None = None
) -> None:
    """Print what was written, and how far its results are from the network's."""
    size = out.stat().st_size
    line = f"{out}: {size / 1e6:.1f} MB"
    if difference is not None:
        line += f", difference {difference:.1g}"
    record = {"path": out, "bytes": size, "difference": difference}
    messages.summary(line, record if int8 is None else {**record, "int8": int8}, as_json)
    for kind, apart in (int8 or {}).items():
        messages.note(
            f"int8 on {kind}: {apart['mean']:.2f} grey levels off on average, "
            f"{100 * apart['within_two']:.2f} % of the values within two."
        )
