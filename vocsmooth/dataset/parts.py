"""What the parts of a build share: one lists the tree and plans, and the others read what it found.

The listing is a hidden file in the dataset's folder while the dataset is not complete. It counts
for the same arguments only, only as long as no file has come to the tree's folders or gone, and
only beside the plan that it belongs to.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

import vocsmooth
from vocsmooth.dataset.claim import found_or_claimed
from vocsmooth.dataset.plan import describe_textures
from vocsmooth.files import replacing, sha256_file
from vocsmooth.maps.recipe import Recipe
from vocsmooth.maps.textures import TextureSource
from vocsmooth.settings import digest
from vocsmooth.shards.index import INDEX_NAME, PLAN_NAME
from vocsmooth.sources.listing import Kind, Photographs
from vocsmooth.sources.voc import VocTree

LISTING_NAME = ".photographs.npz"
"""File of the listing in the folder of the dataset."""

_DAMAGED = (  # what a file that is no archive, or a damaged one, may cause
    *(OSError, EOFError, zipfile.BadZipFile, MemoryError, RuntimeError),
    *(ValueError, LookupError, TypeError, AttributeError),
)

_KINDS = ("image_kinds", "mask_kinds")

_COLUMNS = ("ids", "split", "image", "mask")


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What one part has found out for all of them."""

    photographs: Photographs
    """Those of the dataset."""
    digest: str
    """Digest of the plan, which the folder holds."""


def listing_key(
    tree: VocTree,
    splits: Sequence[str],
    ids_file: Path | None,
    recipe: Recipe,
    textures: TextureSource,
) -> str:
    """Return a digest of all that decides which photographs are listed, and what the plan says.

    Of the tree's folders and lists, that is when they last changed: when a file came or went.
    """
    folders = [tree.images, *tree.mask_folders, *([tree.lists] if tree.lists else [])]
    lists = sorted(tree.lists.glob("*.txt")) if tree.lists else []
    return digest(
        {
            "changes": [[str(p.resolve()), p.stat().st_mtime_ns] for p in (*folders, *lists)],
            "splits": list(splits),
            "ids_file": sha256_file(ids_file) if ids_file and ids_file.is_file() else None,
            "recipe": recipe.record(),
            "textures": describe_textures(textures),
            "package": vocsmooth.__version__,
        }
    )


def shared_listing(out: Path, key: str, tree: VocTree) -> AbstractContextManager[Listing | None]:
    """Return a context manager that gives what another part has listed, after waiting for it.

    If it gives None, this part is to list, and to write the listing inside the block. Where an
    index shows that the dataset was complete, no part waits.
    """
    read = partial(read_listing, out, key, tree)
    if (out / INDEX_NAME).exists():
        return nullcontext(read())
    return found_or_claimed(out, key, read)


def read_listing(out: Path, key: str, tree: VocTree) -> Listing | None:
    """Return what another part has listed; None if there is nothing, or not with the same key.

    That the plan's file is the one written with the listing is known by its SHA-256: to make the
    plan again and compare it takes seconds with a million photographs.
    """
    path = out / LISTING_NAME
    if not path.is_file():
        return None
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            head = json.loads(file["head"].tobytes())
            if head["key"] != key or head["plan"] != sha256_file(out / PLAN_NAME):
                return None
            columns = {name: file[name] for name in _COLUMNS}
            images, masks = (
                tuple(
                    Kind(folder=tree.root / folder, suffix=suffix) for folder, suffix in head[name]
                )
                for name in _KINDS
            )
            return Listing(
                photographs=Photographs(
                    splits=tuple(head["splits"]), image_kinds=images, mask_kinds=masks, **columns
                ),
                digest=str(head["digest"]),
            )
    except _DAMAGED:
        return None  # damaged, or gone since another part has completed the dataset


def write_listing(out: Path, key: str, listing: Listing) -> None:
    """Leave the listing for other parts, completely or not at all; without it, each lists alone.

    The folder must hold the plan.
    """
    photographs = listing.photographs
    kinds = {
        # Without the root: each part has its own path to it, relative to its own working folder.
        name: [[kind.folder.name, kind.suffix] for kind in getattr(photographs, name)]
        for name in _KINDS
    }
    columns = {name: getattr(photographs, name) for name in _COLUMNS}
    with (
        suppress(OSError),
        replacing(out / LISTING_NAME) as temporary,
        temporary.open("wb") as file,
    ):
        plan = {"plan": sha256_file(out / PLAN_NAME), "digest": listing.digest}
        head = {"key": key, **plan, "splits": photographs.splits, **kinds}
        np.savez(file, head=np.frombuffer(json.dumps(head).encode(), np.uint8), **columns)
