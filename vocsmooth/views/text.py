"""Describe a dataset in text from its index alone: counts, recipe, and how labels were chosen."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from vocsmooth.settings import counted, describe_operator, recipe_toml
from vocsmooth.shards.entries import Index, Sidecar, failed_checks
from vocsmooth.shards.schema import VERSION

_BINS = 20

_BAR = 40

_MOST_LINES = 1000

_MOST_LISTED = 50_000
"""Photographs in the JSON of a report on labels, which has some 300 bytes for each."""

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
            f"format {VERSION}, index {index.version}, digest {index.digest}",
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
    rows, columns = [], index.columns
    for split in (*index.splits, "all"):
        chosen = np.array([split in (name, "all") for name in index.splits], bool)[columns.split]
        counts = (columns.images[chosen].sum(), columns.shard_samples[chosen].sum(), chosen.sum())
        rows.append((split, *map(str, counts), f"{columns.bytes[chosen].sum() / 1e6:.1f}"))
    return rows


def describe_left_out(index: Index) -> str:
    """Count the photographs that are not in the dataset."""
    totals = index.totals
    return f"{totals.rejected} without a good label, {totals.errors} unusable"


def describe_sizes(index: Index) -> str:
    """Return the smallest and the largest photograph's size."""
    heights, widths = index.columns.shapes.T
    # Each size once: a million photographs have few, and would take 50 MB to sort.
    packed = np.unique((heights.astype(np.int64) << 32) + widths)
    if not packed.size:
        return "none"
    sizes = ((one & 0xFFFFFFFF, one >> 32) for one in packed.tolist())
    by_area = sorted((width * height, width, height) for width, height in sizes)
    small, large = by_area[0][1:], by_area[-1][1:]
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


def describe_labels(index: Index, sidecars: Iterable[Sidecar]) -> str:
    """Return a report on the labels of a dataset.

    Parameters
    ----------
    index : Index
        From `vocsmooth.shards.index.read_index`.
    sidecars : iterable of Sidecar
        Those of its shards; each is looked at once.

    Returns
    -------
    str
        Lines of text: operators that won, the distribution of the scores with the recipe's
        threshold, photographs left out with their best score, negatives that failed their check.
    """
    scores: list[float] = []
    rejected: list[tuple[float, str, str]] = []
    errors: list[str] = []
    failures: dict[str, list[str]] = defaultdict(list)
    for sidecar in sidecars:
        labels = [image.provenance["label"] for image in sidecar.images]
        scores += [label["score"] for label in labels if label["score"] is not None]
        for image in sidecar.images:
            for name in failed_checks(image.provenance):
                failures[name].append(image.id)
        for entry in sidecar.left_out:
            label = entry.provenance.get("label")
            if entry.kind == "error":
                errors.append(f"{entry.id}: {entry.reason}")
            elif label is not None:
                scores.append(label["score"])
                rejected.append((label["score"], entry.id, name_operator(label)))
    return "\n".join(
        [
            *_describe_winners(index),
            *_describe_scores(scores, _min_score(index)),
            *_describe_left_out(rejected, errors),
            *_describe_failures(failures),
        ]
    )


def count_labels(index: Index, sidecars: Iterable[Sidecar]) -> dict[str, Any]:
    """Return what `describe_labels` says as plain values, ready for JSON.

    Of many photographs only some are listed, evenly spread; "listed_every" says each how many.

    Parameters
    ----------
    index, sidecars
        As for `describe_labels`.
    """
    every = -(-(index.totals.images + len(index.columns.left_out_ids)) // _MOST_LISTED) or 1
    labels: list[dict[str, Any]] = []
    left_out: list[dict[str, str]] = []
    images = entries = 0
    for sidecar in sidecars:
        for image in sidecar.images[-images % every :: every]:
            label = image.provenance["label"]
            labels.append(
                {
                    "id": image.id,
                    "operator": name_operator(label),
                    "method": label["method"],
                    "score": label["score"],
                    "negatives_no_worse": list(failed_checks(image.provenance)),
                }
            )
        left_out += [
            {"id": entry.id, "kind": entry.kind, "reason": entry.reason}
            for entry in sidecar.left_out[-entries % every :: every]
        ]
        images += len(sidecar.images)
        entries += len(sidecar.left_out)
    return {
        "threshold": _min_score(index),
        "photographs": images,
        "listed_every": every,
        "labels": labels,
        "left_out": left_out,
    }


def _min_score(index: Index) -> float:
    """Return the recipe's threshold."""
    return float(index.recipe["labels"]["min_score"])


def name_operator(label: Mapping[str, Any]) -> str:
    """Return what made a label or a negative, from its entry in the index."""
    return describe_operator(label["operator"], label["params"])


def _describe_winners(index: Index) -> Iterable[str]:
    """Count how often each operator made the label."""
    yield counted(sum(label.count for label in index.labels), "label")
    for label in index.labels:
        chosen = "" if label.method == "screened" else f", {label.method}"
        yield f"{label.count:8d}  {name_operator(vars(label))}{chosen}"


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


def _describe_left_out(
    rejected: Sequence[tuple[float, str, str]], errors: Sequence[str]
) -> Iterable[str]:
    """List rejected photographs, the best first, and those with errors."""
    best = sorted(rejected, key=lambda entry: -entry[0])
    for title, lines in (
        ("rejected", [f"{score:.3f}  {name}, best {operator}" for score, name, operator in best]),
        ("with errors", errors),
    ):
        if lines:
            yield f"{counted(len(lines), 'photograph')} {title}"
        yield from (f"  {line}" for line in lines[:_MOST_LINES])
        if len(lines) > _MOST_LINES:
            yield f"  and {len(lines) - _MOST_LINES} more; --json lists up to {_MOST_LISTED}"


def _describe_failures(failures: Mapping[str, Sequence[str]]) -> Iterable[str]:
    """Count the negatives that are not worse than their label."""
    for name, ids in sorted(failures.items()):
        shown = ", ".join(ids[:5]) + (" ..." if len(ids) > 5 else "")
        yield f"negative {name!r} is not worse than the label in {len(ids)}: {shown}"
