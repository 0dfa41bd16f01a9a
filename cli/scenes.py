"""The command `vocsmooth generate`: a tree of drawn scenes."""

from __future__ import annotations

import re
from pathlib import Path

import click

from . import messages, options
from .progress import progress_bar

_SMALLEST_SCENE = 32


def _parse_size(_context: click.Context, _option: click.Parameter, value: str) -> tuple[int, int]:
    """Return height and width of WIDTHxHEIGHT."""
    found = re.fullmatch(r"(\d{1,9})x(\d{1,9})", value)
    if not found or min(map(int, found.groups())) < _SMALLEST_SCENE:
        raise click.BadParameter(
            f"{value!r} is not WIDTHxHEIGHT with {_SMALLEST_SCENE} pixels or more each, such as "
            "288x256."
        )
    return int(found[2]), int(found[1])


def _parse_families(
    _context: click.Context, _parameter: click.Parameter, words: tuple[str, ...]
) -> dict[str, float]:
    """Read NAME or NAME=SHARE, each name once."""
    families: dict[str, float] = {}
    for word in words or ("drawn",):
        name, _, share = word.partition("=")
        try:
            number = float(share or 1)
        except ValueError:
            raise click.BadParameter(f"{word!r} is not NAME or NAME=SHARE.") from None
        if name in families:
            raise click.BadParameter(f"{name!r} is given twice.")
        families[name] = number
    return families


_FAMILIES = click.option(
    "--family",
    "families",
    multiple=True,
    metavar="NAME[=SHARE]",
    callback=_parse_families,
    help="Family of scenes: drawn (the default), classes (for the manifest `classes`), ragged, "
    "print, posterised or photograph (both need --photographs), or collage (needs --drawings). May "
    "be repeated.",
)

_PHOTOGRAPHS = click.option(
    "--photographs",
    type=options.FOLDER,
    help="Folder of photographs, for the families posterised and photograph.",
)

_DRAWINGS = click.option(
    "--drawings",
    type=options.FOLDER,
    help="Folder of pictures with transparency, for the family collage.",
)

_SIZE = click.option(
    "--size",
    metavar="WIDTHxHEIGHT",
    callback=_parse_size,
    default="288x256",
    help="Width and height of a scene, in pixels.",
)


@click.command()
@click.argument("folder", type=options.FOLDER)
@click.option(
    "--train", type=click.IntRange(min=0), default=1000, help="Number of scenes to train on."
)
@click.option(
    "--val", type=click.IntRange(min=0), default=50, help="Number of scenes to validate on."
)
@_SIZE
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, help="Another seed draws other scenes."
)
@_FAMILIES
@_PHOTOGRAPHS
@_DRAWINGS
@options.JOBS
@options.JSON
@messages.amount_options
def generate(
    folder: Path,
    train: int,
    val: int,
    size: tuple[int, int],
    seed: int,
    families: dict[str, float],
    photographs: Path | None,
    drawings: Path | None,
    jobs: int | None,
    as_json: bool,
) -> None:
    """Draw scenes to FOLDER as a VOC2012 tree: images without texture, which are exact labels.

    \b
    Example: vocsmooth generate scenes --train 2000; vocsmooth build --manifest release ...
    """
    from vocsmooth.sources.scenes import write_scene_tree

    if not train + val:
        raise click.UsageError("--train 0 and --val 0 leave no scene to draw.")
    with progress_bar("scenes") as bar:
        ids = write_scene_tree(
            folder,
            {"train": train, "val": val},
            size=size,
            seed=seed,
            families=families,
            photographs=photographs,
            drawings=drawings,
            jobs=jobs,
            progress=bar.update,
        )
    scenes = "1 scene with its mask" if len(ids) == 1 else f"{len(ids)} scenes with masks"
    messages.summary(f"{scenes} in {folder}", {"scenes": ids}, as_json)
