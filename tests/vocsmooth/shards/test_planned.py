"""A plan in columns, and its file."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from vocsmooth.errors import DatasetError
from vocsmooth.settings import digest
from vocsmooth.shards.index import to_bytes
from vocsmooth.shards.planned import (
    Plan,
    PlannedShard,
    holds_plan,
    join_shards,
    largest_shard,
    plan_digest,
    read_plan,
    write_plan,
)

SHARDS = (
    PlannedShard(name="train-00000.h5", split="train", ids=("a", "\u00e9_2", 'quo"ted')),
    PlannedShard(name="train-00001.h5", split="train", ids=("x" * 64,)),
    PlannedShard(name="val-00000.h5", split="val", ids=()),
)


def make(*shards: PlannedShard) -> Plan:
    plan = Plan(
        package="1",
        digest="",
        recipe={"shards": {"images": 3}, "note": '"shards":['},
        textures={},
        maps={},
        splits=("train", "val"),
        shards=join_shards(shards),
    )
    return dataclasses.replace(plan, digest=plan_digest(plan))


def content_of(plan: Plan) -> dict[str, object]:
    """Return a plan as the one JSON object that it is."""
    shards = [{**vars(shard), "ids": list(shard.ids)} for shard in plan.shards]
    return {**plan.head(), "shards": shards}


def test_a_shard_comes_back_as_it_was() -> None:
    shards = make(*SHARDS).shards
    assert tuple(shards) == SHARDS
    assert [shards[number] for number in (-1, -2, -3)] == list(reversed(SHARDS))
    with pytest.raises(IndexError):
        shards[-4]
    assert tuple(shards[1:]) == SHARDS[1:]
    some, rows = shards.choose(np.array([True, False, True]))
    assert tuple(some) == (SHARDS[0], SHARDS[2])
    assert shards.ids[rows].tolist() == some.ids.tolist()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_spelled_shard_by_shard_and_as_one_object_it_is_the_same(
    tmp_path: Path, count: int
) -> None:
    plan = make(*SHARDS[:count])
    content = content_of(plan)
    assert plan.digest == digest(content | {"digest": ""})
    path = tmp_path / "plan.json"
    assert write_plan(path, plan)
    assert path.read_bytes() == to_bytes(content)
    assert not write_plan(path, plan)  # it is there already
    assert tuple(read_plan(path).shards) == SHARDS[:count]


def test_the_largest_shard_is_found_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    assert largest_shard(path) == 0
    assert largest_shard(tmp_path) == 0
    for count, expected in ((0, 0), (2, 3), (3, 3)):
        write_plan(path, make(*SHARDS[:count]))
        assert largest_shard(path) == expected
    write_plan(path, make(*SHARDS[1:]))
    assert largest_shard(path) == 1
    path.write_bytes(b"\xff no plan")
    assert largest_shard(path) == 0


def test_no_other_file_is_taken_for_it(tmp_path: Path) -> None:
    path, plan = tmp_path / "plan.json", make(*SHARDS)
    assert not holds_plan(path, plan)
    write_plan(path, plan)
    whole = path.read_bytes()
    assert holds_plan(path, plan)
    for other in (whole[:-1], whole + b" ", whole.replace(b"train-00001", b"train-00002"), b""):
        path.write_bytes(other)
        assert not holds_plan(path, plan)


@pytest.mark.parametrize(
    "change",
    [
        {"shards": None},
        {"shards": [1]},
        {"shards": [{"name": "train-00000.h5", "split": "train"}]},
        *(
            {"shards": [{"name": "train-00000.h5", "split": "train", "ids": [one]}]}
            for one in ("", "x" * 65, "a\0", "\ud800", 7)
        ),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(content_of(make(*SHARDS)) | change))
    with pytest.raises(DatasetError, match=r"plan\.json"):
        read_plan(path)
