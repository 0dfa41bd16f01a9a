"""Pack a dataset into an archive of a third of its size, and unpack it to the very same files.

An archive is a folder with the archived form of each shard (see `vocsmooth.shards.packed`) and,
under ``metadata``, copies of the dataset's other files. To be read or verified it must be unpacked.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vocsmooth.errors import DatasetError
from vocsmooth.files import (
    AnyPath,
    as_path,
    read_file,
    remove_leftovers,
    sha256_file,
    write_atomically,
)
from vocsmooth.folders import claim_folder
from vocsmooth.shards.entries import ShardEntry
from vocsmooth.shards.index import (
    ARCHIVE_NAME,
    INDEX_NAME,
    PLAN_NAME,
    TABLE_NAME,
    read_index,
    sidecar_path,
)
from vocsmooth.shards.packed import decode_archive, encode_archive
from vocsmooth.shards.scan import ShardScan, list_shards, run_on_shards
from vocsmooth.shards.schema import read_layout
from vocsmooth.views.croissant import DESCRIPTIONS


@dataclass(frozen=True, kw_only=True)
class RepackSummary:
    """What packing or unpacking has done."""

    shards: int
    """Shards of the dataset."""
    kept: int
    """Shards that an earlier run had finished."""
    bytes_before: int
    """Size of all shards as they were."""
    bytes_after: int
    """Size of all shards as they are now."""
    seconds: float
    """Wall-clock time."""


@dataclass(frozen=True, kw_only=True)
class _Repacked:
    """What was done with one shard."""

    kept: bool
    bytes_before: int
    bytes_after: int


def pack_dataset(
    root: AnyPath,
    out: AnyPath,
    *,
    jobs: int | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> RepackSummary:
    """Make an archive of a dataset, or continue one that was interrupted.

    Every archived shard is unpacked in memory, as a test, before it is written.

    Parameters
    ----------
    root : str or path-like
        Folder of the dataset, which is only read.
    out : str or path-like
        New or empty folder, or one that holds an archive of the same dataset.
    jobs : int, optional
        Worker processes; one per core if not given.
    progress : callable
        Called with the number of finished shards and that of all shards.

    Raises
    ------
    DatasetError
        `root` is not a complete dataset, or a shard is damaged.
    InputError
        `out` holds something else.
    """
    root = as_path(root, "root")
    out = as_path(out, "out")
    shards = list_shards(root, read_index(root))
    return _repack(_pack_shard, shards, root, out, out / ARCHIVE_NAME, jobs, progress)


def unpack_dataset(
    archive: AnyPath,
    out: AnyPath,
    *,
    jobs: int | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> RepackSummary:
    """Unpack a dataset from its archive: the same files byte by byte, checked by their SHA-256.

    Parameters
    ----------
    archive : str or path-like
        Folder that `pack_dataset` made, which is only read.
    out : str or path-like
        New or empty folder, or one that holds the same dataset, whose intact shards are kept.
    jobs, progress
        As in `pack_dataset`.

    Raises
    ------
    DatasetError
        `archive` is not a complete archive, or an archived shard is damaged.
    InputError
        `out` holds something else.
    """
    archive = as_path(archive, "archive")
    out = as_path(out, "out")
    metadata = archive / ARCHIVE_NAME
    if not (metadata / INDEX_NAME).is_file():
        raise DatasetError(
            f"{archive} holds no {ARCHIVE_NAME}/{INDEX_NAME}: it is not an archive, or its packing "
            "has not finished. To finish it, run `vocsmooth repack --to archive` with the same "
            "arguments again."
        )
    shards = list_shards(archive, read_index(metadata))
    return _repack(_unpack_shard, shards, metadata, out, out, jobs, progress)


def _repack(
    function: Callable[..., _Repacked],
    shards: Sequence[ShardScan],
    source: Path,
    out: Path,
    target: Path,
    jobs: int | None,
    progress: Callable[[int, int], None],
) -> RepackSummary:
    """Convert all shards into `out`; write the plan to `target` before, the other files after."""
    started = time.monotonic()
    claim_folder(out, target / PLAN_NAME, read_file(source / PLAN_NAME))
    for folder in {out, target}:
        remove_leftovers(folder)
    convert = partial(function, out=out)
    results = [result for _, result in run_on_shards(convert, shards, jobs=jobs, progress=progress)]
    sidecars = (sidecar_path(shard.path).name for shard in shards)
    # Descriptions may have been removed, and older datasets have no table.
    optional = (*DESCRIPTIONS, TABLE_NAME)
    for name in (*sidecars, *optional, INDEX_NAME):
        if name not in optional or (source / name).is_file():
            write_atomically(target / name, read_file(source / name))
    return RepackSummary(
        shards=len(results),
        kept=sum(result.kept for result in results),
        bytes_before=sum(result.bytes_before for result in results),
        bytes_after=sum(result.bytes_after for result in results),
        seconds=time.monotonic() - started,
    )


def _pack_shard(shard: ShardScan, out: Path) -> _Repacked:
    """Write the archived form of a shard, unless it exists and is intact."""
    entry, path = shard.entry, _archived(shard, out)
    kept = _is_packed(path, entry)
    if not kept:
        layout, data = read_layout(shard.path, shard.maps), shard.path.read_bytes()
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise DatasetError(
                f"{shard.path} is damaged: its SHA-256 is not the one in the index. "
                f"Run `vocsmooth verify --fresh` on {shard.root}."
            )
        archived = encode_archive(data, layout, shard.maps)
        decode_archive(io.BytesIO(archived), entry)
        write_atomically(path, archived)
    return _Repacked(kept=kept, bytes_before=entry.bytes, bytes_after=path.stat().st_size)


def _unpack_shard(shard: ShardScan, out: Path) -> _Repacked:
    """Write the file of a shard from its archived form, unless it exists and is intact."""
    entry, archived = shard.entry, _archived(shard, shard.root)
    path = out / entry.name
    kept = path.is_file() and sha256_file(path) == entry.sha256
    if not kept:
        write_atomically(path, memoryview(decode_archive(archived, entry)))
    return _Repacked(
        kept=kept, bytes_before=archived.stat().st_size, bytes_after=path.stat().st_size
    )


def _archived(shard: ShardScan, folder: Path) -> Path:
    """Return the path of a shard's archived form."""
    return (folder / shard.entry.name).with_suffix(".archive.h5")


def _is_packed(path: Path, entry: ShardEntry) -> bool:
    """Return whether the archived form of a shard exists and is intact."""
    try:
        decode_archive(path, entry)
    except DatasetError:
        return False
    return True
