"""Going through a dataset shard by shard."""

import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from vocsmooth.errors import DatasetError, InputError
from vocsmooth.folders import claim_folder
from vocsmooth.shards.index import read_index
from vocsmooth.shards.reader import open_dataset
from vocsmooth.shards.scan import ShardScan, list_shards, run_on_shards


def list_ids(shard: ShardScan) -> list[str]:
    return [image.id for image, _ in shard.read()]


def end_process(shard: ShardScan, name: str) -> None:
    if shard.path.name == name:
        os._exit(3)


def test_every_map_of_every_sample_is_what_the_reader_gives(pristine_dataset: Path) -> None:
    dataset = open_dataset(pristine_dataset)
    index = read_index(pristine_dataset)
    seen = dict.fromkeys(dataset.splits, 0)
    for shard in list_shards(pristine_dataset, index):
        for image, maps in shard.read():
            samples = dataset.split(image.split)
            for number in range(image.samples):
                sample = seen[image.split]
                seen[image.split] += 1
                assert samples.ids[sample] == image.id
                for name, expected in samples.read(sample, list(maps)).items():
                    of_input = name in index.maps["samples"]
                    np.testing.assert_array_equal(
                        maps[name][number] if of_input else maps[name], expected
                    )
    assert seen == {name: len(dataset.split(name)) for name in dataset.splits}


def test_results_come_with_their_shards_and_progress(pristine_dataset: Path) -> None:
    shards = list_shards(pristine_dataset, read_index(pristine_dataset))
    told: list[tuple[int, int]] = []
    results = run_on_shards(list_ids, shards, jobs=2, progress=lambda *done: told.append(done))
    assert {shard.path.name: ids for shard, ids in results} == {
        "train-00000.h5": ["a_1", "b_2"],
        "train-00001.h5": ["c_3", "d_4"],
        "train-00002.h5": ["é_5"],
        "val-00000.h5": ["v_1", "w_2"],
    }
    assert told == [(done, 4) for done in range(5)]


@pytest.mark.parametrize("change", ["missing", "longer", "of another dataset"])
def test_a_shard_that_is_not_the_indexed_one_is_named(dataset: Path, change: str) -> None:
    path = dataset / "val-00000.h5"
    if change == "missing":
        path.unlink()
    elif change == "longer":
        path.write_bytes(path.read_bytes() + b"\0")
    else:
        path.write_bytes((dataset / "train-00000.h5").read_bytes())
    shards = list_shards(dataset, read_index(dataset))
    with pytest.raises(DatasetError, match=r"val-00000\.h5"):
        list_ids(shards[-1])


def test_a_shard_that_ends_its_process_is_named(pristine_dataset: Path) -> None:
    shards = list_shards(pristine_dataset, read_index(pristine_dataset))
    function = partial(end_process, name="train-00001.h5")
    with pytest.raises(DatasetError, match=r"train-00001\.h5 kills the process"):
        list(run_on_shards(function, shards, jobs=1, progress=lambda *_: None))


def test_a_folder_is_claimed_once_and_again_for_the_same(tmp_path: Path) -> None:
    out = tmp_path / "new/out"
    claim_folder(out, out / "sub/note", b"ours")
    (out / "result").touch()
    claim_folder(out, out / "sub/note", b"ours")
    with pytest.raises(InputError, match="holds other files"):
        claim_folder(out, out / "sub/note", b"theirs")
    assert (out / "sub/note").read_bytes() == b"ours"


def test_a_claim_leaves_other_files_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").touch()
    with pytest.raises(InputError, match=r"thesis\.doc"):
        claim_folder(tmp_path, tmp_path / "note", b"")
    with pytest.raises(InputError, match="is a file"):
        claim_folder(tmp_path / "thesis.doc", tmp_path / "thesis.doc/note", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.doc"]
