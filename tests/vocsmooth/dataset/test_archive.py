"""Archives of datasets: the very same files come back, or one error says why they cannot."""

import hashlib
import io
from pathlib import Path

import h5py
import numpy as np
import pytest

from vocsmooth.dataset.archive import pack_dataset, unpack_dataset
from vocsmooth.dataset.verify import verify_dataset
from vocsmooth.errors import DatasetError, InputError
from vocsmooth.maps.recipe import Recipe, maps_of
from vocsmooth.shards.entries import ShardEntry
from vocsmooth.shards.index import ARCHIVE_NAME, read_index
from vocsmooth.shards.packed import decode_archive, encode_archive
from vocsmooth.shards.reader import open_dataset
from vocsmooth.shards.schema import read_layout
from vocsmooth.shards.writer import encode_shard


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def pristine_archive(pristine_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("archive") / "packed"
    pack_dataset(pristine_dataset, out, jobs=1)
    return out


@pytest.fixture
def archive(pristine_archive: Path, tmp_path: Path) -> Path:
    out = tmp_path / "archive"
    for name, content in contents(pristine_archive).items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content)
    return out


def test_unpacking_gives_every_file_back(dataset: Path, tmp_path: Path) -> None:
    packed = pack_dataset(dataset, tmp_path / "packed", jobs=1)
    unpacked = unpack_dataset(tmp_path / "packed", tmp_path / "back", jobs=1)
    assert contents(tmp_path / "back") == contents(dataset)
    assert verify_dataset(tmp_path / "back", jobs=1).problems == ()
    assert (packed.shards, packed.kept, unpacked.shards, unpacked.kept) == (4, 0, 4, 0)
    assert packed.bytes_before == unpacked.bytes_after == read_index(dataset).totals.bytes
    assert packed.bytes_after == unpacked.bytes_before < packed.bytes_before


def test_archived_shards_are_hdf5_without_what_follows_from_the_rest(
    pristine_archive: Path, pristine_dataset: Path
) -> None:
    with (
        h5py.File(pristine_archive / "val-00000.archive.h5") as archived,
        h5py.File(pristine_dataset / "val-00000.h5") as shard,
    ):
        assert "input" not in archived["samples"]
        for name in ("images/label", "images/over", "images/id", "samples/texture"):
            assert archived[name].compression == "gzip"
            np.testing.assert_array_equal(archived[name][()], shard[name][()])


def test_a_second_run_keeps_whole_shards_and_makes_broken_ones_again(
    archive: Path, dataset: Path
) -> None:
    expected = contents(archive)
    broken = archive / "train-00001.archive.h5"
    broken.write_bytes(broken.read_bytes()[:-100])
    (archive / ARCHIVE_NAME / "index.json").unlink()
    assert pack_dataset(dataset, archive, jobs=1).kept == 3
    assert contents(archive) == expected

    (dataset / "val-00000.h5").write_bytes(b"")
    (dataset / "index.json").unlink()
    assert unpack_dataset(archive, dataset, jobs=1).kept == 3
    assert verify_dataset(dataset, jobs=1).problems == ()


def test_a_damaged_shard_is_not_packed(dataset: Path, tmp_path: Path) -> None:
    path = dataset / "val-00000.h5"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"val-00000\.h5 is damaged.*vocsmooth verify"):
        pack_dataset(dataset, tmp_path / "packed", jobs=1)
    assert not (tmp_path / "packed" / ARCHIVE_NAME / "index.json").exists()


@pytest.mark.parametrize("position", np.linspace(0.001, 0.999, 12))
def test_no_flipped_byte_of_an_archive_gets_through(
    archive: Path, dataset: Path, position: float
) -> None:
    entry = read_index(dataset).shards[-1]
    path = archive / "val-00000.archive.h5"
    data = bytearray(path.read_bytes())
    data[int(position * len(data))] ^= 0x55
    path.write_bytes(data)
    try:
        decoded = decode_archive(path, entry)
    except DatasetError as error:
        assert "val-00000.archive.h5" in str(error)  # noqa: PT017
    else:
        assert decoded == (dataset / entry.name).read_bytes()  # it hit a byte without meaning


def test_a_damaged_archive_gives_no_dataset(archive: Path, tmp_path: Path) -> None:
    (archive / "val-00000.archive.h5").unlink()
    with pytest.raises(DatasetError, match=r"val-00000\.archive\.h5 is missing"):
        unpack_dataset(archive, tmp_path / "back", jobs=1)
    assert not (tmp_path / "back/index.json").exists()
    assert not (tmp_path / "back/val-00000.h5").exists()


def test_unlike_lengths_are_refused_before_anything_is_allocated(
    archive: Path, dataset: Path
) -> None:
    entry = read_index(dataset).shards[-1]
    path = archive / "val-00000.archive.h5"
    with h5py.File(path, "r+") as file:
        file.create_dataset("images/huge", (1 << 50,), "u1", chunks=(1 << 20,))
    with pytest.raises(DatasetError, match="declares more"):
        decode_archive(path, entry)


def test_values_behind_links_and_in_other_files_are_passed_over(
    archive: Path, dataset: Path, tmp_path: Path
) -> None:
    entry = read_index(dataset).shards[-1]
    path = archive / "val-00000.archive.h5"
    other = tmp_path / "other.h5"
    with h5py.File(path, "r+") as file, h5py.File(other, "w") as elsewhere:
        file.copy("images/label", elsewhere, "label")
        del file["images/label"]
        file["images/label"] = h5py.ExternalLink(str(other), "label")
    with pytest.raises(DatasetError, match="images/label"):
        decode_archive(path, entry)


def test_a_shard_without_photographs_comes_back_too(recipe: Recipe, tmp_path: Path) -> None:
    path, maps = tmp_path / "train-00000.h5", maps_of(recipe)
    path.write_bytes(data := bytes(encode_shard([], maps, "{}", "digest")))
    entry = ShardEntry(
        name=path.name,
        split="train",
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        images=0,
        samples=0,
    )
    archived = encode_archive(data, read_layout(path, maps), maps)
    assert decode_archive(io.BytesIO(archived), entry) == data


@pytest.mark.parametrize("unfinished", [True, False])
def test_what_is_no_archive_is_not_unpacked(
    unfinished: bool, archive: Path, dataset: Path, tmp_path: Path
) -> None:
    source = dataset
    if unfinished:
        (archive / ARCHIVE_NAME / "index.json").unlink()
        source = archive
    with pytest.raises(DatasetError, match="it is not an archive, or its packing has not finished"):
        unpack_dataset(source, tmp_path / "back", jobs=1)
    assert not (tmp_path / "back").exists()


def test_an_archive_says_that_it_is_one(pristine_archive: Path) -> None:
    with pytest.raises(DatasetError, match=r"is an archive\. Unpack it .* --to shards"):
        open_dataset(pristine_archive)


def test_other_folders_are_left_alone(archive: Path, dataset: Path) -> None:
    before = contents(dataset)
    with pytest.raises(InputError, match="holds other files"):
        pack_dataset(dataset, dataset, jobs=1)
    assert contents(dataset) == before
    with pytest.raises(InputError, match="holds other files"):
        unpack_dataset(archive, archive, jobs=1)
