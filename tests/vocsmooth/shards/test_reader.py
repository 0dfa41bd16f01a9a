"""What the reader returns, from which process, and what it refuses."""

import multiprocessing
import os
import pickle
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from vocsmooth.errors import DatasetError, UnknownNameError
from vocsmooth.maps.photograph import make_maps
from vocsmooth.maps.recipe import Recipe
from vocsmooth.maps.textures import open_textures
from vocsmooth.shards.index import read_index
from vocsmooth.shards.reader import open_dataset
from vocsmooth.shards.split import Split
from vocsmooth.shards.writer import ImageMaps
from vocsmooth.sources.voc import find_tree, list_photographs

MAPS = ("input", "label", "edge", "mask", "texture", "over", "under")


@pytest.fixture(scope="session")
def expected(pristine_tree: Path, recipe: Recipe) -> dict[str, ImageMaps]:
    """All maps by photograph, made here and never stored."""
    photographs = list_photographs(find_tree(pristine_tree))
    made = (make_maps(photo, recipe, open_textures()) for photo in photographs)
    return {maps.id: maps for maps in made if isinstance(maps, ImageMaps)}


def digest_of(split: Split) -> list[int]:
    """Sum every map of every sample."""
    return [int(split.read(i, [name])[name].sum()) for i in range(len(split)) for name in MAPS]


class TestRead:
    def test_returns_every_map_as_it_was_made(
        self, pristine_dataset: Path, expected: dict[str, ImageMaps]
    ) -> None:
        dataset = open_dataset(pristine_dataset)
        assert dataset.splits == ("train", "val")
        assert dataset.negatives == ("over", "under")
        for name in dataset.splits:
            split = dataset.split(name)
            for i, image in enumerate(split.ids):
                maps, k = expected[image], i % 2
                found = split.read(i, MAPS)
                assert tuple(split.shapes[i]) == maps.label.shape[:2]
                np.testing.assert_array_equal(found["label"], maps.label)
                np.testing.assert_array_equal(found["edge"], maps.edge)
                np.testing.assert_array_equal(found["mask"], maps.mask)
                np.testing.assert_array_equal(found["over"], maps.image_negatives["over"])
                np.testing.assert_array_equal(found["input"], maps.inputs[k])
                np.testing.assert_array_equal(found["texture"], maps.textures[k])
                np.testing.assert_array_equal(found["under"], maps.input_negatives["under"][k])
                assert {name: a.dtype for name, a in found.items()} == {
                    name: np.int16 if name == "texture" else np.uint8 for name in MAPS
                }

    def test_lists_each_photograph_once_per_input(self, pristine_dataset: Path) -> None:
        split = open_dataset(pristine_dataset).split("val")
        assert split.ids == ("v_1", "v_1", "w_2", "w_2")
        assert len(split) == 4
        assert split.shapes.tolist() == [[36, 52], [36, 52], [45, 31], [45, 31]]

    def test_finds_the_samples_of_a_photograph(self, pristine_dataset: Path) -> None:
        split = open_dataset(pristine_dataset).split("val")
        assert [split.samples_of(name) for name in ("v_1", "w_2")] == [range(2), range(2, 4)]
        with pytest.raises(ValueError, match="no photograph 'a_1' among the 2 of this split"):
            split.samples_of("a_1")

    def test_returns_copies(self, pristine_dataset: Path) -> None:
        split = open_dataset(pristine_dataset).split("val")
        first = split.read(0, ["label"])["label"]
        first[:] = 0
        assert split.read(0, ["label"])["label"].any()

    def test_h5py_alone_can_read_a_shard(
        self, pristine_dataset: Path, expected: dict[str, ImageMaps]
    ) -> None:
        with h5py.File(pristine_dataset / "train-00001.h5") as file:
            images = file["images"]
            ids = [name.decode() for name in images["id"]]
            start, shape = images["start"], images["shape"]
            second = images["label"][start[1] : start[2]].reshape(*shape[1], 3)
        assert ids == ["c_3", "d_4"]
        np.testing.assert_array_equal(second, expected["d_4"].label)


class TestCrop:
    def test_is_the_window_of_the_whole_map(self, pristine_dataset: Path) -> None:
        split = open_dataset(pristine_dataset).split("train")
        rng = np.random.default_rng(0)
        indices = rng.integers(len(split), size=40)
        room = split.shapes[indices] - 16
        tops, lefts = rng.integers(0, room[:, 0] + 1), rng.integers(0, room[:, 1] + 1)
        batch = split.crop(indices, tops, lefts, 16, MAPS)
        for row, (i, y, x) in enumerate(zip(indices, tops, lefts, strict=True)):
            whole = split.read(int(i), MAPS)
            for name in MAPS:
                window = whole[name][y : y + 16, x : x + 16]
                np.testing.assert_array_equal(batch[name][row], window)

    def test_is_the_same_while_spans_are_announced(self, pristine_dataset: Path) -> None:
        split = open_dataset(pristine_dataset).split("train")
        arguments = ([0, 3, 9], [0, 5, 24], [31, 0, 7], 16, MAPS)
        plain = split.crop(*arguments)
        split._disk._announce = 1
        announced = split.crop(*arguments)
        for name in MAPS:
            np.testing.assert_array_equal(plain[name], announced[name])

    def test_of_nothing_is_empty(self, pristine_dataset: Path) -> None:
        split = open_dataset(pristine_dataset).split("val")
        assert split.crop([], [], [], 8, ["input"])["input"].shape == (0, 8, 8, 3)
        assert split.crop([0], [0], [0], 8, []) == {}
        with pytest.raises(ValueError, match=r"tops must be whole numbers \(B,\), got float64"):
            split.crop([0], [0.7], [0], 8, ["input"])
        with pytest.raises(ValueError, match=r"lefts must be whole numbers \(B,\), .* shape \(\)"):
            split.crop([0], [0], 0, 8, ["input"])
        with pytest.raises(ValueError, match=r"of one length, got .*'lefts': 2"):
            split.crop([0], [0], [0, 0], 8, ["input"])

    @pytest.mark.parametrize(
        ("top", "left", "size"),
        [
            *[(0, 0, 37), (5, 0, 32), (0, 21, 32), (-1, 0, 8), (0, -1, 8)],
            *[(2**63 - 1, 0, 8), (0, 2**63 - 5, 8), (-(2**63), 0, 8)],
        ],
    )
    def test_beyond_the_image_is_refused(
        self, pristine_dataset: Path, top: int, left: int, size: int
    ) -> None:
        split = open_dataset(pristine_dataset).split("val")
        with pytest.raises(ValueError, match=r"'v_1' of 36 x 52 pixels"):
            split.crop([1, 0], [0, top], [0, left], size, ["input"])

    @pytest.mark.parametrize("size", [2**31, 2**63 - 1, 2**64])
    def test_of_more_than_any_image_is_refused(self, pristine_dataset: Path, size: int) -> None:
        with pytest.raises(ValueError, match=f"a window of {size} pixels at row 0"):
            open_dataset(pristine_dataset).split("val").crop([0], [0], [0], size, ["input"])

    def test_of_no_pixels_is_refused(self, pristine_dataset: Path) -> None:
        with pytest.raises(ValueError, match="size must be at least 1, got 0"):
            open_dataset(pristine_dataset).split("val").crop([0], [0], [0], 0, ["input"])


class TestSequence:
    """A split is what loaders of other libraries expect: indices, an end, a length."""

    def test_gives_all_maps_by_any_integer(self, pristine_dataset: Path) -> None:
        split = open_dataset(pristine_dataset).split("val")
        whole = split.read(3, MAPS)
        for index in (3, -1, np.int64(3), np.uint8(3), np.array(-1)):
            sample = split[index]
            assert set(sample) == set(MAPS)
            for name in MAPS:
                np.testing.assert_array_equal(sample[name], whole[name])

    def test_iteration_ends(self, pristine_dataset: Path) -> None:
        split = open_dataset(pristine_dataset).split("val")
        sums = [int(sample["input"].sum()) for sample in split]
        assert sums == [int(split.read(i, ["input"])["input"].sum()) for i in range(4)]
        assert len(list(split)) == len(list(split)) == 4

    def test_refuses_what_is_no_sample(self, pristine_dataset: Path) -> None:
        split = open_dataset(pristine_dataset).split("val")
        for index in (4, -5):
            with pytest.raises(IndexError, match=f"sample {index} requested of 4"):
                split[index]
        for wrong in (1.0, "v_1", None, slice(0, 2)):
            with pytest.raises(TypeError, match="one sample at a time, by an integer, got"):
                split[wrong]  # type: ignore[index]

    def test_serves_a_data_loader(self, pristine_dataset: Path) -> None:
        from torch import Tensor
        from torch.utils.data import DataLoader

        split = open_dataset(pristine_dataset).split("val")
        for workers in (0, 1):
            loader: DataLoader[dict[str, Tensor]] = DataLoader(
                split,  # type: ignore[arg-type]
                batch_size=2,
                num_workers=workers,
            )
            shapes = [tuple(batch["input"].shape) for batch in loader]
            assert shapes == [(2, 36, 52, 3), (2, 45, 31, 3)]

    def test_says_what_it_is(self, pristine_dataset: Path) -> None:
        split = open_dataset(pristine_dataset).split("val")
        assert repr(split) == f"<Split 'val' of {pristine_dataset}: 4 samples>"


class TestMisuse:
    def test_unknown_sample_map_and_split(self, pristine_dataset: Path) -> None:
        dataset = open_dataset(pristine_dataset)
        split = dataset.split("val")
        for index in (-1, 4):
            with pytest.raises(IndexError, match="of 4 samples"):
                split.read(index, ["input"])
        with pytest.raises(ValueError, match=r"no map 'labels'.*label, edge"):
            split.read(0, ["labels"])
        with pytest.raises(UnknownNameError, match="no split 'test'; splits present: train, val"):
            dataset.split("test")

    def test_folder_without_an_index(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match=r"holds no index\.json.*vocsmooth build"):
            open_dataset(tmp_path)
        with pytest.raises(DatasetError, match=r"No folder .*/missing; .* expected"):
            open_dataset(tmp_path / "missing")


class TestProcesses:
    def test_nothing_is_open_before_the_first_read(self, pristine_dataset: Path) -> None:
        split = open_dataset(pristine_dataset).split("train")
        assert not split._open

    @pytest.mark.parametrize("method", ["fork", "spawn"])
    def test_children_read_the_same(self, pristine_dataset: Path, method: str) -> None:
        split = open_dataset(pristine_dataset).split("train")
        here = [split.read(i, MAPS) for i in range(len(split))]
        context = multiprocessing.get_context(method)
        with context.Pool(2) as pool:
            there = [pool.apply_async(split.read, (i, MAPS)) for i in range(len(split))]
            for i, result in enumerate(there):
                for name, array in result.get(60).items():
                    np.testing.assert_array_equal(array, here[i][name])

    def test_pickle_leaves_the_data_behind(self, pristine_dataset: Path) -> None:
        split = open_dataset(pristine_dataset).split("train")
        before = len(pickle.dumps(split))
        here = digest_of(split)
        carried = pickle.dumps(split)
        assert len(carried) == before
        assert digest_of(pickle.loads(carried)) == here


class TestDamage:
    def test_missing_or_of_another_length(self, dataset: Path) -> None:
        shard = dataset / "train-00000.h5"
        with shard.open("ab") as file:
            file.write(b"x")
        with pytest.raises(DatasetError, match=r"train-00000\.h5 has \d+ bytes, but the index"):
            open_dataset(dataset)
        shard.unlink()
        with pytest.raises(DatasetError, match=r"train-00000\.h5 cannot be read: No such file"):
            open_dataset(dataset)

    def test_truncated_under_the_mapping(self, dataset: Path) -> None:
        split = open_dataset(dataset).split("train")
        split.read(0, MAPS)
        os.truncate(dataset / "train-00000.h5", 4096)
        with pytest.raises(DatasetError, match="changed its length"):
            split.read(0, MAPS)
        with pytest.raises(DatasetError, match="changed its length"):
            split.crop([0], [0], [0], 16, MAPS)
        split.read(4, MAPS)  # another shard

    def test_renamed_over_stays_readable(self, dataset: Path) -> None:
        split = open_dataset(dataset).split("train")
        before = digest_of(split)
        (dataset / "new").write_bytes(b"short")
        (dataset / "new").replace(dataset / "train-00000.h5")
        assert digest_of(split) == before

    def test_shard_of_another_image_of_the_same_length(self, dataset: Path, tmp_path: Path) -> None:
        split = open_dataset(dataset).split("val")
        entry = next(e for e in read_index(dataset).shards if e.name == "val-00000.h5")
        other = tmp_path / "other.h5"
        shutil.copy(dataset / "val-00000.h5", other)
        with h5py.File(other, "r+") as file:
            file["images/id"][0] = b"other"
        assert other.stat().st_size == entry.bytes
        other.replace(dataset / "val-00000.h5")
        with pytest.raises(DatasetError, match="not the one that the index describes"):
            split.read(0, ["label"])


def test_empty_split_and_dataset(tree: Path, recipe: Recipe, tmp_path: Path) -> None:
    from vocsmooth.dataset.build import build_dataset

    for path in (tree / "JPEGImages").iterdir():
        Image.new("RGB", (3, 3)).save(path)  # masks differ in size: every photograph is an error
    summary = build_dataset(tree, tmp_path / "out", recipe, jobs=1)
    assert (summary.images, summary.errors) == (0, 7)
    dataset = open_dataset(tmp_path / "out")
    split = dataset.split("train")
    assert len(split) == 0
    assert split.ids == ()
    assert split.shapes.shape == (0, 2)
    assert split.crop([], [], [], 8, MAPS)["mask"].shape == (0, 8, 8)
