"""The Croissant file of a dataset."""

import hashlib
import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from vocsmooth.dataset.verify import verify_dataset
from vocsmooth.shards.entries import Index
from vocsmooth.shards.index import index_files, read_index
from vocsmooth.views.croissant import CROISSANT_NAME, describe_croissant


def described(index: Index) -> str:
    return describe_croissant(index, index_files(index))


def test_every_file_is_listed_with_what_it_really_is(pristine_dataset: Path) -> None:
    content = json.loads((pristine_dataset / CROISSANT_NAME).read_bytes())
    listed = {file["contentUrl"]: file for file in content["distribution"]}
    shards = {path.name for path in pristine_dataset.glob("*.h5")}
    assert set(listed) == shards | {"index.json", "index.hdf5"}
    for name, file in listed.items():
        data = (pristine_dataset / name).read_bytes()
        assert file["sha256"] == hashlib.sha256(data).hexdigest()
        assert file["contentSize"] == f"{len(data)} B"


def test_the_index_alone_decides_its_bytes(pristine_dataset: Path) -> None:
    text = described(read_index(pristine_dataset))
    assert (pristine_dataset / CROISSANT_NAME).read_bytes() == text.encode()


def test_it_grows_with_shards_and_not_with_photographs(pristine_dataset: Path) -> None:
    index = read_index(pristine_dataset)
    columns = replace(index.columns, ids=index.columns.ids[:0])
    files = index_files(index)
    empty = describe_croissant(replace(index, columns=columns), files)
    assert describe_croissant(index, files) == empty


def test_drawn_scenes_are_not_said_to_come_from_flickr(pristine_dataset: Path) -> None:
    index = read_index(pristine_dataset)
    assert "flickr.com" in described(index)
    drawn = described(replace(index, recipe={**index.recipe, "labels": {"exact": True}}))
    assert "flickr" not in drawn.lower()
    assert "Labels are exact" in drawn


def test_what_the_publisher_adds_is_theirs(dataset: Path) -> None:
    path = dataset / CROISSANT_NAME
    content = json.loads(path.read_bytes()) | {"url": "https://example.org/data"}
    path.write_text(json.dumps(content))
    assert verify_dataset(dataset, jobs=1).problems == ()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_mlcroissant_reads_it_without_complaint(
    dataset: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    path = dataset / CROISSANT_NAME
    content = json.loads(path.read_bytes())
    content["url"] = "https://example.org/data"
    content["creator"] = {"@type": "sc:Organization", "name": "Example"}
    content["datePublished"] = "2026-11-26"
    path.write_text(json.dumps(content))
    with caplog.at_level(logging.WARNING):
        metadata = mlcroissant.Dataset(str(path)).metadata
    assert not caplog.records
    assert metadata.ctx.issues.errors == metadata.ctx.issues.warnings == set()
    assert metadata.ctx.conforms_to.value.endswith("/1.1")
    assert [file.sha256 for file in metadata.distribution[2:]] == [
        shard.sha256 for shard in read_index(dataset).shards
    ]
    assert "results of smoothing operators" in metadata.data_limitations[0]
