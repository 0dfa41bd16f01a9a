"""The command `vocsmooth`: sample, generate, build, verify, smooth, and those of other files."""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import vocsmooth
from vocsmooth.settings import counted, to_dict

from . import applications, completion, convert, messages, options, preview, scenes, show
from .group import CONTEXT, Commands
from .messages import printable
from .operator_options import chosen_operator, operator_command
from .progress import Bar, progress_bar

if TYPE_CHECKING:
    from vocsmooth.dataset.build import BuildSummary, Progress
    from vocsmooth.dataset.verify import Verification


@click.group(cls=Commands, context_settings=CONTEXT)
@click.version_option(vocsmooth.__version__, "-V", "--version")
def main() -> None:
    """Structure-preserving smoothing, and the VOC-smooth dataset."""


@main.command()
@click.argument("folder", type=options.FOLDER)
@options.JSON
@messages.amount_options
def sample(folder: Path, as_json: bool) -> None:
    """Write a small VOC2012 tree to FOLDER, made from photographs that come with scikit-image.

    \b
    Example: vocsmooth sample demo/voc
    """
    from vocsmooth.sources.bundled import write_sample_tree

    ids = write_sample_tree(folder)
    line = f"{counted(len(ids), 'photograph')} with masks in {folder}"
    messages.summary(line, {"photographs": ids}, as_json)


@main.command()
@click.option(
    "--voc-root",
    type=options.FOLDER,
    required=True,
    help="The folder VOCdevkit, or one VOC tree in it.",
)
@options.out_option(options.FOLDER, "Folder for the dataset.")
@options.MANIFEST
@options.set_option("textures.count=8")
@click.option(
    "--textures", type=options.FOLDER, help="Folder of textures to use instead of the bundled ones."
)
@click.option(
    "--split",
    "splits",
    multiple=True,
    default=("train", "val"),
    shell_complete=completion.splits,
    help="May be repeated.",
)
@click.option("--ids", type=options.FILE, help="File that lists the photographs to use.")
@click.option("--strict", is_flag=True, help="Stop at the first photograph that cannot be used.")
@options.PART
@click.option("--scheduler", help="Dask scheduler: tcp://HOST:PORT, or its JSON file.")
@options.JOBS
@options.JSON
@messages.amount_options
def build(
    voc_root: Path,
    out: Path,
    manifest: str,
    changes: tuple[str, ...],
    textures: Path | None,
    splits: tuple[str, ...],
    ids: Path | None,
    strict: bool,
    part: tuple[int, int],
    scheduler: str | None,
    jobs: int | None,
    as_json: bool,
) -> None:
    """Build a dataset from a VOC tree, or continue an interrupted build.

    Several machines that share a folder can build one dataset together: give each its --part I/N,
    in any order; the last to finish completes the dataset. Alternatively, use them as workers of a
    Dask cluster (--scheduler), which requires `pip install csgisnet[cluster]` on each of them.

    \b
    Example: vocsmooth build --voc-root VOCdevkit --out voc-smooth --jobs 8
    """
    from vocsmooth.dataset.build import build_dataset
    from vocsmooth.maps.recipe import load_recipe
    from vocsmooth.sources.voc import find_tree

    if scheduler and jobs:
        raise click.UsageError(
            "--jobs applies to this machine only: give it or --scheduler, not both."
        )
    tree = find_tree(voc_root)
    messages.note(f"From {tree.describe()}")
    with progress_bar("photographs") as bar:
        summary = build_dataset(
            voc_root,
            out,
            load_recipe(manifest, changes),
            textures_dir=textures,
            splits=splits,
            ids_file=ids,
            jobs=jobs,
            scheduler=scheduler,
            part=part,
            strict=strict,
            progress=functools.partial(_show_progress, bar, out),
        )
        said = bar.end_left_out("the JSON files beside the shards list all of them")
    _print_summary(out, summary, as_json)
    if summary.errors and not said:
        messages.note("The unusable photographs are named above and in the shards' JSON files.")
    sys.exit(1 if summary.errors else 0)


def _show_progress(bar: Bar, out: Path, progress: Progress) -> None:
    """Move the bar; print what was left out, and whether the disk is too small."""
    for entry in progress.left_out:
        bar.leave_out(entry.kind, entry.reason)
    bar.update(progress.done, progress.total)
    if progress.needed_bytes > progress.free_bytes:
        bar.note(
            f"warning: about {progress.needed_bytes / 1e9:.1f} GB are needed, but the disk "
            f"of {out} has only {progress.free_bytes / 1e9:.1f} GB left"
        )


def _print_summary(out: Path, summary: BuildSummary, as_json: bool) -> None:
    """Print what `build` made, and what is missing from it."""
    if summary.complete_before:
        messages.note(f"{out} was already complete.")
    each = summary.bytes / max(summary.images, 1) / 1e3
    messages.summary(
        f"{out}: {counted(summary.images, 'photograph')}, {counted(summary.samples, 'sample')}, "
        f"{summary.rejected} rejected, {summary.errors} unusable, "
        f"{summary.failed_checks} with a negative no worse than the label, "
        f"{summary.bytes / 1e6:.1f} MB ({each:.0f} kB a photograph), {summary.seconds:.1f} s",
        to_dict(summary) if as_json else {},
        as_json,
    )
    if summary.missing:
        missing = counted(summary.missing, "shard")
        messages.note(f"Still missing, from other parts: {missing}.")


@main.command()
@click.argument("folder", type=options.FOLDER)
@options.JSON
@click.option(
    "--fresh",
    is_flag=True,
    help="Also check the shards that an earlier run found intact, and SHA-256 beside BLAKE3.",
)
@click.option(
    "--upgrade",
    is_flag=True,
    help="Give an intact dataset of an older version the index of this one.",
)
@click.option("--repair", is_flag=True, help="Rebuild what is damaged from --voc-root.")
@click.option(
    "--voc-root",
    type=options.FOLDER,
    help="With --repair: the VOC tree that the dataset was built from.",
)
@click.option(
    "--textures",
    type=options.FOLDER,
    help="With --repair: the folder of textures that it was built with.",
)
@options.JOBS
@messages.amount_options
def verify(
    folder: Path,
    as_json: bool,
    fresh: bool,
    upgrade: bool,
    repair: bool,
    voc_root: Path | None,
    textures: Path | None,
    jobs: int | None,
) -> None:
    """Prove that the dataset in FOLDER is intact; only then is the exit code 0.

    When it is run again after an interruption or a problem, it skips the shards that it found
    intact within the last week. --repair restores the dataset byte for byte.

    \b
    Example: vocsmooth verify voc-smooth --repair --voc-root VOCdevkit
    """
    from vocsmooth.dataset.repair import repair_dataset
    from vocsmooth.dataset.verify import verify_dataset

    if repair != (voc_root is not None) or (textures and not repair):
        raise click.UsageError(
            "--repair needs --voc-root; --voc-root and --textures need --repair."
        )
    with progress_bar("shards") as bar:
        if voc_root is None:
            report = verify_dataset(folder, jobs=jobs, fresh=fresh, progress=bar.update)
        else:
            repaired = repair_dataset(
                folder,
                voc_root,
                textures_dir=textures,
                jobs=jobs,
                fresh=fresh,
                progress=bar.update,
            )
            report = repaired.verification
            for name in (*repaired.shards, *repaired.files):
                bar.note(f"rebuilt: {name}")
    _print_report(folder, report, as_json)
    if report.problems:
        if upgrade:
            messages.note("It was not upgraded: that takes a dataset without problems.")
        sys.exit(1)
    _upgrade(folder, report.index_version, wanted=upgrade)


def _upgrade(folder: Path, version: int, *, wanted: bool) -> None:
    """Give an intact dataset the index of today, or say that it could have it."""
    from vocsmooth.dataset.recover import upgrade_index
    from vocsmooth.shards.schema import INDEX_VERSION

    if version == INDEX_VERSION:
        if wanted:
            messages.note(f"Its index has version {version}, the newest, already.")
    elif wanted:
        upgrade_index(folder)
        messages.note(f"Its index has version {INDEX_VERSION} now; its shards are the same.")
    else:
        messages.note(
            f"Its index has version {version}; --upgrade turns it into version {INDEX_VERSION}, "
            "which opens faster."
        )


def _print_report(folder: Path, report: Verification, as_json: bool) -> None:
    """Print what `verify` found."""
    if as_json:
        click.echo(json.dumps(to_dict(report), indent=1))
        return
    for problem in report.problems:
        places = (problem.shard, problem.image, problem.field)
        click.echo(printable(": ".join(filter(None, (*places, problem.message)))))
    if report.known:
        messages.result(
            f"Found intact by an earlier run: {report.known} of {report.shards} shards; "
            "--fresh checks all of them again."
        )
    found = len(report.problems)
    messages.result(
        f"{folder}: {counted(report.shards, 'shard')}, {counted(report.images, 'photograph')}, "
        f"{counted(report.samples, 'sample')}, {report.bytes / 1e6:.1f} MB, "
        f"{report.seconds:.1f} s: " + (counted(found, "problem") if found else "intact")
    )


@operator_command()
def smooth(
    inputs: tuple[str, ...], operator: str, out: Path, jobs: int | None, **given: Any
) -> None:
    """Smooth files, folders, patterns, or a list on stdin (-), with a classical operator.

    \b
    Example: vocsmooth smooth photos --operator rtv --lam 0.015 --out smoothed
    """
    applications.run(inputs, out, jobs, chosen_operator(operator, given), **given)


for _command in (
    smooth,
    applications.enhance,
    applications.abstract,
    applications.compose,
    preview.preview,
    scenes.generate,
    show.info,
    show.labels,
    show.report,
    convert.export,
    convert.repack,
):
    main.add_command(_command)
