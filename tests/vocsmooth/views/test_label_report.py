"""The report on the choice of labels."""

from typing import Any

from vocsmooth.shards.entries import ImageEntry, Index, LeftOutEntry, Totals
from vocsmooth.views.text import describe_labels


def label(score: float | None, operator: str = "rtv", method: str = "screened") -> dict[str, Any]:
    return {"method": method, "operator": operator, "params": {"lam": 0.01}, "score": score}


def image(image_id: str, content: dict[str, Any], worse: bool | None = True) -> ImageEntry:
    checks = {"over": {"worse": worse}}
    return ImageEntry(
        id=image_id,
        split="train",
        shard="train-00000.h5",
        height=3,
        width=4,
        samples=1,
        provenance={"label": content, "negatives": checks},
    )


def left_out(image_id: str, kind: str, content: dict[str, Any] | None = None) -> LeftOutEntry:
    return LeftOutEntry(
        id=image_id,
        split="train",
        kind=kind,
        reason="its mask is broken",
        provenance={"label": content} if content else {},
    )


def make_index(images: list[ImageEntry], *missing: LeftOutEntry) -> Index:
    return Index(
        digest="",
        recipe={"labels": {"min_score": 0.65}},
        versions={},
        maps={},
        splits=("train",),
        totals=Totals(images=len(images), samples=0, rejected=0, errors=0, bytes=0),
        shards=(),
        images=tuple(images),
        left_out=missing,
    )


def test_report() -> None:
    index = make_index(
        [
            image("a", label(0.71)),
            image("b", label(0.74), worse=False),
            image("c", label(0.82, "l0")),
            image("d", label(None, method="fallback"), worse=None),
            image("e", label(1.0)),
        ],
        left_out("f", "rejected", label(0.31)),
        left_out("g", "rejected", label(0.62, "l0")),
        left_out("h", "error"),
    )
    bar = "#" * 40
    half = "#" * 20
    assert describe_labels(index).splitlines() == [
        "5 labels",
        "       3  rtv(lam=0.01)",
        "       1  l0(lam=0.01)",
        "       1  rtv(lam=0.01), fallback",
        "best scores of 6 screened photographs, threshold 0.65",
        f"  0.30 to 0.35      1  {half}",
        *[f"  {n / 20:.2f} to {(n + 1) / 20:.2f}      0" for n in range(7, 12)],
        f"  0.60 to 0.65      1  {half}",
        "  0.65 to 0.70      0",
        f"  0.70 to 0.75      2  {bar}",
        "  0.75 to 0.80      0",
        f"  0.80 to 0.85      1  {half}",
        "  0.85 to 0.90      0",
        "  0.90 to 0.95      0",
        f"  0.95 to 1.00      1  {half}",
        "2 rejected",
        "  0.620  g, best l0(lam=0.01)",
        "  0.310  f, best rtv(lam=0.01)",
        "1 with errors",
        "  h: its mask is broken",
        "negative 'over' is not worse than the label in 1: b",
    ]


def test_nothing_screened() -> None:
    index = make_index([image("a", label(None, "guided", "fixed"))])
    assert describe_labels(index).splitlines() == [
        "1 labels",
        "       1  guided(lam=0.01), fixed",
        "no scores: nothing was screened",
    ]
