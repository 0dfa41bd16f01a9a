"""The command `csgisnet`: train-segmenter, train, predict, sheet, evaluate, export, models."""

from __future__ import annotations

import functools
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import csgisnet
from vocsmooth.settings import counted

from . import completion, evaluate, export, messages, models, options, sheet
from .group import CONTEXT, Commands

if TYPE_CHECKING:
    from csgisnet.networks.segmenter import OutputStride
    from csgisnet.training.train import Summary

_STRIDES: dict[str, OutputStride] = {"8": 8, "16": 16}


@click.group(cls=Commands, context_settings=CONTEXT)
@click.version_option(csgisnet.__version__, "-V", "--version")
def main() -> None:
    """CSGIS-Net: contrastive semantic-guided image smoothing."""


@main.command()
@options.DATA
@options.out_option(options.OUTPUT_FILE, "File to write the weights to; it must not exist.")
@options.CONFIG
@options.set_option("segmenter.steps=500")
@options.DEVICE
@options.JSON
@messages.amount_options
def train_segmenter(
    data: Path,
    out: Path,
    config: str | None,
    changes: tuple[str, ...],
    device: str,
    as_json: bool,
) -> None:
    """Train the segmenter that guides the network, on the masks of a dataset.

    \b
    Example: csgisnet train-segmenter --data voc-smooth --out segmenter.safetensors
    """
    from csgisnet.device import keep_freed_memory
    from csgisnet.training.config import load_config
    from csgisnet.training.train_segmenter import train_segmenter as run

    keep_freed_memory()
    chosen = load_config(config or "compact", changes) if config or changes else None
    summary = run(data, out, chosen, device=device, report=messages.note)
    if summary.leads:
        messages.summary(
            f"{summary.path}: {summary.steps} steps, {summary.seconds:.0f} s, "
            f"validation mIoU {summary.mean_iou:.3f} "
            f"(best constant answer {summary.constant_iou:.3f})",
            asdict(summary),
            as_json,
        )


@main.command()
@click.option(
    "--data",
    type=options.FOLDER,
    help="Dataset that `vocsmooth build` has made; --resume needs none.",
)
@options.out_option(options.FOLDER, "Folder of the run.")
@options.CONFIG
@options.set_option("optimizer.lr=1e-4")
@options.DEVICE
@click.option(
    "--resume", is_flag=True, help="Continue the run in --out; no other option is needed."
)
@click.option("--segmenter", type=options.FILE, help="Weights of the segmenter.")
@click.option(
    "--features",
    type=options.FILE,
    help="Weights of VGG-16, to use its features instead of the segmenter's.",
)
@click.option(
    "--simplifier",
    type=options.FILE,
    help="Weights that make the labels of level 1, for a network with a level; by default --init.",
)
@click.option(
    "--photographs",
    type=options.FOLDER,
    help="Dataset of photographs that teach level 1, as many a batch as data.photographs says.",
)
@click.option(
    "--output-stride",
    type=click.Choice(_STRIDES),
    help="Output stride of a public DeepLabV3+ whose file does not state it; the run records it.",
)
@click.option(
    "--init",
    type=click.Path(path_type=Path),
    shell_complete=completion.names_or_files(completion.networks),
    help="Start from these weights: a file, a run, or a name of `csgisnet models`.",
)
@options.CHANNEL_ORDER
@click.option("--ablate", default="", help="Loss terms to leave out, such as contrast,semantic.")
@options.JSON
@messages.amount_options
def train(
    data: Path | None,
    out: Path,
    config: str | None,
    changes: tuple[str, ...],
    device: str,
    resume: bool,
    segmenter: Path | None,
    features: Path | None,
    simplifier: Path | None,
    photographs: Path | None,
    output_stride: str | None,
    init: Path | None,
    channel_order: Any,
    ablate: str,
    as_json: bool,
) -> None:
    """Train the smoothing network; with torchrun, on several GPUs.

    Ctrl-C and SIGTERM save the run before it stops, with exit code 75: the same command with
    --resume continues it, and so can a batch system that is told to repeat what exits with 75.

    \b
    Example: csgisnet train --data voc-smooth --out runs/a
    Example: csgisnet train --out runs/a --resume
    """
    from csgisnet.checkpoints.networks import load_network
    from csgisnet.checkpoints.pretrained import find_weights
    from csgisnet.device import keep_freed_memory
    from csgisnet.training.config import load_config, without_terms
    from csgisnet.training.train import EXIT_STOPPED
    from csgisnet.training.train import train as run

    if channel_order and init is None:
        raise click.UsageError("--channel-order goes with --init.")
    if output_stride and not (segmenter or features or resume):
        raise click.UsageError("--output-stride goes with --segmenter or --features.")
    keep_freed_memory()
    chosen = None
    if config or changes or ablate:
        chosen = load_config(config or "compact", changes)
    if chosen and ablate:
        chosen = without_terms(chosen, tuple(term.strip() for term in ablate.split(",")))
    summary = run(
        data,
        out,
        chosen,
        device=device,
        resume=resume,
        segmenter=segmenter,
        features=features,
        simplifier=simplifier,
        photographs=photographs,
        output_stride=_STRIDES[output_stride] if output_stride else None,
        report=messages.note,
        initial=None if init is None else load_network(find_weights(init), channel_order),
    )
    if summary.leads:
        _print_summary(out, summary, as_json)
    if not summary.finished:
        sys.exit(EXIT_STOPPED)


def _print_summary(out: Path, summary: Summary, as_json: bool) -> None:
    """Print how a run ended."""
    line = f"{out}: {summary.steps} steps, {summary.seconds:.0f} s"
    messages.summary(line, asdict(summary), as_json)
    if not as_json and (scores := summary.scores) is not None:
        messages.result(
            f"{summary.best}: PSNR {scores.psnr_input:.2f} -> {scores.psnr_result:.2f} dB, "
            f"SSIM {scores.ssim_input:.3f} -> {scores.ssim_result:.3f} "
            f"on {counted(scores.samples, 'whole validation image')}"
        )
    if not summary.finished:
        click.echo(
            "Stopped by a signal; the same command with --resume continues the run.", err=True
        )


@main.command()
@options.INPUTS
@options.CHECKPOINT
@options.CHANNEL_ORDER
@click.option(
    "--strength",
    type=options.Finite(),
    default=1.0,
    help="0 keeps the image, above 1 exaggerates, below 0 enhances detail.",
)
@options.LEVEL
@click.option(
    "--views",
    type=click.IntRange(1, 2),
    default=1,
    show_default=True,
    help="2 averages each result with that of the transposed negative: better, in twice the time.",
)
@click.option("--save-edges", is_flag=True, help="Also write the edges, to NAME_edges.png.")
@options.DEVICE
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "tf32", "bfloat16", "int8"]),
    default="auto",
    help="Of the convolutions; auto takes bfloat16 where that is faster and changes the "
    "results by less than a grey level or so, else float32, which is exact; int8 is faster still.",
)
@click.option(
    "--memory",
    type=click.IntRange(min=64),
    help="Memory for the activations of a batch, in MB.  [default: half of what a GPU has free, "
    "else 1 GB]",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    help="Images or tiles of equal size to compute at once.  [default: 1 on the CPU, else 8]",
)
@options.file_options
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Files to process at a time.  [default: twice --batch]",
)
def predict(
    inputs: tuple[str, ...],
    checkpoint: Path | None,
    channel_order: Any,
    out: Path,
    strength: float,
    level: float | None,
    views: int,
    save_edges: bool,
    device: str,
    precision: Any,
    memory: int | None,
    batch: int | None,
    jobs: int | None,
    **given: Any,
) -> None:
    """Smooth files, folders, patterns, or a list on stdin (-), with a trained network.

    \b
    Example: csgisnet predict photos --checkpoint runs/a --out smoothed
    """
    from csgisnet.device import keep_freed_memory
    from csgisnet.prediction.loading import load

    keep_freed_memory()
    smoother = load(
        checkpoint,
        device=device,
        precision=precision,
        memory=None if memory is None else memory * 1_000_000,
        batch=batch,
        channel_order=channel_order,
        level=level,
        views=views,
    )
    function = functools.partial(smoother.smooth_pixels, strength=strength, with_edges=save_edges)
    jobs = jobs or 2 * smoother.batch
    options.smooth_files(
        inputs,
        out,
        function,
        jobs=jobs,
        workers="threads",
        save_edges=save_edges,
        about={"precision": smoother.precision, "precision_reason": smoother.reason},
        **given,
    )


main.add_command(evaluate.evaluate)
main.add_command(export.export)
main.add_command(models.models)
main.add_command(sheet.sheet)
