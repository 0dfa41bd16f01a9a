"""`csgisnet evaluate`: networks, results of others and operators, measured on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vocsmooth.settings import counted

from . import completion, messages, options, smoothers
from .operator_options import OPERATOR_NAMES
from .progress import progress_bar

if TYPE_CHECKING:
    from csgisnet.evaluation.measure import Contestant, Record
    from csgisnet.evaluation.samples import Samples


@click.command()
@click.option("--data", type=options.FOLDER, help="Dataset that `vocsmooth build` has made.")
@click.option(
    "--images", type=options.FOLDER, help="Instead of --data: folder of images to smooth."
)
@click.option(
    "--labels", type=options.FOLDER, help="With --images: folder of their labels, paired by name."
)
@click.option(
    "--split",
    default="val",
    shell_complete=completion.splits,
    help="Split of --data to measure on.",
)
@click.option(
    "--samples", type=click.IntRange(min=0), default=0, help="Number of images to use; 0 for all."
)
@click.option(
    "--checkpoint",
    "checkpoints",
    metavar="[NAME=]PATH",
    multiple=True,
    shell_complete=completion.names_or_files(completion.networks),
    help=f"{options.CHECKPOINT_WORDS} May be repeated; the report shows NAME.  "
    "[default: no network]",
)
@options.CHANNEL_ORDER
@click.option(
    "--results",
    metavar="[NAME=]FOLDER",
    multiple=True,
    shell_complete=completion.files,
    help="Pictures that another method has made of the images, paired by name; may be repeated. "
    "Those of a dataset are named as by `vocsmooth export`.",
)
@click.option(
    "--operator",
    "operators",
    multiple=True,
    shell_complete=completion.names((*OPERATOR_NAMES, "none")),
    help="An operator, such as rtv or rtv:lam=0.02,sigma=4, or none at all (none); may be "
    "repeated.  [default: all]",
)
@click.option(
    "--tune-split",
    shell_complete=completion.splits,
    help="Another split of --data, to tune the operators on.",
)
@click.option(
    "--tune-images", type=options.FOLDER, help="Folder of other images, to tune the operators on."
)
@click.option("--tune-labels", type=options.FOLDER, help="Folder of their labels.")
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
    checkpoints: tuple[str, ...],
    channel_order: Any,
    results: tuple[str, ...],
    operators: tuple[str, ...],
    tune_split: str | None,
    tune_images: Path | None,
    tune_labels: Path | None,
    tune_samples: int,
    device: str,
    out: Path,
    as_json: bool,
) -> None:
    """Compare networks, results of others and the operators in tables, a plot and a page of crops.

    \b
    Example: csgisnet evaluate --data voc-smooth --checkpoint runs/a --tune-split train --out report
    Example: csgisnet evaluate --data voc-smooth --results theirs=folder --checkpoint full -o report
    """
    from csgisnet.evaluation.measure import INPUT, summarise
    from csgisnet.evaluation.measure import evaluate as run
    from csgisnet.evaluation.report import conditions, write_report
    from csgisnet.evaluation.tune import remarks_on_tuning
    from vocsmooth.files import sha256_file
    from vocsmooth.operators.kernels import describe
    from vocsmooth.shards.index import INDEX_NAME

    if tune_split == split:
        raise click.UsageError(
            "--tune-split must differ from --split: operators tuned on the same images would look "
            "too good."
        )
    if channel_order and not checkpoints:
        raise click.UsageError("--channel-order goes with --checkpoint.")
    chosen = smoothers.parse_operators(operators)
    networks = smoothers.find_networks(smoothers.split_names(checkpoints))
    folders = smoothers.split_names(results)
    smoothers.refuse_same_names(networks, folders, chosen)
    measured = _samples(data, split, images, labels, samples, "--data, or --images and --labels")
    held_out = _held_out(data, tune_split, tune_images, tune_labels, tune_samples)
    if not (networks or folders):
        messages.note("Without --checkpoint, this compares the operators only.")
    loaded = smoothers.load_networks(networks, device, channel_order)
    about = {
        "source": str(data or images),
        "index_sha256": sha256_file(data / INDEX_NAME) if data else None,
        "split": split if data else None,
        "labels": str(labels) if labels else None,
        "checkpoints": smoothers.describe_networks(networks),
        "channel_order": channel_order,
        "results": folders,
        "tuned_on": list(held_out.names) if held_out else [],
        **conditions(device),
        "kernels": describe(),
    }
    outputs = smoothers.read_results(folders, measured)
    tuned = smoothers.tune_operators(chosen.values(), held_out) if held_out else {}
    bound = smoothers.bind_operators(chosen, tuned)
    smoothers.refuse_same_names(loaded, outputs, bound)  # those of tuned operators are new
    compared: dict[str, Contestant] = {**loaded, **outputs, **bound}
    out.mkdir(parents=True, exist_ok=True)  # a folder that cannot be made fails before the work
    with progress_bar("images", len(measured.names)) as bar:
        records = run(compared, measured, bar.update)
    remarks = remarks_on_tuning(summarise(records), smoothers.untuned_titles(chosen, tuned))
    write_report(
        out,
        records,
        measured,
        compared,
        subject=next(iter(compared), INPUT),
        title=_title([*networks, *folders], len(compared)),
        about={**about, "tuned": tuned},
        remarks=remarks,
    )
    _show(out, records, remarks, as_json)


def _title(others: Sequence[str], count: int) -> str:
    """Return what the report is about: one network or method, or a comparison of several.

    Without any no operator is the subject, though one has to come first on the page.
    """
    if len(others) == 1:
        return others[0]
    return counted(count, "smoother" if others else "operator")


def _show(out: Path, records: Sequence[Record], remarks: Sequence[str], as_json: bool) -> None:
    """Print the table of all smoothers, or the report's JSON."""
    from csgisnet.evaluation.measure import summarise
    from csgisnet.evaluation.tables import format_markdown

    for remark in remarks:
        messages.note(remark)
    if as_json:
        click.echo((out / "summary.json").read_text(encoding="utf-8"), nl=False)
        return
    for line in format_markdown(summarise(records)).split("\n\n", maxsplit=1)[0].splitlines():
        messages.result(line)
    messages.result(f"{out / 'report.html'}")


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
