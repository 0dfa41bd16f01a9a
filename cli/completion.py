"""What the shell offers to complete a word: names, or files.

Nothing here may print or fail: a shell that asks cannot show an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import resources
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from vocsmooth.settings import bundled_toml

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def names(known: Iterable[str]) -> Complete:
    """Complete to one of these names."""
    return lambda _context, _parameter, begun: _beginning(known, begun)


def files(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete to a file or a folder, which shells stop doing for a command that completes."""
    return [CompletionItem(begun, type="file")]


def names_or_files(known: Callable[[], Iterable[str]]) -> Complete:
    """Complete to one of these names or, if none matches, to a file."""

    def complete(
        _context: click.Context, _parameter: click.Parameter, begun: str
    ) -> list[CompletionItem]:
        # Files first: for bash they clear what came before.
        return [*files(_context, _parameter, begun), *_beginning(known(), begun)]

    return complete


def recipes() -> Iterable[str]:
    """Return the names of the bundled recipes."""
    return bundled_toml("vocsmooth.manifests")


def configurations() -> Iterable[str]:
    """Return the names of the bundled configurations."""
    return bundled_toml("csgisnet.configs")


def networks() -> Iterable[str]:
    """Return the names of the bundled networks, without importing torch."""
    models = resources.files("csgisnet") / "models"
    files = (Path(item.name) for item in models.iterdir())
    return sorted(path.stem for path in files if path.suffix == ".safetensors")


def splits(context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete to a split of the dataset that the command line names, or to the usual ones."""
    return _beginning(_of_the_dataset(context)[0] or ("train", "val"), begun)


def maps(context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete to a map of the dataset that the command line names."""
    return _beginning(_of_the_dataset(context)[1], begun)


def classes(
    _context: click.Context, _parameter: click.Parameter, begun: str
) -> list[CompletionItem]:
    """Complete to a class of VOC, followed by "="."""
    from vocsmooth.classes import VOC_CLASSES

    return _beginning((f"{name}=" for name in VOC_CLASSES), begun)


def _of_the_dataset(context: click.Context) -> tuple[list[str], list[str]]:
    """Return the splits and the maps of the dataset that the command line names."""
    from vocsmooth.errors import VocsmoothError
    from vocsmooth.shards.index import read_index

    # An option that still lacks its value keeps click from giving arguments their names.
    folder = context.params.get("data") or next(iter(context.args), None)
    try:
        index = read_index(Path(folder)) if folder else None
    except (OSError, VocsmoothError):
        index = None
    if index is None:
        return [], []
    return list(index.splits), [name for group in index.maps.values() for name in group]


def _beginning(known: Iterable[str], begun: str) -> list[CompletionItem]:
    """Return the names that begin with this text."""
    return [CompletionItem(name) for name in known if name.startswith(begun)]
