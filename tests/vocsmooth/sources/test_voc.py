"""VOC trees in their layouts, id lists, splits."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vocsmooth.classes import VOC_CLASSES, VOC_PALETTE
from vocsmooth.errors import InputError
from vocsmooth.sources.ids import read_ids
from vocsmooth.sources.voc import find_tree, list_photographs


def make_tree(root: Path, ids: str = "a b c", masks: str | None = None) -> Path:
    """Write tiny images and masks; `masks` names the mask folder's ids (all by default)."""
    for name in ("JPEGImages", "SegmentationClass"):
        (root / name).mkdir(parents=True)
    for i in ids.split():
        Image.new("RGB", (4, 3)).save(root / f"JPEGImages/{i}.jpg")
    for i in (ids if masks is None else masks).split():
        Image.new("L", (4, 3)).save(root / f"SegmentationClass/{i}.png")
    return root


def write_list(root: Path, name: str, text: str) -> Path:
    path = root / f"ImageSets/Segmentation/{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_palette_is_vocs() -> None:
    assert VOC_PALETTE[[0, 1, 2, 15, 20, 255]].tolist() == [
        [0, 0, 0],
        [128, 0, 0],
        [0, 128, 0],
        [192, 128, 128],
        [0, 64, 128],
        [224, 224, 192],
    ]
    assert len(np.unique(VOC_PALETTE, axis=0)) == 256
    assert len(VOC_CLASSES) == 21


@pytest.mark.parametrize("given", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_finds_the_newest_year_from_any_level(tmp_path: Path, given: str) -> None:
    make_tree(tmp_path / "VOCdevkit/VOC2007")
    make_tree(tmp_path / "VOCdevkit/VOC2012")
    (tmp_path / "VOCdevkit/VOC2021").mkdir()  # no JPEGImages: not a tree
    tree = find_tree(tmp_path / given)
    assert tree.root == tmp_path / "VOCdevkit/VOC2012"
    if given != "VOCdevkit/VOC2012":
        assert tree.passed_over == ("VOC2007",)
        assert "VOC2007" in tree.describe()


def test_bare_tree_without_masks_or_lists(tmp_path: Path) -> None:
    (tmp_path / "JPEGImages").mkdir()
    Image.new("RGB", (4, 3)).save(tmp_path / "JPEGImages/x.JPG")
    tree = find_tree(tmp_path)
    assert tree.mask_folders == ()
    assert tree.lists is None
    assert "masks none" in tree.describe()
    (photograph,) = list_photographs(tree)
    assert photograph.mask is None
    assert photograph.image.name == "x.JPG"


def test_error_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    with pytest.raises(InputError, match=r"looked for JPEGImages/.*found: pictures.*VOCdevkit"):
        find_tree(tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        find_tree(tmp_path / "nowhere")


def test_lists_decide_splits_and_order(tmp_path: Path) -> None:
    tree = find_tree(make_tree(tmp_path))
    write_list(tmp_path, "val", "a\n")
    write_list(tmp_path, "train", "c\n\nb  # the second\n")
    tree = find_tree(tmp_path)
    found = [(p.split, p.id) for p in list_photographs(tree)]
    assert found == [("train", "b"), ("train", "c"), ("val", "a")]
    assert [p.id for p in list_photographs(tree, ["val"])] == ["a"]


def test_overlapping_lists_are_an_error(tmp_path: Path) -> None:
    make_tree(tmp_path)
    write_list(tmp_path, "train", "a\nb\n")
    path = write_list(tmp_path, "val", "b\nc\n")
    with pytest.raises(InputError, match=rf"{path}: .* the split 'train' has already: b"):
        list_photographs(find_tree(tmp_path))


def test_missing_list_names_those_present(tmp_path: Path) -> None:
    make_tree(tmp_path)
    write_list(tmp_path, "train", "a\n")
    with pytest.raises(InputError, match=r"test\.txt; splits present: train\."):
        list_photographs(find_tree(tmp_path), ["test"])


def test_without_lists_each_id_stays_in_its_split(tmp_path: Path) -> None:
    ids = [f"i{n}" for n in range(40)]
    few = list_photographs(find_tree(make_tree(tmp_path / "few", " ".join(ids[::2]))))
    many = list_photographs(
        find_tree(make_tree(tmp_path / "many", " ".join(ids))), val_fraction=0.5
    )
    assert {p.id for p in few} == set(ids[::2])
    split_of = {p.id: p.split for p in many}
    assert set(split_of.values()) == {"train", "val"}
    # A larger share of val only moves photographs from train to val.
    assert all(split_of[p.id] == "val" for p in few if p.split == "val")
    train = list_photographs(find_tree(tmp_path / "few"), ["train"], val_fraction=0)
    every = list_photographs(find_tree(tmp_path / "few"), val_fraction=0)
    assert list(train) == sorted(every, key=lambda p: p.id)
    with pytest.raises(InputError, match=r"No list test\.txt"):
        list_photographs(find_tree(tmp_path / "few"), ["test"])


def test_without_lists_photographs_without_mask_do_not_count(tmp_path: Path) -> None:
    tree = find_tree(make_tree(tmp_path, "a b c", masks="b"))
    assert [p.id for p in list_photographs(tree)] == ["b"]


def test_aug_masks_stand_in(tmp_path: Path) -> None:
    make_tree(tmp_path, "a b", masks="a")
    (tmp_path / "SegmentationClassAug").mkdir()
    for i in "ab":
        Image.new("L", (4, 3)).save(tmp_path / f"SegmentationClassAug/{i}.png")
    masks = {p.id: p.mask for p in list_photographs(find_tree(tmp_path))}
    assert masks == {
        "a": tmp_path / "SegmentationClass/a.png",
        "b": tmp_path / "SegmentationClassAug/b.png",
    }


def test_ids_without_files_are_named_in_one_error(tmp_path: Path) -> None:
    make_tree(tmp_path, "a b c", masks="a b")
    path = write_list(tmp_path, "train", "a\nc\n" + "".join(f"no{n}\n" for n in range(7)))
    write_list(tmp_path, "val", "b\n")
    with pytest.raises(InputError) as caught:
        list_photographs(find_tree(tmp_path))
    message = str(caught.value)
    assert message.startswith(str(path.parent))
    assert "7 ids without an image in JPEGImages: no0, no1, no2, no3, no4 and 2 more" in message
    assert "1 id without a mask in SegmentationClass: c" in message


def test_ids_file_restricts_and_unlisted_ids_are_split_by_hash(tmp_path: Path) -> None:
    make_tree(tmp_path, "a b c d")
    write_list(tmp_path, "train", "a\nb\n")
    write_list(tmp_path, "val", "c\n")
    ids = tmp_path / "ids.txt"
    ids.write_text("\ufeffc\n# comment\n\nd\na\n", encoding="utf-8")
    tree = find_tree(tmp_path)
    assert [(p.split, p.id) for p in list_photographs(tree, ids_file=ids, val_fraction=0)] == [
        ("train", "a"),
        ("train", "d"),
        ("val", "c"),
    ]
    # Listed for val, it must not slip into train.
    assert [p.id for p in list_photographs(tree, ["train"], ids=["b", "c"])] == ["b"]
    with pytest.raises(InputError, match="none of the 1 ids given is in them"):
        list_photographs(tree, ["train"], ids=["c"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("# only\n\n", "is empty"),
        ("a\nb\na\n", "ids given twice: a"),
        ("../a\n", r"not ids: \.\./a"),
        ("a 1\n", "not ids: a 1"),
        ("x" * 65, "at most 64 bytes"),
    ],
)
def test_bad_id_lists(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "ids.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_ids(path)
    assert str(path) in str(caught.value)


def test_missing_and_binary_id_lists(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No id list"):
        read_ids(tmp_path / "ids.txt")
    (tmp_path / "ids.txt").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(InputError, match="Cannot read the id list"):
        read_ids(tmp_path / "ids.txt")


def test_reads_the_reference_tree(shared: Path) -> None:
    photographs = list_photographs(find_tree(shared / "voc" / "VOCdevkit"))
    assert [p.split for p in photographs].count("train") == 60
    assert [p.split for p in photographs].count("val") == 16


def test_file_names_that_cannot_be_ids_are_named(tmp_path: Path) -> None:
    make_tree(tmp_path / "blank", "a")
    Image.new("L", (4, 3)).save(tmp_path / "blank/SegmentationClass/b c.png")
    with pytest.raises(InputError, match=r"JPEGImages: not ids: b c\."):
        list_photographs(find_tree(tmp_path / "blank"))
    make_tree(tmp_path / "long", "a" * 65)
    with pytest.raises(InputError, match="at most 64 bytes"):
        list_photographs(find_tree(tmp_path / "long"))


def test_a_split_named_twice_counts_once(tmp_path: Path) -> None:
    make_tree(tmp_path)
    write_list(tmp_path, "train", "a\nb\n")
    assert len(list_photographs(find_tree(tmp_path), ["train", "train"])) == 2


def test_of_several_files_of_an_id_the_first_suffix_wins(tmp_path: Path) -> None:
    images = tmp_path / "JPEGImages"
    images.mkdir()
    for name in ("b.png", "a.png", "b.jpeg", "c.PNG", "a.jpg", "a.jpeg", "c.txt"):
        (images / name).touch()
    listed = list_photographs(find_tree(tmp_path), ["train", "val"])
    assert sorted(one.image.name for one in listed) == ["a.jpg", "b.jpeg", "c.PNG"]
