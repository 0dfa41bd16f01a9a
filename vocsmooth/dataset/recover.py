"""What is known of a dataset whose records are damaged, and how they are written again.

The index follows from the plan and the sidecars, and it holds the SHA-256 of every sidecar. Where
they disagree, one of them is wrong, and only the shard, made again, tells which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeGuard

from vocsmooth.errors import DatasetError
from vocsmooth.files import read_file, write_atomically
from vocsmooth.shards.assembling import assemble_index, differences
from vocsmooth.shards.entries import Index, LeftOutEntry, Sidecar
from vocsmooth.shards.index import (
    INDEX_NAME,
    PLAN_NAME,
    TABLE_NAME,
    as_object,
    index_files,
    read_index,
    read_record,
    read_sidecar,
    read_version1,
    record_of,
    sidecar_path,
    to_bytes,
)
from vocsmooth.shards.planned import Plan, plan_digest, read_plan, write_plan
from vocsmooth.shards.schema import INDEX_VERSION
from vocsmooth.shards.version1 import VERSION as VERSION_1
from vocsmooth.shards.version1 import assemble_index1, sidecars_of
from vocsmooth.views.croissant import CROISSANT_NAME, DESCRIPTIONS, list_index_anew


def read_sound_index(root: Path) -> Index | None:
    """Return the index, or None if it is damaged or missing."""
    try:
        return read_index(root)
    except DatasetError:
        return None


def read_sound_plan(root: Path) -> Plan | None:
    """Return the plan, or None if it is damaged or missing."""
    try:
        plan = read_plan(root / PLAN_NAME)
    except DatasetError:
        return None
    return plan if plan_digest(plan) == plan.digest else None


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of one shard; what was damaged may be wrong."""

    sidecars: tuple[Sidecar, ...] = ()
    """The one beside the shard, and another that an index of version 1 gives."""
    file_sha256: str = ""
    """SHA-256 of the file beside the shard; empty if it cannot be read."""
    sidecar_sha256: str = ""
    """What the index says about the sidecar; empty if it does not."""
    shard_sha256: str = ""
    """What the index, or else the sidecar, says about the shard; empty if neither does."""
    versions: tuple[Mapping[str, str], ...] = ()
    """What made the shard, as the sidecar and the index say."""
    left_out: tuple[LeftOutEntry, ...] = ()
    """What was left out of the shard, as the index and the sidecars say."""
    has_blake3: bool = True
    """Whether the dataset was made by software that records BLAKE3."""

    @property
    def is_clear(self) -> bool:
        """Whether there is one sidecar, and the index does not mean another one."""
        if len(self.sidecars) != 1:
            return False
        return self.sidecar_sha256 in ("", record_of(self.sidecars[0]).sha256)

    def settle(self, made: Sidecar) -> Sidecar | None:
        """Return the sidecar of the shard that was made again; None if it is not a known shard.

        Versions of this package word the reasons for leaving photographs out in different ways,
        and older ones did not record BLAKE3; what is known of the sidecar is kept.
        """
        reasons = {entry.id: entry.reason for entry in reversed(self.left_out)}
        worded = tuple(
            LeftOutEntry(**{**vars(entry), "reason": reasons.get(entry.id, entry.reason)})
            for entry in made.left_out
        )
        as_known = Sidecar(**{**vars(made), "left_out": worded})
        older = (_without_blake3(one) for one in (as_known, made))
        for sidecar in (as_known, made, *older):
            if record_of(sidecar).sha256 == self.sidecar_sha256 or sidecar in self.sidecars:
                return sidecar
        return self.as_recorded(as_known) if made.shard.sha256 == self.shard_sha256 else None

    def as_recorded(self, made: Sidecar) -> Sidecar:
        """Return the sidecar of the shard that was made again as the dataset would have it."""
        return made if self.has_blake3 else _without_blake3(made)


class Records:
    """What is known of the shards of a plan.

    Parameters
    ----------
    root : Path
        The dataset's folder.
    plan : Plan
        Its plan.
    index : Index or None
        Its index; not asked if it is lost, or that of another plan.
    """

    def __init__(self, root: Path, plan: Plan, index: Index | None) -> None:
        self._root, self._plan = root, plan
        self._index = index if index is not None and index.digest == plan.digest else None
        self._numbers: dict[str, int] = {}
        self._old: dict[str, Sidecar] = {}
        if self._index is not None:
            self._numbers = {shard.name: n for n, shard in enumerate(self._index.shards)}
            if self._index.version == VERSION_1:
                shard_of = {i: planned.name for planned in plan.shards for i in planned.ids}
                self._old = sidecars_of(read_version1(root), shard_of)
        self._has_blake3 = self._find_blake3()

    def know(self, name: str) -> Known:
        """Return what is known of a shard."""
        sidecars = [self._old[name]] if name in self._old else []
        file_sha256 = ""
        with suppress(DatasetError):
            record = read_record(sidecar_path(self._root / name))
            sidecar, file_sha256 = record.sidecar, record.sha256
            same_shard = sidecar.shard.name == name and sidecar.digest == self._plan.digest
            if same_shard and sidecar not in sidecars:
                sidecars.append(sidecar)
        left_out = tuple(entry for sidecar in sidecars for entry in sidecar.left_out)
        versions = tuple(sidecar.versions for sidecar in sidecars)
        shard_sha256 = sidecars[0].shard.sha256 if sidecars else ""
        sidecar_sha256 = ""
        if self._index is not None and name in self._numbers:
            number = self._numbers[name]
            sidecar_sha256 = self._index.sidecar_sha256(number)
            shard_sha256 = self._index.shard(number).sha256
            versions += (self._index.versions,)
            if not self._old:
                left_out = self._index.left_out_of(number) + left_out
        return Known(
            sidecars=tuple(sidecars),
            file_sha256=file_sha256,
            sidecar_sha256=sidecar_sha256,
            shard_sha256=shard_sha256,
            versions=versions,
            left_out=left_out,
            has_blake3=self._has_blake3,
        )

    def _find_blake3(self) -> bool:
        """Return whether the index, or else the first sidecar that can be read, knows BLAKE3."""
        if self._index is not None:
            return bool(self._index.columns.blake3.any())
        for path in _sidecar_paths(self._root, self._plan):
            with suppress(DatasetError):
                return read_sidecar(path).shard.blake3 != ""
        return True

    def sort_out(self) -> tuple[list[str], list[str]]:
        """Return the shards whose sidecar only the shard tells, and the sidecars that were written.

        Written are those that only an index of version 1 still holds, or that were spelled anew.
        """
        unclear, written = [], []
        for name in self._plan.shards.names:
            known, path = self.know(name), sidecar_path(self._root / name)
            if known.file_sha256 and known.file_sha256 == known.sidecar_sha256:
                continue
            if not known.is_clear:
                unclear.append(name)
            elif write_if_other(path, to_bytes(as_object(known.sidecars[0]))):
                written.append(path.name)
        return unclear, written


def write_records(root: Path, plan: Plan, version: int) -> tuple[str, ...]:
    """Write the plan and the index, which follows from it and the sidecars, where they are wrong.

    The descriptions, which may have been edited, are written only if they are missing; but one for
    machines lists the files of the index as they are. Returns the names of the files that were
    written.

    Parameters
    ----------
    root : Path
        The dataset's folder.
    plan : Plan
        Its plan.
    version : int
        The version that its index shall have.
    """
    index = assemble_index(plan, map(read_record, _sidecar_paths(root, plan)))
    if version == VERSION_1:
        old = assemble_index1(
            plan, [read_sidecar(sidecar_path(root / n)) for n in plan.shards.names]
        )
        files = {INDEX_NAME: to_bytes(as_object(old))}
    elif _is_index(there := read_sound_index(root), index):
        # The table stays, whatever bytes this version of HDF5 would write.
        files = index_files(there) | {TABLE_NAME: read_file(root / TABLE_NAME)}
    else:
        files = index_files(index)
    written = [PLAN_NAME] if write_plan(root / PLAN_NAME, plan) else []
    wanted = {}
    for name, describe in DESCRIPTIONS.items():
        if not (root / name).is_file():
            wanted[name] = "".join(describe(index, files)).encode()
        elif name == CROISSANT_NAME:
            wanted[name] = list_index_anew((root / name).read_bytes(), files)
    wanted |= files
    written += [name for name, data in wanted.items() if write_if_other(root / name, data)]
    return tuple(written)


def _without_blake3(sidecar: Sidecar) -> Sidecar:
    """Return a sidecar as older software wrote it."""
    return replace(sidecar, shard=replace(sidecar.shard, blake3=""))


def _sidecar_paths(root: Path, plan: Plan) -> Iterator[Path]:
    """Yield the paths of all sidecars, in the order of the plan."""
    return (sidecar_path(root / name) for name in plan.shards.names)


def _is_index(there: Index | None, expected: Index) -> TypeGuard[Index]:
    """Return whether a dataset's index is the one that it should have."""
    return there is not None and not differences(expected, there)


def upgrade_index(root: Path) -> None:
    """Give a dataset whose index has version 1 that of today; it is known to be sound."""
    write_records(root, read_plan(root / PLAN_NAME), INDEX_VERSION)


def write_if_other(path: Path, data: bytes) -> bool:
    """Write a file unless it holds these bytes already; return whether it was written."""
    if path.is_file() and path.read_bytes() == data:
        return False
    write_atomically(path, data)
    return True
