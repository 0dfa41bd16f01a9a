"""The JSON files of a dataset: what they must hold, and what is said when they do not."""

import json
from pathlib import Path

import pytest

from vocsmooth.errors import DatasetError
from vocsmooth.shards.assembling import assemble_index, differences
from vocsmooth.shards.index import index_files, read_index, read_record, sidecar_path, to_bytes
from vocsmooth.shards.planned import read_plan
from vocsmooth.shards.schema import INDEX_VERSION


def test_index_follows_from_plan_and_sidecars(pristine_dataset: Path) -> None:
    plan = read_plan(pristine_dataset / "plan.json")
    records = [read_record(sidecar_path(pristine_dataset / shard.name)) for shard in plan.shards]
    index = assemble_index(plan, records)
    assert differences(index, read_index(pristine_dataset)) == []
    for name, data in index_files(index).items():
        assert (pristine_dataset / name).read_bytes() == data
    records[0].sidecar.versions["numpy"] = "1.0"
    with pytest.raises(DatasetError, match="different versions"):
        assemble_index(plan, records)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", "other", "is not a voc-smooth file"),
        ("version", 0, f"has version 0; this package reads version 1 and {INDEX_VERSION}"),
        ("digest", 3, "digest must be of type str, got 3"),
        ("splits", ["../train", "val"], "is not a shard name"),
        ("splits", ["train", "train"], "lists one twice"),
        ("splits", ["train"], "has more splits than"),
        ("table", {"bytes": 1, "sha256": ""}, "is damaged, or not the one of index.json"),
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
