"""The dataset card: what a dataset is, where it comes from and how to cite it, as Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from vocsmooth.settings import recipe_toml
from vocsmooth.shards.entries import Index
from vocsmooth.shards.index import PLAN_NAME
from vocsmooth.shards.schema import VERSION
from vocsmooth.views.text import (
    COLUMNS,
    count_splits,
    describe_left_out,
    describe_sizes,
    describe_versions,
    name_operator,
)

CARD_NAME = "README.md"
"""The card's file in the folder of the dataset."""

SUMMARY = (
    "Pairs for learning to smooth images: photographs without their texture (labels) and the "
    "same with other textures laid over them (inputs), with semantic masks, edges and "
    "negatives, the results that a network should stay away from."
)
"""What such a dataset is."""

_MAPS = {
    "label": "the photograph without its texture",
    "edge": "edges of the label, 0 or 1",
    "mask": "PASCAL VOC classes 0..20, 255 void",
    "input": "the label with a texture laid over it: `clip(label + texture, 0, 255)`",
    "texture": "the texture's field of grey levels, int16",
}

_MOST_NAMED = 50

_PAPERS = {
    "CSGIS-Net": "J. Wang et al., Contrastive Semantic-Guided Image Smoothing Network, "
    "Computer Graphics Forum 41(7), 2022",
    "PASCAL VOC": "M. Everingham et al., The PASCAL Visual Object Classes (VOC) Challenge, "
    "International Journal of Computer Vision 88(2), 2010",
    "l0": "L. Xu et al., Image Smoothing via L0 Gradient Minimization, SIGGRAPH Asia 2011",
    "rtv": "L. Xu et al., Structure Extraction from Texture via Relative Total Variation, "
    "SIGGRAPH Asia 2012",
    "guided": "K. He et al., Guided Image Filtering, TPAMI 35(6), 2013",
    "rolling": "Q. Zhang et al., Rolling Guidance Filter, ECCV 2014",
    "ils": "W. Liu et al., Real-time Image Smoothing via Iterative Least Squares, "
    "ACM Transactions on Graphics 39(3), 2020",
    "pyramid": "Q. Zhang et al., Pyramid Texture Filtering, ACM Transactions on Graphics 42(4), "
    "2023",
    "sd": "B. Ham et al., Robust Image Filtering Using Joint Static and Dynamic Guidance, "
    "CVPR 2015",
}
"""What to cite: always the first two, and those of operators that made labels or negatives."""


def describe(index: Index, files: Mapping[str, bytes]) -> str:
    """Return the card of a dataset, for the file README.md beside its index.

    Parameters
    ----------
    index : Index
        Of the finished dataset.
    files : mapping
        The files of this index by name, see `vocsmooth.shards.index.index_files`. The card depends
        on nothing else.

    Returns
    -------
    str
        Markdown: what the files hold, counts, recipe, sources and licences, how to cite, versions.
        It begins with the front matter, in YAML, that Hugging Face reads.
    """
    sections = {
        "Files": _describe_files(index, sorted(files)),
        "Counts": _describe_counts(index),
        "Labels": _describe_labels(index),
        "Recipe": ["```toml", recipe_toml(index.recipe), "```"],
        "Sources and licences": _describe_sources(index),
        "How to cite": [f"- {paper}." for paper in list_papers(index)],
        "Versions": [f"Made by {describe_versions(index)}.", "", f"Digest `{index.digest}`."],
    }
    lines = [*_front_matter(index), "", f"# {title(index)}", "", SUMMARY]
    for head, content in sections.items():
        lines += ["", f"## {head}", "", *content]
    return "\n".join(lines) + "\n"


def title(index: Index) -> str:
    """Return what a dataset is called."""
    return f"VOC-smooth: {index.recipe.get('name') or 'a dataset'}"


def list_papers(index: Index) -> list[str]:
    """Return the papers that the dataset rests on."""
    operators = {label.operator for label in index.labels}
    operators |= {negative["operator"] for negative in index.recipe.get("negatives", ())}
    return [
        paper
        for name, paper in _PAPERS.items()
        if name in ("CSGIS-Net", "PASCAL VOC") or name in operators
    ]


def _front_matter(index: Index) -> Iterator[str]:
    """Yield the keys of a dataset card for Hugging Face; values are JSON, which is valid YAML."""
    keys = {
        "license": "other",
        "license_name": "terms-of-the-sources",
        "license_link": f"{CARD_NAME}#sources-and-licences",
        "pretty_name": title(index),
        "size_categories": [_size_category(index.totals.samples)],
        "task_categories": ["image-to-image"],
        "tags": ["image-smoothing", "texture-removal", "edge-preserving-filter", "croissant"],
    }
    yield "---"
    yield from (f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in keys.items())
    yield "---"


def _size_category(samples: int) -> str:
    """Return the legal value of `size_categories` that a number of samples falls into."""
    names = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")
    reached = sum(samples >= 10 ** (3 + number) for number in range(len(names)))
    if reached == 0:
        return f"n<{names[0]}"
    if reached == len(names):
        return f"n>{names[-1]}"
    return f"{names[reached - 1]}<n<{names[reached]}"


def _describe_files(index: Index, files: Sequence[str]) -> Iterator[str]:
    """Say what lies in the folder and which maps there are."""
    yield (
        f"The index ({' and '.join(f'`{name}`' for name in files)}) sums up the dataset and lists "
        "every shard with its SHA-256 and every photograph. The JSON file beside each shard says "
        "of every photograph what it was made from: sources, operator, score, textures. The shards "
        f"are HDF5 (format {VERSION}), readable with `vocsmooth.shards.open_dataset` or h5py. "
        "`vocsmooth verify` proves that the folder is whole. Splits are by photograph: none is in "
        "two of them."
    )
    yield from ("", "| map | one for each | content |", "| --- | --- | --- |")
    negatives = {negative["name"]: negative for negative in index.recipe.get("negatives", ())}
    for group, owner in (("images", "photograph"), ("samples", "input")):
        for name in index.maps[group]:
            yield f"| `{name}` | {owner} | {_MAPS.get(name) or _negative(negatives[name])} |"


def _negative(negative: dict[str, str]) -> str:
    """Say what a negative is."""
    source = {"photo": "the photograph"}.get(negative["of"], f"the {negative['of']}")
    return f"negative: `{name_operator(negative)}` of {source}"


def _describe_counts(index: Index) -> Iterator[str]:
    """Draw the table of counts by split."""
    for number, row in enumerate((COLUMNS, *count_splits(index))):
        yield f"| {' | '.join(row)} |"
        if number == 0:
            yield f"| --- |{' ---: |' * (len(COLUMNS) - 1)}"
    yield ""
    yield (
        f"Left out: {describe_left_out(index)}; the JSON files beside the shards say why. "
        f"Sizes: {describe_sizes(index)}."
    )


def _describe_labels(index: Index) -> Iterator[str]:
    """Draw the table of what made the labels, and state the checks that failed."""
    yield from ("| operator | chosen by | labels |", "| --- | --- | ---: |")
    for label in index.labels:
        yield f"| `{name_operator(vars(label))}` | {label.method} | {label.count} |"
    if failed := index.failed_checks:
        yield from ("", f"Photographs with a negative that is not worse than the label: {failed}.")


def _describe_sources(index: Index) -> Iterator[str]:
    """Name the textures that were used, and what holds for all sources."""
    used = index.textures
    textures = ", ".join(f"{name} ({count})" for name, count in sorted(used.items())[:_MOST_NAMED])
    if len(used) > _MOST_NAMED:
        textures += f" and {len(used) - _MOST_NAMED} more"
    yield (
        "- Photographs and masks: a tree in the layout of PASCAL VOC; the JSON files beside "
        "the shards give name and SHA-256 of every file. The images of PASCAL VOC come from "
        "Flickr, and their use must respect Flickr's terms of use. For the photographs of "
        "`vocsmooth sample` see `SOURCES.txt` in their tree."
    )
    yield (
        f"- Textures, with the number of inputs: {textures or 'none'}. `{PLAN_NAME}` gives the "
        "SHA-256 of those that are files. The bundled brick.png, grass.png and gravel.png are "
        "CC0, procedural textures are free of rights; for others the terms of their owners hold."
    )
    yield "- The maps derive from these sources. VOC-smooth, the program, is under the MIT licence."
