"""How the labels of a dataset were chosen, as text: winners, scores, what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vocsmooth.index import Index
from vocsmooth.samples import failed_checks

_BINS = 20
_BAR = 40


def describe_labels(index: Index) -> str:
    """Return a report on the labels of a dataset.

    Parameters
    ----------
    index : Index
        From `vocsmooth.index.read_index`.

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


def _min_score(index: Index) -> float:
    """Return the recipe's threshold."""
    return float(index.recipe["labels"]["min_score"])


def name_operator(label: Mapping[str, Any]) -> str:
    """Return an operator with its parameters, as one writes a call."""
    params = ", ".join(f"{name}={value}" for name, value in label["params"].items())
    return f"{label['operator']}({params})"


def _describe_winners(chosen: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """Count how often each operator made the label."""
    yield f"{len(chosen)} labels"
    winners = Counter((label["method"], name_operator(label)) for label in chosen)
    for (method, name), count in winners.most_common():
        yield f"{count:8d}  {name}" + ("" if method == "screened" else f", {method}")


def _describe_scores(scores: Sequence[float], min_score: float) -> Iterable[str]:
    """Draw the distribution of the best scores, from the first bin that is used to the last."""
    if not scores:
        yield "no scores: nothing was screened"
        return
    yield f"best scores of {len(scores)} screened photographs, threshold {min_score:g}"
    bins = Counter(min(int(score * _BINS), _BINS - 1) for score in scores)
    for number in range(min(bins), max(bins) + 1):
        bar = "#" * round(_BAR * bins[number] / max(bins.values()))
        low, high = number / _BINS, (number + 1) / _BINS
        yield f"  {low:.2f} to {high:.2f} {bins[number]:6d}  {bar}".rstrip()


def _describe_left_out(index: Index, rejected: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    """List rejected photographs, the best first, and those with errors."""
    if rejected:
        yield f"{len(rejected)} rejected"
    for image_id, label in sorted(rejected.items(), key=lambda item: -item[1]["score"]):
        yield f"  {label['score']:.3f}  {image_id}, best {name_operator(label)}"
    errors = [entry for entry in index.left_out if entry.kind == "error"]
    if errors:
        yield f"{len(errors)} with errors"
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
