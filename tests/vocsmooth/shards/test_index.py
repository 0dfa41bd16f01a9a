"""The JSON files of a dataset: what they must hold, and what is said when they do not."""

import json
from pathlib import Path

import pytest

from vocsmooth.errors import DatasetError
from vocsmooth.shards.index import (
    assemble_index,
    read_index,
    read_plan,
    read_sidecar,
    sidecar_path,
    to_bytes,
)
from vocsmooth.shards.schema import VERSION


def test_index_follows_from_plan_and_sidecars(pristine_dataset: Path) -> None:
    plan = read_plan(pristine_dataset / "plan.json")
    sidecars = [read_sidecar(sidecar_path(pristine_dataset / shard.name)) for shard in plan.shards]
    assert assemble_index(plan, sidecars) == read_index(pristine_dataset)
    sidecars[0].versions["numpy"] = "1.0"
    with pytest.raises(DatasetError, match="different versions"):
        assemble_index(plan, sidecars)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", "other", "is not a voc-smooth file"),
        ("version", 0, f"has version 0; this package reads version {VERSION}"),
        ("digest", 3, "digest must be of type str, got 3"),
        ("shards", [{"name": "../x-00000.h5"}], "shards"),
        ("surprise", 1, "unknown key 'surprise'"),
        ("maps", {"images": {}, "samples": {}}, "maps lacks"),
        ("maps", {"images": [], "samples": {}}, "maps is not a table"),
    ],
)
def test_wrong_content(dataset: Path, key: str, value: object, message: str) -> None:
    path = dataset / "index.json"
    path.write_bytes(to_bytes(json.loads(path.read_bytes()) | {key: value}))
    with pytest.raises(DatasetError, match=message):
        read_index(dataset)


@pytest.mark.parametrize("name", ["../a-00000.h5", "/a-00000.h5", "a-00000.h5/..", "a.h5", ""])
def test_shard_names_do_not_lead_out_of_the_folder(dataset: Path, name: str) -> None:
    path = dataset / "index.json"
    content = json.loads(path.read_bytes())
    content["shards"][0]["name"] = name
    path.write_bytes(to_bytes(content))
    with pytest.raises(DatasetError, match="is not a shard name"):
        read_index(dataset)
