"""Repairs give the very same bytes back, or one error that says what prevents it."""

import dataclasses
import shutil
from pathlib import Path

import pytest
from helpers import Change, content_of, edit, flip_a_bit

from vocsmooth.dataset.archive import pack_dataset
from vocsmooth.dataset.build import build_dataset
from vocsmooth.dataset.repair import Repair, repair_dataset
from vocsmooth.dataset.verify import verify_dataset
from vocsmooth.errors import DatasetError, InputError
from vocsmooth.maps.recipe import Grid, Labels, Recipe


def repair(root: Path, tree: Path) -> Repair:
    """Repair in one process, whatever is known."""
    return repair_dataset(root, tree, jobs=1)


def test_only_broken_and_missing_shards_are_made_again(
    pristine_tree: Path, pristine_dataset: Path, dataset: Path
) -> None:
    flip_a_bit(dataset / "train-00001.h5")
    (dataset / "val-00000.h5").unlink()
    before = (dataset / "train-00000.h5").stat().st_ino
    done = repair(dataset, pristine_tree)
    assert done.shards == ("train-00001.h5", "val-00000.h5")
    assert done.files == ()
    assert (done.verification.problems, done.verification.known) == ((), 2)
    assert content_of(dataset) == content_of(pristine_dataset)
    assert (dataset / "train-00000.h5").stat().st_ino == before


def test_whole_datasets_stay_as_they_are(pristine_tree: Path, dataset: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in dataset.iterdir()}
    done = repair(dataset, pristine_tree)
    assert (done.shards, done.files, done.verification.problems) == ((), (), ())
    assert {path.name: path.stat().st_mtime_ns for path in dataset.iterdir()} == before


@pytest.mark.parametrize(
    "lost",
    [
        ["plan.json", "README.md", "croissant.json", "val-00000.json"],
        ["index.json", "train-00000.json", "train-00001.h5"],
        ["plan.json", "train-00000.json", "train-00000.h5"],
    ],
)
def test_lost_files_are_written_anew(
    pristine_tree: Path,
    pristine_dataset: Path,
    dataset: Path,
    lost: list[str],
) -> None:
    for name in lost:
        (dataset / name).unlink()
        if name == "train-00000.json":
            (dataset / name).write_bytes(b"{")
    done = repair(dataset, pristine_tree)
    assert done.verification.problems == ()
    assert content_of(dataset) == content_of(pristine_dataset)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("train-00000.json", lambda c: c["images"][0]["provenance"]["label"].update(operator="x")),
        ("train-00000.json", lambda c: c["versions"].update(numpy="1.0")),
        ("index.json", lambda c: c["shards"].pop()),
        ("index.json", lambda c: c["recipe"].update(seed=7)),
        ("plan.json", lambda c: c["shards"][0]["ids"].pop()),
    ],
)
def test_records_that_contradict_each_other_are_settled(
    pristine_tree: Path, pristine_dataset: Path, dataset: Path, name: str, change: Change
) -> None:
    edit(dataset / name, change)
    assert verify_dataset(dataset, jobs=1).problems
    assert repair(dataset, pristine_tree).verification.problems == ()
    assert content_of(dataset) == content_of(pristine_dataset)


def test_photographs_that_were_left_out_stay_out(
    tree: Path, recipe: Recipe, tmp_path: Path
) -> None:
    """Also when their files can be used by now: the dataset becomes what it was."""
    photo = tree / "JPEGImages/a_1.jpg"
    whole = photo.read_bytes()
    photo.write_bytes(b"no picture")
    build_dataset(tree, tmp_path / "out", recipe, jobs=1)
    before = content_of(tmp_path / "out")
    photo.write_bytes(whole)
    (tmp_path / "out/train-00000.h5").unlink()
    assert repair(tmp_path / "out", tree).verification.problems == ()
    assert content_of(tmp_path / "out") == before


def test_reasons_keep_the_words_of_the_version_that_built(
    pristine_tree: Path, recipe: Recipe, tmp_path: Path
) -> None:
    screening = Labels(
        candidates=(Grid(operator="guided", values={"eps": (1e-8,)}),),  # smooths nothing
        min_score=1.0,
    )
    out = tmp_path / "out"
    build_dataset(pristine_tree, out, dataclasses.replace(recipe, labels=screening), jobs=1)
    for path in (out / "index.json", out / "train-00000.json"):
        edit(path, lambda content: content["left_out"][0].update(reason="It has too few edges."))
    before = content_of(out)
    (out / "train-00000.h5").unlink()
    assert repair(out, pristine_tree).verification.problems == ()
    assert content_of(out) == before


def test_other_files_stay_and_stay_problems(pristine_tree: Path, dataset: Path) -> None:
    (dataset / "notes.txt").write_text("mine")
    (dataset / "val-00000.h5").unlink()
    (problem,) = repair(dataset, pristine_tree).verification.problems
    assert problem.field == "notes.txt"
    assert (dataset / "notes.txt").read_text() == "mine"


class TestRefuses:
    @pytest.fixture
    def broken(self, dataset: Path) -> Path:
        """A dataset without the shard of v_1 and w_2."""
        (dataset / "val-00000.h5").unlink()
        return dataset

    def test_other_photographs(self, tree: Path, broken: Path) -> None:
        flip_a_bit(tree / "JPEGImages/v_1.jpg")
        before = content_of(broken)
        with pytest.raises(
            InputError, match=r"v_1\.jpg is not the file that the dataset was built"
        ):
            repair(broken, tree)
        (tree / "JPEGImages/v_1.jpg").unlink()
        with pytest.raises(InputError, match="v_1"):
            repair(broken, tree)
        assert {n: d for n, d in content_of(broken).items() if n[0] != "."} == before

    def test_other_textures(self, pristine_tree: Path, broken: Path) -> None:
        folder = pristine_tree / "JPEGImages"
        with pytest.raises(InputError, match="give the same --textures"):
            repair_dataset(broken, pristine_tree, textures_dir=folder, jobs=1)

    def test_other_versions(self, pristine_tree: Path, broken: Path) -> None:
        for path in broken.glob("*.json"):
            text = path.read_text().replace('"pillow": "', '"pillow": "0.')
            path.write_text(text)
        with pytest.raises(InputError, match=r"built with pillow 0\.\d.*\(here .*Install these"):
            repair(broken, pristine_tree)

    def test_records_that_no_shard_fits(self, pristine_tree: Path, broken: Path) -> None:
        edit(broken / "index.json", lambda c: c["shards"][-1].update(sha256="0" * 64))
        edit(broken / "val-00000.json", lambda c: c["shard"].update(sha256="0" * 64))
        with pytest.raises(
            DatasetError, match="was rebuilt, but is not the shard that the dataset's records"
        ):
            repair(broken, pristine_tree)
        assert not (broken / "val-00000.h5").exists()

    def test_neither_plan_nor_index(self, pristine_tree: Path, broken: Path) -> None:
        for name in ("plan.json", "index.json"):
            (broken / name).write_bytes(b"")
        with pytest.raises(DatasetError, match="Build it again, into another folder"):
            repair(broken, pristine_tree)

    def test_archives_and_nothing(
        self, pristine_tree: Path, pristine_dataset: Path, tmp_path: Path
    ) -> None:
        pack_dataset(pristine_dataset, tmp_path / "archive", jobs=1)
        with pytest.raises(DatasetError, match="is an archive"):
            repair(tmp_path / "archive", pristine_tree)
        with pytest.raises(InputError, match="is not a folder"):
            repair(tmp_path / "missing", pristine_tree)


def test_an_interrupted_repair_goes_on(
    pristine_tree: Path, pristine_dataset: Path, dataset: Path
) -> None:
    """What a repair that was killed had made lies in its workshop; nothing of it is lost."""
    names = ("train-00000", "val-00000")
    (dataset / ".repair").mkdir()
    for name in names:
        shutil.move(dataset / f"{name}.h5", dataset / ".repair")
    shutil.copy(dataset / "train-00000.json", dataset / ".repair")
    assert repair(dataset, pristine_tree).verification.problems == ()
    assert content_of(dataset) == content_of(pristine_dataset)
