"""Describe a dataset in text from its index alone: counts, recipe, and how labels were chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vocsmooth.settings import counted, describe_operator, recipe_toml
from vocsmooth.shards.entries import Index, failed_checks
from vocsmooth.shards.schema import VERSION

_BINS = 20

_BAR = 40

COLUMNS = ("split", "photographs", "samples", "shards", "MB")
"""Heads of the columns of `count_splits`."""


def describe_dataset(index: Index) -> str:
    """Return what `vocsmooth info` prints about a dataset.

    Parameters
    ----------
    index : Index
        From `vocsmooth.shards.index.read_index`.

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


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Write rows of text in columns, all but the first to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(rest, widths[1:], strict=True))]
        )
        for first, *rest in rows
    ]


def describe_labels(index: Index) -> str:
    """Return a report on the labels of a dataset.

    Parameters
    ----------
    index : Index
        From `vocsmooth.shards.index.read_index`.

    Returns
    -------
    str
        Lines of text: operators that won, the distribution of the scores with the recipe's
        threshold, photographs left out with their best score, negatives that failed their check.
    """
    chosen = [image.provenance["label"] for image in index.images]
    rejected = {e.id: e.provenance["label"] for e in index.left_out if e.kind == "rejected"}
    scored = [label for label in (*chosen, *rejected.values()) if label["score"] is not None]
    return "\n".join(
        [
            *_describe_winners(chosen),
            *_describe_scores([label["score"] for label in scored], _min_score(index)),
            *_describe_left_out(index, rejected),
            *_describe_failures(index),
        ]
    )


def count_labels(index: Index) -> dict[str, Any]:
    """Return what `describe_labels` says as plain values, ready for JSON.

    Parameters
    ----------
    index : Index
        From `vocsmooth.shards.index.read_index`.
    """
    left_out = [{"id": e.id, "kind": e.kind, "reason": e.reason} for e in index.left_out]
    return {
        "threshold": _min_score(index),
        "labels": [
            {
                "id": image.id,
                "operator": name_operator(image.provenance["label"]),
                "method": image.provenance["label"]["method"],
                "score": image.provenance["label"]["score"],
                "negatives_no_worse": list(failed_checks(image.provenance)),
            }
            for image in index.images
        ],
        "left_out": left_out,
    }


def _min_score(index: Index) -> float:
    """Return the recipe's threshold."""
    return float(index.recipe["labels"]["min_score"])


def name_operator(label: Mapping[str, Any]) -> str:
    """Return what made a label or a negative, from its entry in the index."""
    return describe_operator(label["operator"], label["params"])


def _describe_winners(chosen: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """Count how often each operator made the label."""
    yield counted(len(chosen), "label")
    winners = Counter((label["method"], name_operator(label)) for label in chosen)
    for (method, name), count in winners.most_common():
        yield f"{count:8d}  {name}" + ("" if method == "screened" else f", {method}")


def _describe_scores(scores: Sequence[float], min_score: float) -> Iterable[str]:
    """Draw the distribution of the best scores, from the first bin in use to the last."""
    if not scores:
        yield "no scores: no label was screened"
        return
    yield f"best scores of {counted(len(scores), 'screened photograph')}, threshold {min_score:g}"
    bins = Counter(min(int(score * _BINS), _BINS - 1) for score in scores)
    for number in range(min(bins), max(bins) + 1):
        bar = "#" * round(_BAR * bins[number] / max(bins.values()))
        low, high = number / _BINS, (number + 1) / _BINS
        yield f"  {low:.2f} to {high:.2f} {bins[number]:6d}  {bar}".rstrip()


def _describe_left_out(index: Index, rejected: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    """List rejected photographs, the best first, and those with errors."""
    if rejected:
        yield f"{counted(len(rejected), 'photograph')} rejected"
    for image_id, label in sorted(rejected.items(), key=lambda item: -item[1]["score"]):
        yield f"  {label['score']:.3f}  {image_id}, best {name_operator(label)}"
    errors = [entry for entry in index.left_out if entry.kind == "error"]
    if errors:
        yield f"{counted(len(errors), 'photograph')} with errors"
    for entry in errors:
        yield f"  {entry.id}: {entry.reason}"


def _describe_failures(index: Index) -> Iterable[str]:
    """Count the negatives that are not worse than their label."""
    failures = [
        (name, image.id) for image in index.images for name in failed_checks(image.provenance)
    ]
    for name, count in sorted(Counter(name for name, _ in failures).items()):
        ids = [image_id for failed, image_id in failures if failed == name]
        shown = ", ".join(ids[:5]) + (" ..." if count > 5 else "")
        yield f"negative {name!r} is not worse than the label in {count}: {shown}"
