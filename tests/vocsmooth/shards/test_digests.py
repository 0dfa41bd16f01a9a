"""A shard is proved by BLAKE3, and by SHA-256 if older software made it."""

import hashlib
from pathlib import Path
from typing import Any

import h5py
import pytest
from helpers import assemble_anew, content_of, edit, flip_a_bit, make_version1

from vocsmooth.dataset.build import build_dataset
from vocsmooth.dataset.repair import repair_dataset
from vocsmooth.dataset.verify import verify_dataset
from vocsmooth.errors import DatasetError
from vocsmooth.maps.recipe import Recipe
from vocsmooth.shards.digests import digests_of, is_proved
from vocsmooth.shards.index import read_index, read_sidecar
from vocsmooth.shards.reader import open_dataset

ABC = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
"""BLAKE3 of these three letters, from the specification's test vectors of other programs."""


@pytest.fixture
def older(dataset: Path) -> Path:
    """The dataset as software without BLAKE3 wrote it."""
    for path in dataset.glob("*-*.json"):
        edit(path, lambda content: content["shard"].pop("blake3"))
    assemble_anew(dataset)
    return dataset


def test_digests_are_the_standard_ones() -> None:
    assert digests_of(b"abc") == {"sha256": hashlib.sha256(b"abc").hexdigest(), "blake3": ABC}


def test_index_and_sidecar_hold_both_digests_of_every_shard(pristine_dataset: Path) -> None:
    for shard in read_index(pristine_dataset).shards:
        path = pristine_dataset / shard.name
        expected = digests_of(path.read_bytes())
        assert {"sha256": shard.sha256, "blake3": shard.blake3} == expected
        assert read_sidecar(path.with_suffix(".json")).shard == shard
        assert is_proved(path, shard)


class TestOlder:
    def test_holds_no_trace_of_blake3(self, older: Path) -> None:
        with h5py.File(older / "index.hdf5") as file:
            assert "shards/sha256" in file
            assert "shards/blake3" not in file
        assert {shard.blake3 for shard in read_index(older).shards} == {""}
        assert b"blake3" not in b"".join(content_of(older).values())

    def test_every_byte_is_proved_by_sha256(self, older: Path) -> None:
        assert verify_dataset(older, jobs=1).problems == ()
        flip_a_bit(older / "train-00001.h5")
        problems = verify_dataset(older, jobs=1).problems
        assert ("train-00001.h5", "sha256") in [(p.shard, p.field) for p in problems]

    @pytest.mark.parametrize(
        "lost",
        [
            ["val-00000.json"],
            ["val-00000.h5"],
            ["index.hdf5"],
            ["index.json"],
            ["val-00000.json", "index.json"],
            ["train-00000.json", "train-00000.h5", "index.json"],
            ["train-00000.json", "index.hdf5"],
        ],
    )
    def test_is_repaired_to_the_same_bytes(
        self, older: Path, pristine_tree: Path, lost: list[str]
    ) -> None:
        before = content_of(older)
        for name in lost:
            (older / name).unlink()
        flip_a_bit(older / "train-00001.h5")
        assert repair_dataset(older, pristine_tree, jobs=1).verification.problems == ()
        assert content_of(older) == before

    def test_a_build_that_goes_on_keeps_its_shards(
        self, older: Path, pristine_tree: Path, recipe: Recipe
    ) -> None:
        """What is made anew is proved by BLAKE3, the rest as before."""
        before = (older / "train-00000.h5").stat().st_ino
        for name in ("index.json", "val-00000.h5"):
            (older / name).unlink()
        build_dataset(pristine_tree, older, recipe, jobs=1)
        known = {shard.name: shard.blake3 != "" for shard in read_index(older).shards}
        assert [name for name, there in known.items() if there] == ["val-00000.h5"]
        assert (older / "train-00000.h5").stat().st_ino == before
        assert verify_dataset(older, jobs=1).problems == ()


class TestDistrust:
    """A record that holds a wrong digest, and no index vouches for it."""

    @pytest.fixture(params=["sha256", "blake3"])
    def wrong(self, request: pytest.FixtureRequest, dataset: Path) -> Path:
        """The dataset without an index, and one of its sidecars with a wrong digest."""
        digest = {request.param: "ab" * 32}
        edit(dataset / "train-00000.json", lambda content: content["shard"].update(digest))
        (dataset / "index.json").unlink()
        return dataset

    def test_a_build_that_goes_on_makes_the_shard_again(
        self, wrong: Path, pristine_tree: Path, pristine_dataset: Path, recipe: Recipe
    ) -> None:
        build_dataset(pristine_tree, wrong, recipe, jobs=1)
        assert content_of(wrong) == content_of(pristine_dataset)

    def test_a_repair_brings_the_same_bytes_back(
        self, wrong: Path, pristine_tree: Path, pristine_dataset: Path
    ) -> None:
        assert repair_dataset(wrong, pristine_tree, jobs=1).verification.problems == ()
        assert content_of(wrong) == content_of(pristine_dataset)

    def test_fresh_compares_both_digests(self, dataset: Path) -> None:
        """An index whose maker gave a wrong SHA-256 is consistent, and its BLAKE3 is right."""
        wrong = {"sha256": "ab" * 32}
        edit(dataset / "train-00000.json", lambda content: content["shard"].update(wrong))
        assemble_anew(dataset)
        assert verify_dataset(dataset, jobs=1).problems == ()
        (problem,) = verify_dataset(dataset, jobs=1, fresh=True).problems
        assert (problem.shard, problem.field) == ("train-00000.h5", "sha256")


@pytest.mark.parametrize("digest", ["", " ", "ab", "zz" * 32, "ab" * 64, 7])
def test_a_digest_that_cannot_be_is_a_problem(dataset: Path, digest: Any) -> None:
    edit(dataset / "val-00000.json", lambda content: content["shard"].update(blake3=digest))
    assert verify_dataset(dataset, jobs=1).problems


@pytest.mark.parametrize("key", ["sha256", "blake3"])
@pytest.mark.parametrize("digest", [" ", "ab" * 64])
def test_an_older_index_with_such_a_digest_is_refused(dataset: Path, key: str, digest: str) -> None:
    make_version1(dataset)
    edit(dataset / "index.json", lambda content: content["shards"][0].update({key: digest}))
    assert verify_dataset(dataset, jobs=1).problems
    with pytest.raises(DatasetError, match="is not a digest of 64 hexadecimal digits"):
        open_dataset(dataset)
