"""PASCAL VOC trees: find one, and list its photographs with their masks and splits."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vocsmooth.errors import InputError, UnknownNameError
from vocsmooth.files import AnyPath, as_path, as_path_or_none, read_file

MAX_ID_BYTES = 64
"""Longest photograph id, in UTF-8; the shards store ids in fields of this size."""

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")

_SHOWN = 5


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Photograph:
    """One photograph of a tree; the files are named here and read later."""

    id: str
    """File name without suffix."""
    split: str
    """The only split it belongs to."""
    image: Path
    """The photograph."""
    mask: Path | None
    """Its class mask, or None in a tree without masks."""


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
            f"(found: {_shorten(sorted(p.name for p in root.iterdir()))}). "
            "Give the folder VOCdevkit, one of its years, or one that holds JPEGImages."
        )
    return _tree_at(usable[-1], passed_over=tuple(year.name for year in usable[:-1]))


def read_ids(path: AnyPath) -> tuple[str, ...]:
    """Read an id list: one id a line, in order; blank lines and what follows # do not count.

    Raises
    ------
    InputError
        The file is missing, not text, empty, or holds an id twice or one that cannot name a file.
    """
    path = as_path(path, "path")
    try:
        lines = read_file(path).decode("utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InputError(f"No id list {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Cannot read the id list {path}: {error}.") from None
    ids = [text for line in lines if (text := line.split("#")[0].strip())]
    if not ids:
        raise InputError(f"The id list {path} is empty; expected one id a line.")
    _check_ids(ids, str(path))
    counts = Counter(ids)
    if twice := [i for i, count in counts.items() if count > 1]:
        raise InputError(f"{path}: ids given twice: {_shorten(twice)}.")
    return tuple(ids)


def list_photographs(
    tree: VocTree,
    splits: Sequence[str] = ("train", "val"),
    ids_file: AnyPath | None = None,
    val_fraction: float = 0.1,
    *,
    ids: Sequence[str] = (),
) -> tuple[Photograph, ...]:
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
    ids : sequence of str
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
    wanted = read_ids(ids_file) if ids_file else tuple(ids)
    images = _by_stem(tree.images, _IMAGE_SUFFIXES)
    masks: dict[str, Path] = {}
    for folder in reversed(tree.mask_folders):
        masks |= _by_stem(folder, (".png",))
    split_of = _read_splits(tree.lists, splits) if tree.lists else {}
    if wanted:
        listed = _all_listed(tree.lists)
        unlisted = [i for i in wanted if i not in listed]
        split_of = {i: split_of[i] for i in wanted if i in split_of}
    else:
        unlisted = [] if tree.lists else list(masks if tree.mask_folders else images)
    _check_ids(unlisted, str(tree.images))
    split_of |= _hash_splits(unlisted, splits, val_fraction)
    source = str(ids_file) if ids_file else str(tree.lists or tree.root)
    _check_files(split_of, images, masks if tree.mask_folders else None, source)
    photographs = (
        Photograph(id=i, split=split, image=images[i], mask=masks.get(i))
        for i, split in split_of.items()
    )
    order = {name: position for position, name in enumerate(splits)}
    result = tuple(sorted(photographs, key=lambda p: (order[p.split], p.id)))
    if not result:
        raise InputError(
            f"No photographs for the splits {', '.join(splits)} in {tree.describe()}"
            + (f"; none of the {len(wanted)} ids given is in them." if wanted else ".")
        )
    return result


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


def _check_ids(ids: Iterable[str], where: str) -> None:
    """Refuse ids that cannot be file names without suffix, or are too long for the shards."""
    bad = [
        i
        for i in ids
        if re.search(r"[\s/\\]", i) or not i.isprintable() or len(i.encode()) > MAX_ID_BYTES
    ]
    if bad:
        raise InputError(
            f"{where}: not ids: {_shorten(bad)}. Expected file names without suffix, no blanks or "
            f"slashes, at most {MAX_ID_BYTES} bytes."
        )


def _read_splits(lists: Path, splits: Sequence[str]) -> dict[str, str]:
    """Read the lists of `splits`; a photograph in two of them is an error."""
    split_of: dict[str, str] = {}
    for split in splits:
        path = lists / f"{split}.txt"
        if not path.is_file():
            there = _shorten(sorted(p.stem for p in lists.glob("*.txt")))
            raise UnknownNameError(f"No list {path}; splits present: {there}.")
        ids = read_ids(path)
        if shared := [i for i in ids if i in split_of]:
            raise InputError(
                f"{path}: photographs that the split {split_of[shared[0]]!r} has already: "
                f"{_shorten(shared)}. A photograph may be in one split only."
            )
        split_of |= dict.fromkeys(ids, split)
    return split_of


def _all_listed(lists: Path | None) -> set[str]:
    """Return the ids of every list in the folder."""
    if lists is None:
        return set()
    files = (path for path in lists.glob("*.txt") if path.is_file())
    return {photograph for path in files for photograph in read_ids(path)}


def _hash_splits(ids: Iterable[str], splits: Sequence[str], val_fraction: float) -> dict[str, str]:
    """Put each id into train or val by its hash alone; drop those of splits not asked for."""
    split_of = {}
    for image_id in ids:
        number = int.from_bytes(hashlib.sha256(image_id.encode()).digest()[:8], "big")
        split_of[image_id] = "val" if number < val_fraction * 2**64 else "train"
    return {i: split for i, split in split_of.items() if split in splits}


def _by_stem(folder: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    """Map file names without suffix to paths; of several suffixes the first wins."""
    files = [p for p in folder.iterdir() if p.suffix.lower() in suffixes]
    # By name: comparing paths would take as long as all the rest, and each would keep its parts.
    files.sort(key=lambda p: (-suffixes.index(p.suffix.lower()), p.name))
    return {path.stem: path for path in files}


def _check_files(
    ids: Iterable[str], images: Mapping[str, Path], masks: Mapping[str, Path] | None, source: str
) -> None:
    """Name all ids without an image or a mask in one error."""
    bare = sorted(i for i in ids if i not in images)
    blind = sorted(i for i in ids if i in images and masks is not None and i not in masks)
    problems = [
        f"{_ids(missing)} without {what}: {_shorten(missing)}"
        for missing, what in (
            (bare, "an image in JPEGImages"),
            (blind, "a mask in SegmentationClass"),
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


def _shorten(names: Sequence[str]) -> str:
    """Join names for a message, at most five."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) or "nothing") + more
