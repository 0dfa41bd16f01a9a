"""The bundled sample tree."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vocsmooth.classes import VOC_CLASSES, VOC_PALETTE, VOID
from vocsmooth.errors import InputError
from vocsmooth.images.reading import read_rgb
from vocsmooth.sources.bundled import write_sample_tree
from vocsmooth.sources.masks import read_mask
from vocsmooth.sources.voc import find_tree, list_photographs


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sample")
    write_sample_tree(root)
    return root


def test_is_a_voc_tree_with_enough_of_everything(tree: Path) -> None:
    photographs = list_photographs(find_tree(tree))
    assert len(photographs) >= 10
    assert sum(p.split == "val" for p in photographs) >= 3
    sizes, classes = set(), set()
    for photograph in photographs:
        image = read_rgb(photograph.image)
        assert photograph.mask is not None
        mask = read_mask(photograph.mask)
        assert mask.shape == image.shape[:2]
        assert max(mask.shape) <= 400
        sizes.add(mask.shape)
        classes |= set(np.unique(mask).tolist())
        with Image.open(photograph.mask) as file:
            assert file.getpalette() == VOC_PALETTE.ravel().tolist()
    assert len(sizes) >= 8
    names = {VOC_CLASSES[c] for c in classes - {VOID}}
    assert names == {"background", "cat", "diningtable", "motorbike", "person"}


def test_no_photograph_is_in_both_splits(tree: Path) -> None:
    subjects = {"train": set[str](), "val": set[str]()}
    for photograph in list_photographs(find_tree(tree)):
        subjects[photograph.split].add(photograph.id.split("_")[0])
    assert not subjects["train"] & subjects["val"]


@pytest.mark.parametrize(
    ("image_id", "points", "name"),
    [
        ("astronaut", [(158, 70), (100, 250)], "person"),
        ("astronaut", [(20, 20), (280, 60), (260, 320)], "background"),
        ("cameraman", [(130, 60), (60, 200), (202, 120)], "person"),
        ("cameraman", [(280, 20), (280, 280), (184, 260)], "background"),
        ("cat", [(150, 90), (20, 200), (300, 20)], "cat"),
        ("cat", [(8, 50), (370, 60), (370, 240)], "background"),
        ("motorbike_left", [(200, 185), (90, 170), (330, 190), (150, 115)], "motorbike"),
        ("motorbike_right", [(160, 185), (70, 170), (300, 190)], "motorbike"),
        ("motorbike_left", [(30, 30), (360, 250), (250, 215)], "background"),
        ("coffee", [(360, 150), (15, 200)], "diningtable"),
        ("coffee", [(185, 90), (8, 8), (120, 180), (230, 170)], "background"),
    ],
)
def test_masks_fit_what_the_photographs_show(
    tree: Path, image_id: str, points: list[tuple[int, int]], name: str
) -> None:
    mask = read_mask(tree / f"SegmentationClass/{image_id}.png")
    assert [VOC_CLASSES[mask[y, x]] for x, y in points] == [name] * len(points)


def test_objects_have_a_void_rim(tree: Path) -> None:
    mask = read_mask(tree / "SegmentationClass/cameraman.png")
    for one, next_to_it in ((mask[:-1], mask[1:]), (mask[:, :-1], mask[:, 1:])):
        touching = (one != next_to_it) & (one != VOID) & (next_to_it != VOID)
        assert not touching.any()
    assert 0.005 < (mask == VOID).mean() < 0.05


def test_same_bytes_again_and_over_itself(tree: Path, tmp_path: Path) -> None:
    write_sample_tree(tmp_path)
    write_sample_tree(tmp_path)
    files = sorted(p.relative_to(tree) for p in tree.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    for file in files:
        assert (tree / file).read_bytes() == (tmp_path / file).read_bytes()


def test_leaves_other_folders_alone(tmp_path: Path) -> None:
    (tmp_path / "JPEGImages").mkdir()
    (tmp_path / "JPEGImages/2007_000032.jpg").touch()
    with pytest.raises(InputError, match=r"holds other files \(JPEGImages/2007_000032\.jpg\)"):
        write_sample_tree(tmp_path)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["2007_000032.jpg"]
    with pytest.raises(InputError, match="is a file"):
        write_sample_tree(tmp_path / "JPEGImages/2007_000032.jpg")
