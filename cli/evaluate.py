"""`csgisnet evaluate`: a network and the operators, measured on the same images."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vocsmooth.settings import counted

from . import messages, options
from .progress import progress_bar

if TYPE_CHECKING:
    from csgisnet.evaluation.measure import Record, SmoothFunction
    from csgisnet.evaluation.samples import Samples


@click.command()
@click.option("--data", type=options.FOLDER, help="Dataset of `vocsmooth build`; or else:")
@click.option("--images", type=options.FOLDER, help="folder of images to smooth, and")
@click.option("--labels", type=options.FOLDER, help="folder of their labels, paired by name.")
@click.option("--split", default="val", help="Split of --data to measure on.")
@click.option(
    "--samples", type=click.IntRange(min=0), default=0, help="Number of images to use; 0 for all."
)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help=f"{options.CHECKPOINT_WORDS}  [default: compare the operators only]",
)
@options.CHANNEL_ORDER
@click.option(
    "--operator",
    "operators",
    multiple=True,
    help="rtv or rtv:lam=0.02,sigma=4, say; may be repeated. none: no operator.  [default: all]",
)
@click.option("--tune-split", help="Other split of --data to tune the operators on.")
@click.option("--tune-images", type=options.FOLDER, help="Other images to tune the operators on,")
@click.option("--tune-labels", type=options.FOLDER, help="and their labels.")
@click.option(
    "--tune-samples", type=click.IntRange(min=1), default=8, help="Number of images to tune on."
)
@options.DEVICE
@options.out_option(options.FOLDER, "Folder for the report.")
@options.JSON
@messages.amount_options
def evaluate(
    data: Path | None,
    images: Path | None,
    labels: Path | None,
    split: str,
    samples: int,
    checkpoint: Path | None,
    channel_order: Any,
    operators: tuple[str, ...],
    tune_split: str | None,
    tune_images: Path | None,
    tune_labels: Path | None,
    tune_samples: int,
    device: str,
    out: Path,
    as_json: bool,
) -> None:
    """Compare a network with the classical operators in tables, a plot and a page of crops.

    \b
    Example: csgisnet evaluate --data voc-smooth --checkpoint runs/a --tune-split train --out report
    """
    from csgisnet.evaluation.measure import evaluate as run
    from csgisnet.evaluation.report import conditions

    if tune_split == split:
        raise click.UsageError(
            "--tune-split must differ from --split: operators tuned on the very images would look "
            "too good."
        )
    if channel_order and checkpoint is None:
        raise click.UsageError("--channel-order goes with --checkpoint.")
    chosen = _operators(operators)
    measured = _samples(data, split, images, labels, samples, "--data, or --images and --labels")
    held_out = _held_out(data, tune_split, tune_images, tune_labels, tune_samples)
    if checkpoint is None:
        messages.note("Without --checkpoint, this compares the operators only.")
    smoothers = _network(checkpoint, device, channel_order)
    tuned = _tune(chosen, held_out) if held_out else {}
    smoothers |= _with_tuned(chosen, tuned)
    out.mkdir(parents=True, exist_ok=True)  # a folder that cannot be made fails before the work
    with progress_bar("images", len(measured.names)) as bar:
        records = run(smoothers, measured, bar.update)
    about = {
        "source": str(data or images),
        "split": split if data else None,
        "checkpoint": str(checkpoint) if checkpoint else None,
        "channel_order": channel_order,
        "tuned": tuned,
        "tuned_on": list(held_out.names) if held_out else [],
        **conditions(device),
    }
    _report(out, records, measured, smoothers, about, as_json)


def _report(
    out: Path,
    records: Sequence[Record],
    measured: Samples,
    smoothers: Mapping[str, SmoothFunction],
    about: Mapping[str, Any],
    as_json: bool,
) -> None:
    """Write the report on the first smoother, and print the table of all."""
    from csgisnet.evaluation.measure import INPUT, summarise
    from csgisnet.evaluation.report import write_report
    from csgisnet.evaluation.tables import format_markdown

    subject = next(iter(smoothers), INPUT)
    # Without a network no operator is the subject of the page, though one has to come first in it.
    title = None if about["checkpoint"] else counted(len(smoothers), "operator")
    write_report(out, records, measured, smoothers, subject=subject, about=about, title=title)
    if as_json:
        click.echo((out / "summary.json").read_text(encoding="utf-8"), nl=False)
        return
    for line in format_markdown(summarise(records)).split("\n\n", maxsplit=1)[0].splitlines():
        messages.result(line)
    messages.result(f"{out / 'report.html'}")


def _operators(given: Sequence[str]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return operator and parameters by title: those given, or else all with their defaults."""
    import numpy as np

    from vocsmooth.operators.table import OPERATORS, smooth

    if "none" in given:
        return {}
    chosen = {}
    for text in given or OPERATORS:
        name, _, rest = text.partition(":")
        params = dict(_parameter(part) for part in rest.split(",") if part)
        try:
            smooth(np.zeros((1, 1), np.float32), name, **params)  # before any image is read
        except (TypeError, ValueError) as error:
            raise click.UsageError(f"--operator {text}: {error}") from error
        chosen[text] = (name, params)
    return chosen


def _parameter(text: str) -> tuple[str, Any]:
    """Split "lam=0.02"; a number becomes a number, anything else stays text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--operator: {text!r} is not of the form NAME=VALUE.")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _operator(name: str, params: dict[str, Any]) -> SmoothFunction:
    """Return an operator with its parameters bound."""
    from vocsmooth.operators.table import OPERATORS

    bound: Callable[..., Any] = functools.partial(OPERATORS[name], **params)
    return bound


def _with_tuned(
    chosen: Mapping[str, tuple[str, dict[str, Any]]], tuned: Mapping[str, dict[str, Any]]
) -> dict[str, SmoothFunction]:
    """Return the operators as given, each followed by its tuned version."""
    from vocsmooth.settings import describe_operator

    smoothers = {}
    for title, (name, params) in chosen.items():
        smoothers[title] = _operator(name, params)
        if name in tuned:
            best = tuned[name]
            smoothers[f"{describe_operator(name, best)}, tuned"] = _operator(name, best)
    return smoothers


def _network(checkpoint: Path | None, device: str, channel_order: Any) -> dict[str, SmoothFunction]:
    """Return the network under its name, if one was given.

    In float32, so that a page has the same numbers whatever the processor.
    """
    from csgisnet.prediction.smoother import load

    if checkpoint is None:
        return {}
    network = load(checkpoint, device=device, precision="float32", channel_order=channel_order)
    return {"csgisnet": network.smooth}


def _samples(
    data: Path | None,
    split: str,
    images: Path | None,
    labels: Path | None,
    count: int,
    choice: str,
) -> Samples:
    """Return samples of a dataset or of two folders; `choice` names the options for the error."""
    from csgisnet.evaluation.samples import samples_of, samples_of_pairs
    from vocsmooth.images.finding import pair_by_name
    from vocsmooth.images.reading import read_rgb
    from vocsmooth.operators.edges import find_edges
    from vocsmooth.shards.reader import open_dataset

    if data and not (images or labels):
        return samples_of(open_dataset(data).split(split), count)
    if images and labels and not data:
        return samples_of_pairs(pair_by_name(images, labels), read_rgb, find_edges, count)
    raise click.UsageError(f"Give {choice}.")


def _held_out(
    data: Path | None, split: str | None, images: Path | None, labels: Path | None, count: int
) -> Samples | None:
    """Return the samples to tune on; None if no option asks for tuning."""
    if not (split or images or labels):
        return None
    choice = "--tune-split with --data, or --tune-images and --tune-labels"
    return _samples(data if split else None, split or "", images, labels, count, choice)


def _tune(
    chosen: Mapping[str, tuple[str, dict[str, Any]]], samples: Samples
) -> dict[str, dict[str, float]]:
    """Return tuned parameters for each operator among those chosen."""
    from csgisnet.evaluation.tune import tune
    from vocsmooth.operators.table import OPERATORS
    from vocsmooth.operators.tuning import combinations

    tuned = {}
    for name in dict.fromkeys(name for name, _ in chosen.values()):
        with progress_bar(f"tuning {name}", len(samples.names)) as bar:
            tuned[name] = tune(OPERATORS[name], combinations(name), samples, bar.update)
    return tuned
