"""What a build makes, keeps, leaves out and refuses."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from helpers import content_of
from PIL import Image

from vocsmooth.dataset.build import BuildSummary, Progress, build_dataset
from vocsmooth.errors import InputError
from vocsmooth.files import temporary_path
from vocsmooth.maps.recipe import Recipe
from vocsmooth.settings import from_dict, to_dict
from vocsmooth.shards.index import index_files, read_index, to_bytes
from vocsmooth.shards.reader import open_dataset
from vocsmooth.shards.scan import list_shards
from vocsmooth.views.card import describe
from vocsmooth.workers import processes


def test_makes_shards_sidecars_plan_and_index(pristine_dataset: Path) -> None:
    shards = ["train-00000", "train-00001", "train-00002", "val-00000"]
    expected = {"README.md", "croissant.json", "plan.json", "index.json", "index.hdf5"}
    expected |= {f"{shard}.{ending}" for shard in shards for ending in ("h5", "json")}
    assert set(content_of(pristine_dataset)) == expected
    index = read_index(pristine_dataset)
    assert content_of(pristine_dataset)["README.md"].decode() == describe(index, index_files(index))
    assert index.totals.images == 7
    assert index.totals.samples == 14
    images = [i for s in list_shards(pristine_dataset, index) for i in s.read_images()]
    assert [image.id for image in images] == ["a_1", "b_2", "c_3", "d_4", "é_5", "v_1", "w_2"]
    assert all(len(image.provenance["image"]["sha256"]) == 64 for image in images)
    assert index.maps["samples"] == {"input": 3, "texture": 1, "under": 3}


def test_same_bytes_for_any_number_of_workers(
    pristine_tree: Path, pristine_dataset: Path, recipe: Recipe, tmp_path: Path
) -> None:
    build_dataset(pristine_tree, tmp_path / "out", recipe, jobs=2)
    assert content_of(tmp_path / "out") == content_of(pristine_dataset)


def test_complete_dataset_is_left_alone(
    pristine_tree: Path, pristine_dataset: Path, recipe: Recipe
) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in pristine_dataset.iterdir()}
    summary = build_dataset(pristine_tree, pristine_dataset, recipe, jobs=1)
    assert summary.complete_before
    assert summary.images == 7
    assert {p.name: p.stat().st_mtime_ns for p in pristine_dataset.iterdir()} == before


def test_only_what_is_not_whole_is_made_again(
    pristine_tree: Path, pristine_dataset: Path, dataset: Path, recipe: Recipe
) -> None:
    (dataset / "index.json").unlink()
    (dataset / "train-00000.json").unlink()
    with (dataset / "val-00000.h5").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\xff")
    temporary_path(dataset / "train-00000.h5", 999_999_999).write_bytes(b"of a killed build")
    seen: list[Progress] = []
    build_dataset(pristine_tree, dataset, recipe, jobs=1, progress=seen.append)
    assert (seen[0].shard, seen[0].done) == (None, 0)
    assert [(p.shard, p.kept, p.done) for p in seen if p.shard] == [
        ("train-00000.h5", False, 2),
        ("train-00001.h5", True, 4),
        ("train-00002.h5", True, 5),
        ("val-00000.h5", False, 7),
    ]
    assert {p.total for p in seen} == {7}
    assert content_of(dataset) == content_of(pristine_dataset)


def test_shards_of_other_versions_are_made_again(tree: Path, dataset: Path, recipe: Recipe) -> None:
    sidecar = json.loads((dataset / "val-00000.json").read_bytes())
    sidecar["versions"]["kernels"] = "of another kind"
    (dataset / "val-00000.json").write_bytes(to_bytes(sidecar))
    (dataset / "index.json").unlink()
    seen: list[Progress] = []
    build_dataset(tree, dataset, recipe, jobs=1, progress=seen.append)
    assert [p.shard for p in seen if p.shard and not p.kept] == ["val-00000.h5"]


def test_same_bytes_wherever_the_tree_lies(tree: Path, recipe: Recipe, tmp_path: Path) -> None:
    (tree / "JPEGImages/a_1.jpg").write_bytes(b"no picture")
    elsewhere = shutil.copytree(tree, tmp_path / "elsewhere")
    for root in (tree, elsewhere):
        build_dataset(root, tmp_path / f"of {root.name}", recipe, jobs=1)
    assert content_of(tmp_path / "of voc") == content_of(tmp_path / "of elsewhere")


def test_photographs_are_counted_while_their_shard_is_made(
    pristine_tree: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "SECONDS_BETWEEN_LOOKS", 0.01)
    whole = dataclasses.replace(recipe, shards=dataclasses.replace(recipe.shards, images=100))
    seen: list[Progress] = []
    build_dataset(pristine_tree, tmp_path, whole, jobs=1, progress=seen.append)
    assert [(p.shard, p.done) for p in seen if p.shard] == [
        ("train-00000.h5", 5),
        ("val-00000.h5", 7),
    ]
    counts = [p.done for p in seen]
    assert counts == sorted(counts)
    assert set(counts) > {0, 5, 7}
    assert not list(tmp_path.glob("*.tmp"))


class TestBadPhotographs:
    @pytest.fixture
    def bad_tree(self, tree: Path) -> Path:
        """A tree with a truncated JPEG, a mask of another size and one with a value of 200."""
        photo = tree / "JPEGImages/a_1.jpg"
        photo.write_bytes(photo.read_bytes()[:-200])
        Image.new("L", (10, 10)).save(tree / "SegmentationClass/c_3.png")
        Image.new("L", (52, 36), 200).save(tree / "SegmentationClass/v_1.png")
        return tree

    def test_are_listed_and_the_others_made(
        self, bad_tree: Path, recipe: Recipe, tmp_path: Path
    ) -> None:
        summary = build_dataset(bad_tree, tmp_path / "out", recipe, jobs=2)
        assert (summary.images, summary.errors, summary.rejected) == (4, 3, 0)
        reasons = {entry.id: entry.reason for entry in summary.left_out}
        assert list(reasons) == ["a_1", "c_3", "v_1"]
        assert "a_1.jpg" in reasons["a_1"]
        assert "c_3.png" in reasons["c_3"]
        assert "200" in reasons["v_1"]
        assert len(open_dataset(tmp_path / "out").split("val")) == 2

    def test_end_a_strict_build(self, bad_tree: Path, recipe: Recipe, tmp_path: Path) -> None:
        out = tmp_path / "out"
        with pytest.raises(InputError, match=r"a_1\.jpg|c_3\.png|v_1\.png"):
            build_dataset(bad_tree, out, recipe, jobs=1, strict=True)
        assert not (out / "index.json").exists()
        assert not [path for path in out.iterdir() if path.name.endswith(".tmp")]

    def test_are_tried_again(
        self, tree: Path, pristine_dataset: Path, recipe: Recipe, tmp_path: Path
    ) -> None:
        photo = tree / "JPEGImages/a_1.jpg"
        whole = photo.read_bytes()
        photo.write_bytes(b"no picture")
        first = build_dataset(tree, tmp_path / "out", recipe, jobs=1)
        photo.write_bytes(whole)
        second = build_dataset(tree, tmp_path / "out", recipe, jobs=1)
        assert (first.errors, second.errors, second.complete_before) == (1, 0, False)
        assert content_of(tmp_path / "out") == content_of(pristine_dataset)


def test_rejected_photographs_are_listed_and_not_tried_again(
    pristine_tree: Path, recipe: Recipe, tmp_path: Path
) -> None:
    content = to_dict(recipe)
    content["labels"] |= {
        "fixed": None,
        "candidates": [{"operator": "guided", "values": {"eps": [1e-8]}}],  # smooths nothing
        "min_score": 1.0,
    }
    screened = from_dict(Recipe, content, "recipe")
    first = build_dataset(pristine_tree, tmp_path / "out", screened, jobs=1)
    assert (first.images, first.rejected, first.errors) == (0, 7, 0)
    assert first.left_out[0].reason
    sidecar = json.loads((tmp_path / "out/train-00000.json").read_bytes())
    assert sidecar["left_out"][0]["provenance"]["label"]["candidates"]
    second = build_dataset(pristine_tree, tmp_path / "out", screened, jobs=1)
    assert second.complete_before
    assert dataclasses.replace(second, seconds=0, complete_before=False) == dataclasses.replace(
        first, seconds=0
    )


class TestRefuses:
    def build(self, tree: Path, out: Path, recipe: Recipe) -> BuildSummary:
        return build_dataset(tree, out, recipe, jobs=1)

    def test_a_folder_with_another_dataset(
        self, pristine_tree: Path, dataset: Path, recipe: Recipe
    ) -> None:
        before = content_of(dataset)
        other = dataclasses.replace(recipe, seed=1)
        with pytest.raises(InputError, match=r"holds another dataset: its recipe differs"):
            self.build(pristine_tree, dataset, other)
        with pytest.raises(InputError, match="holds another dataset: its splits differ"):
            build_dataset(pristine_tree, dataset, recipe, splits=["val"])
        ids = pristine_tree.parent / "ids.txt"
        ids.write_text("a_1\nv_1")
        with pytest.raises(InputError, match="holds another dataset: its photographs differ"):
            build_dataset(pristine_tree, dataset, recipe, ids_file=ids)
        assert content_of(dataset) == before

    def test_a_folder_with_other_files(
        self, pristine_tree: Path, recipe: Recipe, tmp_path: Path
    ) -> None:
        (tmp_path / "thesis.tex").write_text("x")
        with pytest.raises(InputError, match=r"holds other files \(thesis\.tex\)"):
            self.build(pristine_tree, tmp_path, recipe)
        with pytest.raises(InputError, match="is a file"):
            self.build(pristine_tree, tmp_path / "thesis.tex", recipe)
        assert list(content_of(tmp_path)) == ["thesis.tex"]

    def test_a_folder_with_a_damaged_plan(
        self, pristine_tree: Path, dataset: Path, recipe: Recipe
    ) -> None:
        plan = json.loads((dataset / "plan.json").read_bytes())
        (dataset / "plan.json").write_text(json.dumps(plan | {"surprise": 1}))
        with pytest.raises(InputError, match=r"cannot be continued.*surprise.*another folder"):
            self.build(pristine_tree, dataset, recipe)

    def test_bad_arguments_before_anything_is_written(
        self, tree: Path, recipe: Recipe, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        with pytest.raises(InputError, match="missing"):
            self.build(tmp_path / "missing", out, recipe)
        with pytest.raises(InputError, match="test"):
            build_dataset(tree, out, recipe, splits=["test"])
        (tree / "SegmentationClass/d_4.png").unlink()
        with pytest.raises(InputError, match="d_4"):
            self.build(tree, out, recipe)
        (tree / "ImageSets/Segmentation/train.txt").write_text("\n")
        with pytest.raises(InputError, match="empty"):
            self.build(tree, out, recipe)
        assert not out.exists()
