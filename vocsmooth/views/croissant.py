"""A dataset's description for machines: Croissant 1.1 with the fields for responsible AI (RAI).

References
----------
MLCommons, Croissant Format Specification 1.1, http://mlcommons.org/croissant/1.1; Croissant RAI
Specification 1.0, http://mlcommons.org/croissant/RAI/1.0.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any

from vocsmooth.shards.entries import Index
from vocsmooth.shards.index import INDEX_NAME, TABLE_NAME, spell_list, to_bytes
from vocsmooth.shards.schema import VERSION
from vocsmooth.views.card import CARD_NAME, SUMMARY, describe, list_papers, title
from vocsmooth.views.text import describe_left_out, describe_versions

CROISSANT_NAME = "croissant.json"
"""The file in the folder of the dataset."""

_TERMS = f"{CARD_NAME}#sources-and-licences"

_FLICKR_TERMS = "https://www.flickr.com/help/terms"

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The specification prescribes all of it, whether a key is used here or not."""


def describe_croissant(index: Index, files: Mapping[str, bytes]) -> str:
    """Return the Croissant file of a dataset, which lies beside its index.

    The files are listed with their SHA-256: each shard, and those of the index, which hold the
    SHA-256 of all others. So this file grows with the shards alone. HDF5 has no extractor in
    Croissant; therefore the records are not described.

    Who publishes the dataset adds what only they know: `url`, `creator` and `datePublished`.

    Parameters
    ----------
    index : Index
        Of the finished dataset.
    files : mapping
        The files of this index by name, see `vocsmooth.shards.index.index_files`. The text depends
        on nothing else.

    Returns
    -------
    str
        JSON-LD.
    """
    return "".join(_spell_croissant(index, files))


def _spell_croissant(index: Index, files: Mapping[str, bytes]) -> Iterator[str]:
    """Yield the text of `describe_croissant` piece by piece: a million photographs have 18 MB."""
    content: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [
            "http://mlcommons.org/croissant/1.1",
            "http://mlcommons.org/croissant/RAI/1.0",
        ],
        "name": title(index),
        "description": SUMMARY,
        "version": f"{VERSION}.0.0+{index.digest}",
        "license": _TERMS if _is_drawn(index) else _FLICKR_TERMS,
        "usageInfo": _TERMS,
        "keywords": ["image smoothing", "texture removal", "edge-preserving filter"],
        "citeAs": " ".join(f"{paper}." for paper in list_papers(index)),
        **_describe_derivation(index),
        **_describe_responsibility(index),
    }
    shards = map(index.shard, range(len(index.columns.split)))
    listed = (_file(shard.name, shard.bytes, shard.sha256) for shard in shards)
    yield from spell_list(content, "distribution", chain(_list_index(files), listed))


def list_index_anew(text: bytes, files: Mapping[str, bytes]) -> bytes:
    """Return a Croissant file that lists these files of the index, and says all else as before.

    Parameters
    ----------
    text : bytes
        The Croissant file of a dataset that had, maybe, another index. It is returned unchanged if
        it lists the files of this one, or if its owner has made something else of it.
    files : mapping
        As for `describe_croissant`.
    """
    try:
        content = json.loads(text)
        there = list(content["distribution"])
        others = [file for file in there if file["@id"] not in (INDEX_NAME, TABLE_NAME)]
    except (ValueError, LookupError, TypeError):
        return text
    listed = [*_list_index(files), *others]
    return text if listed == there else to_bytes(content | {"distribution": listed})


def _spell_card(index: Index, files: Mapping[str, bytes]) -> Iterator[str]:
    """Yield the text of the card."""
    yield describe(index, files)


DESCRIPTIONS: Mapping[str, Callable[[Index, Mapping[str, bytes]], Iterator[str]]] = {
    CARD_NAME: _spell_card,
    CROISSANT_NAME: _spell_croissant,
}
"""The files that describe a dataset to others, each with what yields its text, given the index and
the files of the index; their owner may edit them."""


def _is_drawn(index: Index) -> bool:
    """Return whether the pictures are drawn scenes instead of photographs."""
    return index.recipe.get("labels", {}).get("exact") is True


def _list_index(files: Mapping[str, bytes]) -> list[dict[str, str]]:
    """Describe the files of the index, index.json first."""
    names = sorted(files, key=lambda name: name != INDEX_NAME)
    return [
        _file(name, len(files[name]), hashlib.sha256(files[name]).hexdigest()) for name in names
    ]


def _file(name: str, size: int, sha256: str) -> dict[str, str]:
    """Describe a file of the dataset."""
    encoding = "application/json" if name.endswith(".json") else "application/x-hdf5"
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{size} B",
        "encodingFormat": encoding,
        "sha256": sha256,
    }


def _describe_derivation(index: Index) -> dict[str, Any]:
    """Say what the dataset was made of, and how."""
    source = (
        {"name": "Drawn scenes in a tree in the layout of PASCAL VOC, and textures"}
        if _is_drawn(index)
        else {
            "name": "Photographs in a tree in the layout of PASCAL VOC, and textures",
            "url": "http://host.robots.ox.ac.uk/pascal/VOC/",
        }
    )
    return {
        "prov:wasDerivedFrom": {
            "@type": "prov:Entity",
            **source,
            "description": "The JSON files beside the shards give name and SHA-256 of every file.",
        },
        "prov:wasGeneratedBy": {
            "@type": "prov:Activity",
            "name": "vocsmooth build",
            "description": f"Made by {describe_versions(index)}. {INDEX_NAME} holds the recipe.",
        },
    }


def _describe_responsibility(index: Index) -> dict[str, Any]:
    """Fill the fields for responsible AI."""
    left_out = describe_left_out(index)
    if _is_drawn(index):
        collection = "Scenes were drawn by a program from random numbers."
        personal = "None known: the scenes are drawn, some with smoothed parts of photographs."
        biases = "Drawn shapes and fills do not have the statistics of natural photographs."
        labels = "Labels are exact: the scenes before a texture was laid over them."
    else:
        collection = "Photographs were taken from an existing collection; none was made for this."
        personal = (
            "The photographs may show people, faces, number plates and places. No names or other "
            "personal data are stored."
        )
        biases = (
            "The subjects, places and people are those of the source collection: PASCAL VOC holds "
            "photographs from Flickr chosen for twenty classes of objects."
        )
        labels = (
            "Labels are results of smoothing operators, not of people: where an operator keeps "
            "texture or loses structure, so does the label."
        )
    return {
        "rai:dataCollection": collection,
        "rai:dataPreprocessingProtocol": [
            "A label is the photograph without its texture; an input is the label with a texture "
            "laid over it; negatives are smoothed too strongly or too weakly. All operators, "
            f"parameters and seeds are in {INDEX_NAME} and in the JSON files beside the shards.",
        ],
        "rai:dataLimitations": [
            labels,
            f"Left out: {left_out}; the JSON files beside the shards say why.",
        ],
        "rai:dataBiases": [biases],
        "rai:personalSensitiveInformation": [personal],
        "rai:dataUseCases": [
            "Training and testing of image smoothing and texture removal. Not meant for "
            "recognising people."
        ],
        "rai:dataSocialImpact": (
            "Smoothing removes detail of pictures; a smoothed picture should not serve as evidence "
            "of what was photographed."
        ),
        "rai:hasSyntheticData": True,
    }
