"""Datasets whose index has version 1 open, verify and repair, and become those of today."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import content_of, edit, flip_a_bit, make_version1

from vocsmooth.dataset.recover import upgrade_index
from vocsmooth.dataset.repair import repair_dataset
from vocsmooth.dataset.verify import verify_dataset
from vocsmooth.errors import DatasetError
from vocsmooth.files import sha256_file
from vocsmooth.shards.reader import open_dataset


@pytest.fixture
def old(dataset: Path) -> Path:
    """The dataset with an index as older versions wrote it."""
    make_version1(dataset)
    return dataset


def test_opens_as_the_dataset_of_today(old: Path, pristine_dataset: Path) -> None:
    for name in ("train", "val"):
        split, today = (open_dataset(root).split(name) for root in (old, pristine_dataset))
        assert tuple(split.ids) == tuple(today.ids)
        for one, other in zip(split, today, strict=True):
            for key in one:
                np.testing.assert_array_equal(one[key], other[key])


def test_verifies_and_becomes_the_dataset_of_today(old: Path, pristine_dataset: Path) -> None:
    report = verify_dataset(old, jobs=1)
    assert (report.problems, report.index_version) == ((), 1)
    (old / "README.md").unlink()  # its owner may have edited it, so that it is only written anew
    upgrade_index(old)
    assert content_of(old) == content_of(pristine_dataset)


def test_an_interrupted_upgrade_goes_on(old: Path, pristine_dataset: Path) -> None:
    (old / "README.md").unlink()
    for name in ("README.md", "croissant.json", "index.hdf5"):
        shutil.copy(pristine_dataset / name, old / name)
    assert verify_dataset(old, jobs=1).problems == ()
    upgrade_index(old)
    assert content_of(old) == content_of(pristine_dataset)


def test_an_upgrade_keeps_what_the_publisher_added(old: Path) -> None:
    note = {"url": "https://example.org/data"}
    edit(old / "croissant.json", lambda content: content.update(note))
    mine = {"@type": "cr:FileObject", "@id": "mine.txt"}
    edit(old / "croissant.json", lambda content: content["distribution"].append(mine))
    (old / "README.md").write_text("mine")
    upgrade_index(old)
    content = json.loads((old / "croissant.json").read_bytes())
    assert content["url"] == note["url"]
    listed = {file["@id"]: file.get("sha256") for file in content["distribution"]}
    assert "mine.txt" in listed
    for name in ("index.json", "index.hdf5"):
        assert listed[name] == sha256_file(old / name)
    assert (old / "README.md").read_text() == "mine"


def test_a_lost_index_becomes_that_of_today(
    old: Path, pristine_tree: Path, pristine_dataset: Path
) -> None:
    for name in ("index.json", "README.md"):
        (old / name).unlink()
    assert repair_dataset(old, pristine_tree, jobs=1).verification.problems == ()
    assert content_of(old) == content_of(pristine_dataset)


@pytest.mark.parametrize(
    "lost", ["train-00000.json", "val-00000.h5", "plan.json", "README.md", "croissant.json"]
)
def test_is_repaired_to_the_same_bytes(old: Path, pristine_tree: Path, lost: str) -> None:
    before = content_of(old)
    (old / lost).unlink()
    flip_a_bit(old / "train-00001.h5")
    assert repair_dataset(old, pristine_tree, jobs=1).verification.problems == ()
    assert content_of(old) == before


@pytest.mark.parametrize("name", ["../x-00000.h5", "val-00000.h5", "train-00007.h5", "a.h5"])
def test_other_names_of_shards_are_refused(old: Path, name: str) -> None:
    edit(old / "index.json", lambda content: content["shards"][0].update(name=name))
    with pytest.raises(DatasetError, match="shard"):
        open_dataset(old)


def test_a_photograph_in_no_shard_is_refused(old: Path) -> None:
    edit(old / "index.json", lambda content: content["images"][0].update(shard="x-00000.h5"))
    with pytest.raises(DatasetError, match="unknown shard 'x-00000"):
        open_dataset(old)
