"""Datasets as PNG files: every pixel, every name, and nothing outside the folder."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import edit_table
from numpy.typing import NDArray
from PIL import Image

from vocsmooth.classes import VOC_PALETTE
from vocsmooth.errors import DatasetError, InputError
from vocsmooth.files import temporary_path
from vocsmooth.shards.reader import open_dataset
from vocsmooth.views.png import export_png


def read(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def pristine_export(pristine_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "png"
    summary = export_png(pristine_dataset, out, jobs=1)
    assert (summary.samples, summary.written, summary.kept) == (14, 14 * 6, 0)
    return out


@pytest.mark.parametrize("split", ["train", "val"])
def test_equal_names_are_the_same_sample(
    pristine_export: Path, pristine_dataset: Path, split: str
) -> None:
    samples = open_dataset(pristine_dataset).split(split)
    numbers: dict[str, int] = {}
    for sample, image_id in enumerate(samples.ids):
        number = numbers[image_id] = numbers.get(image_id, -1) + 1
        maps = samples.read(sample, ("input", "label", "under", "over", "edge", "mask"))
        for name, expected in maps.items():
            found = read(pristine_export / split / name / f"{image_id}_{number}.png")
            scale = 255 if name == "edge" else 1
            np.testing.assert_array_equal(found, expected * np.uint8(scale))


def test_every_folder_of_a_split_lists_the_same_names(pristine_export: Path) -> None:
    lines = (pristine_export / "train/meta_info.txt").read_text(encoding="utf-8").splitlines()
    assert lines[:3] == ["a_1_0.png (40,56,3)", "a_1_1.png (40,56,3)", "b_2_0.png (33,47,3)"]
    names = {line.split(" ")[0] for line in lines}
    assert len(names) == len(lines) == 10
    for name in ("input", "label", "under", "over", "edge", "mask"):
        assert {path.name for path in (pristine_export / "train" / name).iterdir()} == names


def test_masks_carry_the_palette_of_voc(pristine_export: Path) -> None:
    with Image.open(pristine_export / "val/mask/v_1_0.png") as mask:
        assert mask.mode == "P"
        assert mask.getpalette() == VOC_PALETTE.ravel().tolist()


def test_what_a_photograph_has_once_is_stored_once(pristine_export: Path) -> None:
    label = pristine_export / "val/label"
    assert (label / "v_1_0.png").samefile(label / "v_1_1.png")
    inputs = pristine_export / "val/input"
    assert not (inputs / "v_1_0.png").samefile(inputs / "v_1_1.png")


def test_splits_and_maps_can_be_chosen(pristine_dataset: Path, tmp_path: Path) -> None:
    export_png(pristine_dataset, tmp_path, splits=["val"], maps=["input", "label"], jobs=1)
    expected = {
        f"{m}/{i}_{k}.png" for m in ("input", "label") for i in ("v_1", "w_2") for k in "01"
    }
    assert files(tmp_path) == {"export.json", *(f"val/{f}" for f in {*expected, "meta_info.txt"})}


def test_an_interrupted_export_goes_on(
    pristine_export: Path, pristine_dataset: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(pristine_export, tmp_path / "png")
    for name in ("train/label/a_1_0.png", "train/label/b_2_1.png", "val/input/v_1_1.png"):
        (out / name).unlink()
    (out / "val/meta_info.txt").unlink()
    temporary_path(out / "val/input/v_1_1.png", 999_999_999).touch()
    summary = export_png(pristine_dataset, out, jobs=1)
    assert (summary.written, summary.kept) == (3, 14 * 6 - 3)
    assert files(out) == files(pristine_export)
    for name in files(out):
        assert (out / name).read_bytes() == (pristine_export / name).read_bytes()


def test_a_finished_export_is_not_touched(pristine_export: Path, pristine_dataset: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in pristine_export.rglob("*.png")}
    assert export_png(pristine_dataset, pristine_export, jobs=1).written == 0
    assert {p: p.stat().st_mtime_ns for p in pristine_export.rglob("*.png")} == before


@pytest.mark.parametrize(
    ("splits", "maps", "message"),
    [
        (["vall"], [], "No split 'vall'.*'val'"),
        ([], ["lable"], "No map 'lable'.*'label'"),
        ([], ["texture"], "No map 'texture' to export.*Choose from"),
    ],
)
def test_what_is_not_there_is_named(
    pristine_dataset: Path, tmp_path: Path, splits: list[str], maps: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        export_png(pristine_dataset, tmp_path / "png", splits=splits, maps=maps)
    assert not (tmp_path / "png").exists()


def test_an_export_of_another_dataset_is_left_alone(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "png").mkdir()
    (tmp_path / "png/export.json").write_text('{"format": "voc-smooth-png", "digest": "other"}\n')
    with pytest.raises(InputError, match="holds other files"):
        export_png(dataset, tmp_path / "png")
    assert files(tmp_path / "png") == {"export.json"}


def test_an_id_cannot_lead_out_of_the_folder(dataset: Path, tmp_path: Path) -> None:
    edit_table(dataset, ids=lambda ids: ids.__setitem__(0, b"../"))
    with pytest.raises(DatasetError, match="cannot be the name of a file"):
        export_png(dataset, tmp_path / "png")
    assert not (tmp_path / "png").exists()
