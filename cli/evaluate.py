"""`csgisnet evaluate`: the network and every operator, measured on the same images."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .group import progress_bar

if TYPE_CHECKING:
    from csgisnet.evaluation.measure import Samples, Smoothing


@click.command()
@click.option("--data", type=options.FOLDER, help="Dataset of `vocsmooth build`; or give:")
@click.option("--images", type=options.FOLDER, help="Folder of images to smooth, and")
@click.option("--labels", type=options.FOLDER, help="folder of their labels, paired by name.")
@click.option("--split", default="val", help="Split of --data to measure on.")
@click.option("--samples", type=click.IntRange(min=0), default=0, help="Images to use; 0 for all.")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Weights, or a run's folder.")
@click.option(
    "--operator",
    "operators",
    multiple=True,
    help="Such as rtv or rtv:lam=0.02,sigma=4; may be repeated; none for none.  [default: all]",
)
@click.option("--tune-split", help="Other split of --data to tune the operators on.")
@click.option("--tune-images", type=options.FOLDER, help="Other images to tune the operators on,")
@click.option("--tune-labels", type=options.FOLDER, help="and their labels.")
@click.option("--tune-samples", type=click.IntRange(min=1), default=8, help="Images to tune on.")
@options.DEVICE
@click.option("--out", type=options.FOLDER, required=True, help="Folder for the report.")
def evaluate(
    data: Path | None,
    images: Path | None,
    labels: Path | None,
    split: str,
    samples: int,
    checkpoint: Path | None,
    operators: tuple[str, ...],
    tune_split: str | None,
    tune_images: Path | None,
    tune_labels: Path | None,
    tune_samples: int,
    device: str,
    out: Path,
) -> None:
    """Compare a network with the classical operators: tables, a plot, a page of crops.

    \b
    Example: csgisnet evaluate --data voc-smooth --checkpoint runs/a --tune-split train --out report
    """
    from csgisnet.evaluation.measure import INPUT, summarise
    from csgisnet.evaluation.measure import evaluate as run
    from csgisnet.evaluation.report import write_report
    from csgisnet.evaluation.tables import format_markdown

    if tune_split == split:
        raise click.UsageError(
            "--tune-split must differ from --split: tuned results would flatter."
        )
    chosen = _operators(operators)
    measured = _samples(data, split, images, labels, samples, "--data, or --images and --labels")
    held_out = _held_out(data, tune_split, tune_images, tune_labels, tune_samples)
    smoothers = {"csgisnet": _network(checkpoint, device)} if checkpoint else {}
    tuned = _tune_all(chosen, held_out) if held_out else {}
    smoothers |= _with_tuned(chosen, tuned)
    out.mkdir(parents=True, exist_ok=True)  # a folder that cannot be made fails before the work
    with progress_bar("images", len(measured.names)) as bar:
        records = run(smoothers, measured, bar.update)
    about = {
        "source": str(data or images),
        "split": split if data else None,
        "checkpoint": str(checkpoint) if checkpoint else None,
        "tuned": tuned,
        "tuned_on": list(held_out.names) if held_out else [],
        **_conditions(device),
    }
    subject = next(iter(smoothers), INPUT)
    write_report(out, records, measured, smoothers, subject=subject, about=about)
    click.echo(format_markdown(summarise(records)).split("\n\n", maxsplit=1)[0])
    click.echo(f"{out / 'report.html'}")


def _operators(given: Sequence[str]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return operator and parameters by title, as given, or all with their defaults."""
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
    """Split "lam=0.02"; numbers become numbers, anything else stays text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--operator: {text!r} should be NAME=VALUE.")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _operator(name: str, params: dict[str, Any]) -> Smoothing:
    """Return an operator with its parameters bound."""
    from vocsmooth.operators.table import OPERATORS

    bound: Callable[..., Any] = functools.partial(OPERATORS[name], **params)
    return bound


def _with_tuned(
    chosen: Mapping[str, tuple[str, dict[str, Any]]], tuned: Mapping[str, dict[str, Any]]
) -> dict[str, Smoothing]:
    """Return the operators as given, each followed by its tuned self."""
    from vocsmooth.settings import describe_operator

    smoothers = {}
    for title, (name, params) in chosen.items():
        smoothers[title] = _operator(name, params)
        if name in tuned:
            best = tuned[name]
            smoothers[f"{describe_operator(name, best)}, tuned"] = _operator(name, best)
    return smoothers


def _network(checkpoint: Path, device: str) -> Smoothing:
    """Return the network's smoothing."""
    from csgisnet.prediction.smoother import load

    return load(checkpoint, device=device).smooth


def _samples(
    data: Path | None,
    split: str,
    images: Path | None,
    labels: Path | None,
    count: int,
    choice: str,
) -> Samples:
    """Return samples of a dataset, or of two folders; `choice` names the options to give."""
    from csgisnet.evaluation.measure import samples_of
    from vocsmooth.shards.reader import open_dataset

    if data and not (images or labels):
        return samples_of(open_dataset(data).split(split), count)
    if images and labels and not data:
        return _samples_of_folders(images, labels, count)
    raise click.UsageError(f"Give {choice}.")


def _held_out(
    data: Path | None, split: str | None, images: Path | None, labels: Path | None, count: int
) -> Samples | None:
    """Return the samples to tune on, None if no option asks for that."""
    if not (split or images or labels):
        return None
    choice = "--tune-split with --data, or --tune-images and --tune-labels"
    return _samples(data if split else None, split or "", images, labels, count, choice)


def _samples_of_folders(images: Path, labels: Path, count: int) -> Samples:
    """Return the pairs of two folders, or `count` of them spread evenly."""
    from csgisnet.evaluation.measure import Sample, Samples, to_float
    from vocsmooth.errors import InputError
    from vocsmooth.images.finding import pair_by_name
    from vocsmooth.images.reading import read_rgb
    from vocsmooth.operators.edges import find_edges

    pairs = pair_by_name(images, labels)
    if 0 < count < len(pairs):
        pairs = [pairs[number * len(pairs) // count] for number in range(count)]

    def read(number: int) -> Sample:
        _, image, label = pairs[number]
        pixels, target = read_rgb(image), read_rgb(label)
        if pixels.shape != target.shape:
            raise InputError(
                f"{image} and {label} differ in size: {pixels.shape[1]} x {pixels.shape[0]} and "
                f"{target.shape[1]} x {target.shape[0]} pixels."
            )
        return Sample(to_float(pixels), to_float(target), find_edges(target))

    return Samples(tuple(pair.name for pair in pairs), read)


def _tune_all(
    chosen: Mapping[str, tuple[str, dict[str, Any]]], samples: Samples
) -> dict[str, dict[str, Any]]:
    """Return tuned parameters for each operator among those chosen."""
    return {name: _tune(name, samples) for name in dict.fromkeys(n for n, _ in chosen.values())}


def _tune(operator: str, samples: Samples) -> dict[str, Any]:
    """Return the parameters of the operator's grid with the highest mean PSNR."""
    from csgisnet.evaluation.measure import mean_psnr
    from vocsmooth.operators.tuning import combinations
    from vocsmooth.settings import describe_operator

    candidates = {describe_operator(operator, params): params for params in combinations(operator)}
    smoothers = {title: _operator(operator, params) for title, params in candidates.items()}
    with progress_bar(f"tuning {operator}", len(samples.names)) as bar:
        psnr = mean_psnr(smoothers, samples, bar.update)
    return candidates[max(psnr, key=psnr.__getitem__)]


def _conditions(device: str) -> dict[str, Any]:
    """Return what the times depend on."""
    import platform

    import torch

    import csgisnet
    from csgisnet.device import pick_device

    return {
        "device": str(pick_device(device)),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "torch": torch.__version__,
        "csgisnet": csgisnet.__version__,
    }
