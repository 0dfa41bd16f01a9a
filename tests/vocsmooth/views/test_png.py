"""Datasets as PNG files: every pixel, every name, and nothing outside the folder."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vocsmooth.classes import VOC_PALETTE
from vocsmooth.errors import DatasetError, InputError
from vocsmooth.files import temporary_path
from vocsmooth.shards.reader import open_dataset
from vocsmooth.views.png import export_png

MAPS = ("input", "label")


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


def test_an_image_folder_lists_every_map_of_every_sample(
    pristine_dataset: Path, tmp_path: Path
) -> None:
    export_png(pristine_dataset, tmp_path, form="imagefolder", maps=["input", "label"], jobs=1)
    lines = (tmp_path / "train/metadata.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert len(records) == 10
    first = records[0]
    assert (first["id"], first["number"], first["operator"]) == ("a_1", 0, "guided")
    assert first["input_file_name"] == "input/a_1_0.png"
    assert all((tmp_path / "train" / r[f"{m}_file_name"]).is_file() for r in records for m in MAPS)
    assert {path.name for path in tmp_path.rglob("*") if path.suffix != ".png"} == {
        *("train", "val", "input", "label", "metadata.jsonl", "export.json")
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_load_dataset_reads_an_image_folder(
    pristine_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    export_png(pristine_dataset, tmp_path / "hub", form="imagefolder", jobs=1)
    loaded = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "hub"), cache_dir=str(tmp_path / "cache")
    )
    assert {name: len(split) for name, split in loaded.items()} == {"train": 10, "validation": 4}
    names = ("input", "label", "under", "over", "edge", "mask")
    assert set(loaded["train"].column_names) == {"id", "number", "operator", "texture", *names}
    for split, theirs in (("train", loaded["train"]), ("val", loaded["validation"])):
        ours = open_dataset(pristine_dataset).split(split)
        assert theirs["id"][:] == list(ours.ids)
        for number, record in enumerate(theirs):
            expected = ours.read(number, names)
            for name in names:
                scale = np.uint8(255 if name == "edge" else 1)
                np.testing.assert_array_equal(np.asarray(record[name]), expected[name] * scale)


def test_a_form_that_there_is_not(pristine_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"No form 'imagefolders'.*'imagefolder'"):
        export_png(pristine_dataset, tmp_path / "out", form="imagefolders")
    assert not (tmp_path / "out").exists()


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
    index = json.loads((dataset / "index.json").read_bytes())
    index["images"][0]["id"] = "../../escaped"
    (dataset / "index.json").write_text(json.dumps(index))
    with pytest.raises(DatasetError, match="cannot be the name of a file"):
        export_png(dataset, tmp_path / "png")
    assert not (tmp_path / "png").exists()
