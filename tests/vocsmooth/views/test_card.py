"""The dataset card."""

from dataclasses import replace
from pathlib import Path

import pytest

from vocsmooth.settings import recipe_toml
from vocsmooth.shards.assembling import assemble_index
from vocsmooth.shards.entries import Index
from vocsmooth.shards.index import index_files, read_index
from vocsmooth.shards.planned import read_plan
from vocsmooth.views.card import describe


def described(index: Index) -> str:
    return describe(index, index_files(index))


def test_every_section_is_filled_from_the_index(pristine_dataset: Path) -> None:
    index = read_index(pristine_dataset)
    card = described(index)
    sections = {part.split("\n")[0]: part for part in card.split("\n## ")[1:]}
    assert list(sections) == [
        "Files",
        "Counts",
        "Labels",
        "Recipe",
        "Sources and licences",
        "How to cite",
        "Versions",
    ]
    assert "| `under` | input | negative: `guided(radius=1)` of the input |" in sections["Files"]
    assert "| val | 2 | 4 | 1 |" in sections["Counts"]
    assert "| `guided()` | fixed | 7 |" in sections["Labels"]
    assert f"```toml\n{recipe_toml(index.recipe)}\n```" in sections["Recipe"]
    assert "Flickr" in sections["Sources and licences"]
    assert "He et al., Guided" in sections["How to cite"]
    assert "Relative Total Variation" not in sections["How to cite"]
    assert index.digest in sections["Versions"]


def test_each_texture_is_counted_once_an_input(pristine_dataset: Path) -> None:
    index = read_index(pristine_dataset)
    (line,) = (line for line in described(index).splitlines() if line.startswith("- Textures"))
    listed = line.split(": ")[1].split(". ")[0]
    counts = [int(entry.split("(")[1].rstrip(")")) for entry in listed.split(", ")]
    assert sum(counts) == index.totals.samples


def test_failed_checks_of_negatives_are_owned_up_to(pristine_dataset: Path) -> None:
    index = read_index(pristine_dataset)
    assert "not worse than the label" not in described(index)
    card = described(replace(index, failed_checks=1))
    assert "Photographs with a negative that is not worse than the label: 1." in card


def test_hugging_face_finds_its_keys_in_the_front_matter(pristine_dataset: Path) -> None:
    yaml = pytest.importorskip("yaml")
    card = described(read_index(pristine_dataset))
    _, front, text = card.split("---\n", 2)
    keys = yaml.safe_load(front)
    assert keys["license"] == "other"
    assert keys["license_link"] == "README.md#sources-and-licences"
    assert "\n## Sources and licences\n" in text
    assert keys["task_categories"] == ["image-to-image"]
    assert keys["size_categories"] == ["n<1K"]
    assert keys["pretty_name"] == "VOC-smooth: a dataset"


@pytest.mark.parametrize(
    ("samples", "category"),
    [
        (0, "n<1K"),
        (999, "n<1K"),
        (1000, "1K<n<10K"),
        (1_000_000, "1M<n<10M"),
        (10**12 - 1, "100B<n<1T"),
        (10**12, "n>1T"),
    ],
)
def test_size_categories_are_those_of_hugging_face(
    pristine_dataset: Path, samples: int, category: str
) -> None:
    index = read_index(pristine_dataset)
    counted = replace(index, totals=replace(index.totals, samples=samples))
    assert f'size_categories: ["{category}"]' in described(counted)


def test_a_dataset_of_nothing_has_a_card_too(pristine_dataset: Path) -> None:
    plan = read_plan(pristine_dataset / "plan.json")
    empty = assemble_index(plan, [])
    assert "| all | 0 | 0 | 0 | 0.0 |" in described(empty)
    assert "Sizes: none." in described(empty)
