"""The benchmark of growing datasets: the smallest ones, and what it refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import scale, scale_steps
from benchmarks.scale_growth import Row
from vocsmooth.shards.index import read_index


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_dataset_of_one_shard_is_repaired_and_described(tmp_path: Path) -> None:
    scale_steps.make_tree(tmp_path, 16)
    scale_steps.build(tmp_path)
    (shard,) = (tmp_path / "out").glob("*.h5")
    before = shard.read_bytes()
    row = scale_steps.measure(scale_steps.repair, tmp_path)
    assert shard.read_bytes() == before
    assert row["MB"] > 1
    for step in ("card", "labels"):
        scale_steps.STEPS[step](tmp_path)
        assert all((tmp_path / name).stat().st_size for name in scale_steps.PAGES[step])
    assert (tmp_path / "README.md").read_bytes() == (tmp_path / "out" / "README.md").read_bytes()
    labels = json.loads((tmp_path / "labels.json").read_text())["labels"]
    assert [label["id"] for label in labels] == list(
        map(bytes.decode, read_index(tmp_path / "out").columns.ids.tolist())
    )


def test_equal_numbers_of_photographs_are_one() -> None:
    measured: list[int] = []

    def measure(count: int) -> dict[str, Row]:
        measured.append(count)
        return {"step": {"seconds": 0.5 * count**2, "MB": 1.0}}

    figures = scale.measure_growth([4, 2, 4, 2], measure)
    assert measured == figures["photographs"] == [2, 4]
    growth = figures["growth"]
    assert growth["step"]["exponent"] == pytest.approx(2)
    assert figures["faults"] == ["step"]
    alone = scale.measure_growth([3, 3], measure)
    assert (alone["growth"], alone["faults"]) == ({"step": {}}, [])


@pytest.mark.parametrize(
    ("power", "longest", "fault"),
    [(1, 5.0, False), (1.05, 5.0, False), (1.3, 5.0, True), (1.3, 0.2, False)],
)
def test_a_steep_step_is_a_fault_unless_it_is_short(
    power: float, longest: float, fault: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """What any number costs, such as the start of Python, does not hide the growth."""
    counts = [100, 1000, 10_000]

    def measure(count: int) -> dict[str, Row]:
        return {"step": {"seconds": 0.05 + longest * (count / counts[-1]) ** power, "MB": 1.0}}

    assert scale.measure_growth(counts, measure)["faults"] == ["step"] * fault
    assert ("over 1.1" in capsys.readouterr().out) == fault


def test_more_shards_than_a_process_maps_are_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["scale", "--shards", "64", "62000"])
    with pytest.raises(SystemExit, match="2"):
        scale.main()
    assert "--shards takes 62000 together" in capsys.readouterr().err


@pytest.mark.parametrize("records", [["1"], ["1", "2", "3"]])
def test_records_take_two_numbers(
    records: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--photographs", "--planned", "--end", "--shards", "--records", *records]
    monkeypatch.setattr(sys, "argv", ["scale", *arguments])
    with pytest.raises(SystemExit, match="2"):
        scale.main()
    assert "--records takes two numbers" in capsys.readouterr().err
