"""What `vocsmooth info` and `labels report` print, and recipes as TOML."""

from pathlib import Path
from typing import Any

import pytest

from vocsmooth.maps.recipe import Recipe, load_recipe
from vocsmooth.settings import load_toml, recipe_toml, to_dict
from vocsmooth.shards.assembling import assemble_index
from vocsmooth.shards.entries import ImageEntry, LeftOutEntry, PlanHead, ShardEntry, Sidecar
from vocsmooth.shards.index import read_index, record_of
from vocsmooth.views.text import count_splits, describe_dataset, describe_labels

TRICKY = {
    "labels": {
        "fixed": {"operator": "guided", "params": {"eps": 1e-05}},
        "fallback": {"operator": "ils", "params": {"penalty": "charbonnier"}},
    },
    "name": 'quotes " and \\ and ünïcode\n',
    "ids": ["2007_000032", "é_5"],
    "textures": {"seamless": False},
}


@pytest.mark.parametrize("name", ["voc-smooth", "demo", "paper150"])
def test_bundled_recipes_survive_the_way_through_toml(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    path = tmp_path / "again.toml"
    path.write_text(recipe_toml(to_dict(recipe)), encoding="utf-8")
    assert load_recipe(path) == recipe


def test_awkward_values_survive_the_way_through_toml(tmp_path: Path) -> None:
    path = tmp_path / "again.toml"
    path.write_text(recipe_toml(TRICKY), encoding="utf-8")
    recipe = load_toml(Recipe, path)
    assert recipe.name == TRICKY["name"]
    assert recipe.ids == ("2007_000032", "é_5")
    assert recipe.labels.fixed is not None
    assert recipe.labels.fixed.params == {"eps": 1e-05}
    assert not recipe.textures.seamless


def test_splits_are_counted(pristine_dataset: Path) -> None:
    rows = count_splits(read_index(pristine_dataset))
    assert [row[:4] for row in rows] == [
        ("train", "5", "10", "3"),
        ("val", "2", "4", "1"),
        ("all", "7", "14", "4"),
    ]


def test_description_names_what_the_index_says(pristine_dataset: Path, recipe: Recipe) -> None:
    index = read_index(pristine_dataset)
    text = describe_dataset(index)
    assert index.digest in text
    assert "left out: 0 without a good label, 0 unusable" in text
    assert "photographs: 47 x 33 to 52 x 36 pixels" not in text
    assert "photographs: 31 x 45 to 52 x 36 pixels" not in text
    assert "photographs: 31 x 45 to 56 x 40 pixels" in text
    assert "maps of an input: input, texture, under" in text
    assert f"h5py {index.versions['h5py']}" in text
    assert text.endswith(recipe_toml(recipe.record()))


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


def report_on(images: list[ImageEntry], *missing: LeftOutEntry) -> list[str]:
    """Return the lines of the report on one shard."""
    plan = PlanHead(
        package="",
        digest="",
        recipe={"labels": {"min_score": 0.65}},
        textures={},
        maps={},
        splits=("train",),
    )
    shard = ShardEntry(
        name="train-00000.h5",
        split="train",
        bytes=1,
        sha256=64 * "0",
        images=len(images),
        samples=len(images),
    )
    sidecar = Sidecar(
        digest="", versions={}, shard=shard, images=tuple(images), left_out=tuple(missing)
    )
    index = assemble_index(plan, [record_of(sidecar)])
    return describe_labels(index, [sidecar]).splitlines()


def test_the_report_on_labels() -> None:
    lines = report_on(
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
    assert lines == [
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
        "2 photographs rejected",
        "  0.620  g, best l0(lam=0.01)",
        "  0.310  f, best rtv(lam=0.01)",
        "1 photograph with errors",
        "  h: its mask is broken",
        "negative 'over' is not worse than the label in 1: b",
    ]


def test_nothing_screened() -> None:
    lines = report_on([image("a", label(None, "guided", "fixed"))])
    assert lines == [
        "1 label",
        "       1  guided(lam=0.01), fixed",
        "no scores: no label was screened",
    ]
