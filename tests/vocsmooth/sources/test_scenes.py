"""A VOC tree of drawn scenes, and what a dataset built from it holds."""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from vocsmooth.errors import InputError, VocsmoothError
from vocsmooth.images.reading import read_rgb
from vocsmooth.maps.photograph import make_maps
from vocsmooth.maps.recipe import Labels, Recipe
from vocsmooth.maps.texture_settings import Textures
from vocsmooth.maps.textures import open_textures
from vocsmooth.shards.writer import ImageMaps
from vocsmooth.sources import scenes
from vocsmooth.sources.masks import read_mask
from vocsmooth.sources.scenes import PICTURES, write_scene_tree
from vocsmooth.sources.voc import find_tree, list_photographs

SIZE = (48, 64)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scenes")
    write_scene_tree(root, {"train": 3, "val": 1}, size=SIZE, seed=5)
    return root


def test_is_a_voc_tree(tree: Path) -> None:
    photographs = list_photographs(find_tree(tree))
    assert [p.id for p in photographs] == ["train_00000", "train_00001", "train_00002", "val_00000"]
    for photograph in photographs:
        assert photograph.mask is not None
        assert read_mask(photograph.mask).shape == read_rgb(photograph.image).shape[:2] == SIZE
    assert "scikit-image" in (tree / "SOURCES.txt").read_text()


def test_a_scene_depends_on_seed_and_id_alone(tree: Path, tmp_path: Path) -> None:
    write_scene_tree(tmp_path / "fewer", {"train": 1}, size=SIZE, seed=5)
    write_scene_tree(tmp_path / "other", {"train": 1}, size=SIZE, seed=6)
    name = "JPEGImages/train_00000.png"
    assert (tmp_path / "fewer" / name).read_bytes() == (tree / name).read_bytes()
    assert (tmp_path / "other" / name).read_bytes() != (tree / name).read_bytes()


def killed(plan: object, task: scenes._Task) -> None:
    """Stands in for drawing: kills the process."""
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGKILL")
def test_a_process_that_is_killed_every_time_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenes, "_WORTH", 1)
    monkeypatch.setattr(scenes, "_draw", killed)
    with pytest.raises(VocsmoothError, match=r"train_0000\d: the process .* in fewer processes"):
        write_scene_tree(tmp_path, {"train": 3, "val": 1}, size=SIZE, jobs=2)
    monkeypatch.undo()
    write_scene_tree(tmp_path, {"train": 3, "val": 1}, size=SIZE)
    assert len(list_photographs(find_tree(tmp_path))) == 4


def test_no_photograph_fills_scenes_of_both_splits() -> None:
    assert not set(PICTURES["train"]) & set(PICTURES["val"])


def test_exact_labels_are_the_scenes_themselves(tree: Path) -> None:
    photograph = list_photographs(find_tree(tree))[0]
    recipe = Recipe(labels=Labels(exact=True), textures=Textures(count=2))
    maps = make_maps(photograph, recipe, open_textures(), strict=True)
    assert isinstance(maps, ImageMaps)
    np.testing.assert_array_equal(maps.label, read_rgb(photograph.image))
    assert maps.provenance["label"]["method"] == "exact"
    assert maps.provenance["label"]["operator"] == "none"


def test_a_folder_with_other_files_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds other files \(notes\.txt\)"):
        write_scene_tree(tmp_path, {"train": 1}, size=SIZE)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
