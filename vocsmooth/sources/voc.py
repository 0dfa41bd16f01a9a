"""PASCAL VOC trees: find one, and list its photographs with their masks and splits."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vocsmooth.errors import InputError, UnknownNameError
from vocsmooth.files import AnyPath, as_path, as_path_or_none
from vocsmooth.sources.ids import (
    Ids,
    decode_ids,
    each_id,
    id_column,
    places_of,
    read_id_column,
    refuse_ids,
    shorten,
)
from vocsmooth.sources.listing import Files, Photographs, list_files

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")

_NOTHING: Ids = np.array([], "S")


@dataclass(frozen=True, kw_only=True)
class VocTree:
    """The folders of one VOC tree."""

    root: Path
    """Folder that holds JPEGImages."""
    mask_folders: tuple[Path, ...]
    """Those of SegmentationClass and SegmentationClassAug that exist; the first with an id wins."""
    lists: Path | None
    """ImageSets/Segmentation, or None."""
    passed_over: tuple[str, ...] = ()
    """Other years that lie beside the chosen one."""

    @property
    def images(self) -> Path:
        """Folder of the photographs."""
        return self.root / "JPEGImages"

    def describe(self) -> str:
        """Return a line for people that says which tree was taken and what it holds."""
        masks = " and ".join(folder.name for folder in self.mask_folders) or "none"
        lists = "ImageSets/Segmentation" if self.lists else "none, split by a hash of the id"
        others = f" (newest; also found: {', '.join(self.passed_over)})" if self.passed_over else ""
        return f"{self.root}{others}: masks {masks}; lists {lists}"


def find_tree(root: AnyPath) -> VocTree:
    """Find the VOC tree at `root`: a VOCdevkit folder, one of its years, or a bare tree.

    A bare tree is JPEGImages with or without SegmentationClass or SegmentationClassAug and
    ImageSets/Segmentation. Of several years the newest is taken; `VocTree.describe` says so.

    Raises
    ------
    InputError
        `root` is not a folder, or neither it nor a VOC20xx folder in it or in its VOCdevkit holds
        JPEGImages.
    """
    root = as_path(root, "root")
    if not root.is_dir():
        raise InputError(f"The VOC root {root} is not a folder.")
    if (root / "JPEGImages").is_dir():
        return _tree_at(root)
    devkit = root / "VOCdevkit" if (root / "VOCdevkit").is_dir() else root
    years = sorted(
        (p for p in devkit.iterdir() if re.fullmatch(r"VOC\d{4}", p.name)), key=lambda p: p.name
    )
    usable = [year for year in years if (year / "JPEGImages").is_dir()]
    if not usable:
        raise InputError(
            f"No VOC tree in {root}: looked for JPEGImages/ in it and in VOC20xx/ "
            f"(found: {shorten(sorted(p.name for p in root.iterdir()))}). "
            "Give the folder VOCdevkit, one of its years, or one that holds JPEGImages."
        )
    return _tree_at(usable[-1], passed_over=tuple(year.name for year in usable[:-1]))


def list_photographs(
    tree: VocTree,
    splits: Sequence[str] = ("train", "val"),
    ids_file: AnyPath | None = None,
    val_fraction: float = 0.1,
    *,
    ids: Sequence[str] | Ids = (),
) -> Photographs:
    """List the photographs of `splits`, ordered by split and id; each is in one split only.

    Splits are the lists ImageSets/Segmentation/NAME.txt. Without that folder every photograph
    (with a mask, if the tree has masks) falls into train or val by a hash of its id, so that it
    stays where it is when others come or go. Ids from `ids_file` or `ids` restrict the result;
    those that no list names are split by the hash, too.

    Parameters
    ----------
    tree : VocTree
        From `find_tree`.
    splits : sequence of str
        Names of the splits to list.
    ids_file : str or path-like, optional
        Id list, see `read_ids`; takes precedence over `ids`.
    val_fraction : float
        Share of the hash values that is val, in [0, 1].
    ids : sequence of str, or column
        The ids themselves; empty takes all.

    Raises
    ------
    InputError
        A list is missing or empty, two lists share a photograph, an id has no image or no mask, or
        nothing is left.
    """
    ids_file = as_path_or_none(ids_file, "ids_file")
    if not tree.lists and (unknown := sorted(set(splits) - {"train", "val"})):
        raise UnknownNameError(
            f"No list {unknown[0]}.txt: {tree.root} has no ImageSets/Segmentation; "
            "without lists the splits are train and val."
        )
    splits = tuple(dict.fromkeys(splits))
    if ids_file:
        wanted = read_id_column(ids_file)
    else:
        wanted = ids if isinstance(ids, np.ndarray) else id_column(ids, str(tree.images))
    images = list_files([tree.images], _IMAGE_SUFFIXES)
    masks = list_files(tree.mask_folders, [".png"])
    files = masks if tree.mask_folders else images
    found, split = _choose(tree, splits, wanted, files, val_fraction)
    photographs = Photographs(
        splits=splits,
        image_kinds=images.kinds,
        mask_kinds=masks.kinds,
        ids=found,
        split=split,
        image=images.kinds_of(found),
        mask=masks.kinds_of(found),
    )
    source = str(ids_file) if ids_file else str(tree.lists or tree.root)
    _check_files(photographs, source, masked=bool(tree.mask_folders))
    if not photographs:
        raise InputError(
            f"No photographs for the splits {', '.join(splits)} in {tree.describe()}"
            + (f"; none of the {len(wanted)} ids given is in them." if wanted.size else ".")
        )
    return photographs


def _choose(
    tree: VocTree, splits: Sequence[str], wanted: Ids, files: Files, val_fraction: float
) -> tuple[Ids, NDArray[np.int32]]:
    """Return the ids of the splits, ordered by split and id, with the number of the split of each.

    Without lists they are those of the files; if any are wanted, no other is returned.
    """
    listed, split = _read_splits(tree.lists, splits) if tree.lists else (_NOTHING, _numbers(0))
    unlisted = _NOTHING
    if wanted.size:
        unlisted = np.unique(wanted[places_of(wanted, _all_listed(tree.lists)) < 0])
        chosen = places_of(listed, np.sort(wanted)) >= 0
        listed, split = listed[chosen], split[chosen]
    elif not tree.lists:
        refuse_ids(files.bad, str(tree.images))
        unlisted = files.ids
    found, split_of_found = _hash_splits(unlisted, splits, val_fraction)
    if listed.size:
        found = np.concatenate([listed, found])
        split_of_found = np.concatenate([split, split_of_found])
    order = np.lexsort((found, split_of_found))
    return found[order], split_of_found[order]


def _tree_at(root: Path, passed_over: tuple[str, ...] = ()) -> VocTree:
    """Describe the tree whose JPEGImages is known to exist."""
    names = ("SegmentationClass", "SegmentationClassAug")
    lists = root / "ImageSets" / "Segmentation"
    return VocTree(
        root=root,
        mask_folders=tuple(root / name for name in names if (root / name).is_dir()),
        lists=lists if lists.is_dir() else None,
        passed_over=passed_over,
    )


def _read_splits(lists: Path, splits: Sequence[str]) -> tuple[Ids, NDArray[np.int32]]:
    """Read the lists of `splits`: ids, sorted, with the number of the split of each.

    A photograph in two of them is an error.
    """
    ids, split = _NOTHING, _numbers(0)
    for number, name in enumerate(splits):
        path = lists / f"{name}.txt"
        if not path.is_file():
            there = shorten(sorted(p.stem for p in lists.glob("*.txt")))
            raise UnknownNameError(f"No list {path}; splits present: {there}.")
        more = read_id_column(path)
        places = places_of(more, ids)
        if shared := decode_ids(more[places >= 0]):
            other = splits[split[places[places >= 0][0]]]
            raise InputError(
                f"{path}: photographs that the split {other!r} has already: "
                f"{shorten(shared)}. A photograph may be in one split only."
            )
        ids, split = np.append(ids, more), np.append(split, _numbers(len(more), number))
        order = np.argsort(ids)
        ids, split = ids[order], split[order]
    return ids, split


def _numbers(count: int, number: int = 0) -> NDArray[np.int32]:
    """Return so many times the number of one split."""
    return np.full(count, number, np.int32)


def _all_listed(lists: Path | None) -> Ids:
    """Return the ids of every list in the folder, sorted."""
    paths = sorted(lists.glob("*.txt")) if lists else []
    return np.unique(
        np.concatenate([_NOTHING, *(read_id_column(path) for path in paths if path.is_file())])
    )


def _hash_splits(
    ids: Ids, splits: Sequence[str], val_fraction: float
) -> tuple[Ids, NDArray[np.int32]]:
    """Put each id into train or val by its hash alone; drop those of splits not asked for.

    Returns the ids that are left, with the number of the split of each.
    """
    numbers = {name: number for number, name in enumerate(splits)}
    train, val = numbers.get("train", -1), numbers.get("val", -1)
    bound = val_fraction * 2**64
    split = np.fromiter(
        (
            val if int.from_bytes(hashlib.sha256(name).digest()[:8], "big") < bound else train
            for name in each_id(ids)
        ),
        np.int32,
        len(ids),
    )
    kept = split >= 0
    return (ids, split) if kept.all() else (ids[kept], split[kept])


def _check_files(photographs: Photographs, source: str, *, masked: bool) -> None:
    """Name all ids without an image or, in a tree with masks, without a mask in one error."""
    bare = photographs.image < 0
    blind = ~bare & (photographs.mask < 0) & masked
    problems = [
        f"{_ids(missing)} without {what}: {shorten(missing)}"
        for missing, what in (
            (decode_ids(np.sort(photographs.ids[bare])), "an image in JPEGImages"),
            (decode_ids(np.sort(photographs.ids[blind])), "a mask in SegmentationClass"),
        )
        if missing
    ]
    if problems:
        raise InputError(
            f"{source}: {'; '.join(problems)}. Add the files or take the ids off the list."
        )


def _ids(names: Sequence[str]) -> str:
    """Write a number of ids for a message."""
    return "1 id" if len(names) == 1 else f"{len(names)} ids"
