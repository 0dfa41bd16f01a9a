"""What a dataset is, in numbers and as the recipe that makes it, from its index alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vocsmooth.index import Index
from vocsmooth.shard_schema import VERSION

COLUMNS = ("split", "photographs", "samples", "shards", "MB")
"""Heads of the columns of `count_splits`."""


def describe_dataset(index: Index) -> str:
    """Return what `vocsmooth info` prints about a dataset.

    Parameters
    ----------
    index : Index
        From `vocsmooth.index.read_index`.

    Returns
    -------
    str
        Lines of text: counts by split, what was left out, sizes of the photographs, maps, versions,
        and the recipe as TOML.
    """
    return "\n".join(
        [
            f"dataset {index.recipe.get('name') or 'without a name'}, "
            f"format {VERSION}, digest {index.digest}",
            *_align([COLUMNS, *count_splits(index)]),
            f"left out: {describe_left_out(index)}",
            f"photographs: {describe_sizes(index)}",
            f"maps of a photograph: {', '.join(index.maps['images'])}",
            f"maps of an input: {', '.join(index.maps['samples'])}",
            f"made by: {describe_versions(index)}",
            "",
            recipe_toml(index.recipe),
        ]
    )


def count_splits(index: Index) -> list[tuple[str, ...]]:
    """Return a row of text for each split and one for all, see `COLUMNS`."""
    rows = []
    for split in (*index.splits, "all"):
        shards = [shard for shard in index.shards if split in (shard.split, "all")]
        counts = [
            sum(shard.images for shard in shards),
            sum(shard.samples for shard in shards),
            len(shards),
        ]
        size = sum(shard.bytes for shard in shards)
        rows.append((split, *map(str, counts), f"{size / 1e6:.1f}"))
    return rows


def describe_left_out(index: Index) -> str:
    """Count the photographs that are not in the dataset."""
    totals = index.totals
    return f"{totals.rejected} without a good label, {totals.errors} unusable"


def describe_sizes(index: Index) -> str:
    """Return the smallest and the largest photograph's size."""
    sizes = sorted(
        (image.height * image.width, image.width, image.height) for image in index.images
    )
    if not sizes:
        return "none"
    (_, *small), (_, *large) = sizes[0], sizes[-1]
    return f"{small[0]} x {small[1]} to {large[0]} x {large[1]} pixels (width x height)"


def describe_versions(index: Index) -> str:
    """List the packages that made the dataset, with their versions."""
    return ", ".join(f"{name} {version}" for name, version in index.versions.items())


def recipe_toml(recipe: Mapping[str, Any]) -> str:
    """Spell a resolved recipe as TOML, which `vocsmooth build --manifest` takes again.

    Parameters
    ----------
    recipe : mapping
        Tables of tables, arrays and scalars, as in the index; None means not given.
    """
    return "\n".join(_table(recipe, "")).strip()


def _table(table: Mapping[str, Any], path: str) -> Iterator[str]:
    """Write a table: what is plain first, then its sections."""
    given = {key: value for key, value in table.items() if value is not None}
    sections = {
        key: value
        for key, value in given.items()
        if _is_array_of_tables(value) or (isinstance(value, Mapping) and not path)
    }
    for key, value in given.items():
        if key not in sections:
            yield f"{key} = {_value(value)}"
    for key, value in sections.items():
        if isinstance(value, Mapping):
            yield from ("", f"[{path}{key}]")
            yield from _table(value, f"{path}{key}.")
        else:
            for item in value:
                yield from ("", f"[[{path}{key}]]")
                yield from _table(item, f"{path}{key}.")


def _is_array_of_tables(value: Any) -> bool:
    """Return whether a value is written as sections with double brackets."""
    return isinstance(value, Sequence) and bool(value) and isinstance(value[0], Mapping)


def _value(value: Any) -> str:
    """Write a value within a line."""
    if isinstance(value, Mapping):
        pairs = (f"{key} = {_value(item)}" for key, item in value.items())
        return f"{{ {', '.join(pairs)} }}" if value else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Write rows of text in columns, all but the first to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(rest, widths[1:], strict=True))]
        )
        for first, *rest in rows
    ]
