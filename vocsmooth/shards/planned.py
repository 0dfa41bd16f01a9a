"""The plan of a dataset: which photographs go into which shard, in columns.

plan.json is written and compared shard by shard, so that a plan of a million photographs takes 25
bytes for each of them, and no more while it is written.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from vocsmooth.errors import DatasetError
from vocsmooth.files import write_pieces
from vocsmooth.settings import to_dict
from vocsmooth.shards.entries import PlanHead, check_name
from vocsmooth.shards.index import parse, read_object, spell_list
from vocsmooth.shards.schema import ID_DTYPE, VERSION
from vocsmooth.shards.table import starts

Rows = slice | NDArray[np.bool_]
"""Which of all photographs are meant."""

_JOINED = 1000


@dataclass(frozen=True, kw_only=True)
class PlannedShard:
    """One shard as planned: the photographs that it is made from."""

    name: str
    """File name, SPLIT-00000.h5."""
    split: str
    """Their split."""
    ids: tuple[str, ...]
    """Their ids, in order; a photograph that is left out later stays in this list."""

    def __post_init__(self) -> None:
        check_name(self.name)
        for one in self.ids:
            if not 0 < len(one.encode()) <= ID_DTYPE.itemsize or "\0" in one:
                raise ValueError(f"{one!r} is not an id")


@dataclass(frozen=True, kw_only=True, eq=False)
class PlannedShards(Sequence[PlannedShard]):
    """A sequence of S planned shards with N photographs, in columns."""

    names: tuple[str, ...]
    """(S,) their file names."""
    splits: tuple[str, ...]
    """(S,) their splits."""
    starts: NDArray[np.int64]
    """(S + 1,) number of each shard's first photograph; last, that of all photographs."""
    ids: NDArray[np.bytes_]
    """(N,) ids of the photographs, shard by shard, in UTF-8."""

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, number: int) -> PlannedShard: ...

    @overload
    def __getitem__(self, number: slice) -> Sequence[PlannedShard]: ...

    def __getitem__(self, number: int | slice) -> PlannedShard | Sequence[PlannedShard]:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        number = range(len(self))[number]
        return PlannedShard(
            name=self.names[number],
            split=self.splits[number],
            ids=tuple(one.decode() for one in self.ids[self.rows(number)].tolist()),
        )

    def choose(self, chosen: NDArray[np.bool_]) -> tuple[PlannedShards, Rows]:
        """Return some of the shards, and which of all photographs are theirs.

        Parameters
        ----------
        chosen : (S,) bool
            The shards to return.
        """
        if chosen.all():
            return self, slice(None)
        counts = np.diff(self.starts)
        rows = np.repeat(chosen, counts)
        return PlannedShards(
            names=tuple(itertools.compress(self.names, chosen.tolist())),
            splits=tuple(itertools.compress(self.splits, chosen.tolist())),
            starts=starts(counts[chosen]),
            ids=self.ids[rows],
        ), rows

    def rows(self, number: int) -> slice:
        """Return which of all photographs are those of a shard."""
        return slice(*self.starts[[number, number + 1]].tolist())


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan(PlanHead):
    """Everything that decides the bytes of a dataset, written before its first shard."""

    shards: PlannedShards

    def head(self) -> dict[str, Any]:
        """Return all but the shards as plain dicts and lists."""
        names = (field.name for field in fields(PlanHead))
        return to_dict(PlanHead(**{name: getattr(self, name) for name in names}))


def read_plan(path: Path) -> Plan:
    """Read a plan; DatasetError if it is missing or damaged."""
    where = str(path)
    content = read_object(path, (VERSION,))
    shards = content.pop("shards", None)
    if not isinstance(shards, list) or not all(isinstance(shard, dict) for shard in shards):
        raise DatasetError(f"{where}: shards must be an array of objects.")
    head = parse(PlanHead, content, where)
    planned = (
        parse(PlannedShard, shard, f"{where}: shards[{number}]")
        for number, shard in enumerate(shards)
    )
    return Plan(**vars(head), shards=join_shards(planned))


def write_plan(path: Path, plan: Plan) -> bool:
    """Write a plan unless the file holds it already, completely or not at all.

    Returns whether it was written.
    """
    if holds_plan(path, plan):
        return False
    write_pieces(path, _spelled(plan))
    return True


def holds_plan(path: Path, plan: Plan) -> bool:
    """Return whether a file holds exactly this plan."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return all(file.read(len(piece)) == piece for piece in _spelled(plan)) and not file.read()


def largest_shard(path: Path) -> int:
    """Return the number of photographs of the largest shard in a plan's file, 0 if it has none.

    It is what the plan was cut with, or as good: a split that is smaller has one shard either way.
    The lines are counted, as `write_plan` spells them, because parsing a million ids takes 200 MB.
    """
    largest = count = 0
    if path.is_file():
        with path.open("rb") as file:
            for line in itertools.dropwhile(lambda line: line != b' "shards": [\n', file):
                count = count + 1 if line.startswith(b'    "') else 0
                largest = max(largest, count)
    return largest


def plan_digest(plan: Plan) -> str:
    """Return the digest of a plan: of everything in it except the digest.

    It is what `vocsmooth.settings.digest` gives for all of it, taken shard by shard.
    """
    head = plan.head() | {"digest": ""}
    before = _canonical({key: value for key, value in head.items() if key < "shards"})
    after = _canonical({key: value for key, value in head.items() if key > "shards"})
    found = hashlib.sha256(f'{before[:-1]},"shards":['.encode())
    for number, shard in enumerate(plan.shards):
        found.update(f"{',' if number else ''}{_canonical(vars(shard))}".encode())
    found.update(f"],{after[1:]}".encode())
    return found.hexdigest()


def join_shards(shards: Iterable[PlannedShard]) -> PlannedShards:
    """Return shards, each looked at once and not kept, as columns."""
    names, splits, counts = [], [], []
    columns = [np.array([], "S")]
    for shard in shards:
        names.append(shard.name)
        splits.append(shard.split)
        counts.append(len(shard.ids))
        columns.append(np.array([one.encode() for one in shard.ids], "S"))
        if len(columns) > _JOINED:  # small arrays take ten times the memory of what they hold
            columns = [np.concatenate(columns)]
    return PlannedShards(
        names=tuple(names),
        splits=tuple(splits),
        starts=starts(np.array(counts, np.int64)),
        ids=np.concatenate(columns),
    )


def _spelled(plan: Plan) -> Iterator[bytes]:
    """Yield the bytes of plan.json, shard by shard."""
    return (text.encode() for text in spell_list(plan.head(), "shards", map(vars, plan.shards)))


def _canonical(content: dict[str, Any]) -> str:
    """Return JSON as `vocsmooth.settings.digest` does."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
