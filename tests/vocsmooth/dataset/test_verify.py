"""Everything that may be wrong with a dataset is reported, with its place."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from helpers import assemble_anew, edit, edit_table, flip_a_bit

from vocsmooth.dataset.archive import pack_dataset
from vocsmooth.dataset.check import Problem
from vocsmooth.dataset.journal import JOURNAL_NAME, identity_of
from vocsmooth.dataset.verify import verify_dataset
from vocsmooth.errors import DatasetError, InputError
from vocsmooth.shards.digests import digests_of


def problems_of(root: Path) -> list[tuple[str | None, str | None, str]]:
    """Return shard, image and field of every problem."""
    return [(p.shard, p.image, p.field) for p in verify_dataset(root, jobs=1).problems]


def resign(root: Path, shard: str) -> None:
    """Give sidecar and index the digests of a shard that was changed: only its content tells."""
    data = (root / shard).read_bytes()
    promise = {"bytes": len(data), **digests_of(data)}

    edit((root / shard).with_suffix(".json"), lambda sidecar: sidecar["shard"].update(promise))
    assemble_anew(root)


def test_sound_dataset_has_no_problems(pristine_dataset: Path) -> None:
    report = verify_dataset(pristine_dataset, jobs=2)
    assert report.problems == ()
    assert (report.shards, report.images, report.samples) == (4, 7, 14)
    assert report.bytes == sum(p.stat().st_size for p in pristine_dataset.glob("*.h5"))


class TestJournal:
    """A run that did not end well leaves a journal; it saves reading, never hides a change."""

    def read_again(self, root: Path, *, fresh: bool = False) -> tuple[int, int]:
        report = verify_dataset(root, jobs=1, fresh=fresh)
        return report.known, len(report.problems)

    def test_sound_dataset_keeps_none(self, dataset: Path) -> None:
        assert self.read_again(dataset) == (0, 0)
        assert not (dataset / JOURNAL_NAME).exists()

    def test_after_an_interrupt_goes_on(self, dataset: Path) -> None:
        def interrupt(done: int, total: int) -> None:
            if done == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            verify_dataset(dataset, jobs=1, progress=interrupt)
        seen: list[int] = []
        report = verify_dataset(dataset, jobs=1, progress=lambda done, _: seen.append(done))
        assert (report.known, report.problems, seen) == (3, (), [3, 4])
        assert not (dataset / JOURNAL_NAME).exists()

    def test_only_what_had_problems_or_changed_is_read_again(self, dataset: Path) -> None:
        os.truncate(dataset / "val-00000.h5", 5000)
        assert self.read_again(dataset) == (0, 1)
        assert self.read_again(dataset) == (3, 1)
        flip_a_bit(dataset / "train-00001.h5")
        assert self.read_again(dataset) == (2, 2)
        assert self.read_again(dataset, fresh=True) == (0, 2)

    def test_bits_that_rot_without_a_trace_are_found_within_a_week(
        self, dataset: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (dataset / "train-00002.h5").unlink()
        assert self.read_again(dataset) == (0, 1)
        path = dataset / "train-00001.h5"
        flip_a_bit(path)
        lines = [json.loads(line) for line in (dataset / JOURNAL_NAME).read_bytes().splitlines()]
        entry = next(line for line in lines if line["shard"] == path.name)
        entry["file"] = identity_of(path)
        (dataset / JOURNAL_NAME).write_text(json.dumps(entry))
        assert self.read_again(dataset) == (1, 1)
        entry["time"] -= 8 * 24 * 3600
        (dataset / JOURNAL_NAME).write_text(json.dumps(entry))
        assert self.read_again(dataset) == (0, 2)

    def test_another_index_voids_it(self, dataset: Path) -> None:
        (dataset / "train-00000.h5").unlink()
        assert self.read_again(dataset) == (0, 1)
        edit(dataset / "index.json", lambda index: index["recipe"].update(seed=3))
        assert self.read_again(dataset)[0] == 0

    @pytest.mark.parametrize("line", [b"{", b"[" * 9999, b"7", b'{"index": 1}', b"\xff", b"null"])
    def test_damaged_lines_say_nothing(self, dataset: Path, line: bytes) -> None:
        (dataset / JOURNAL_NAME).write_bytes(line + b"\n")
        assert self.read_again(dataset) == (0, 0)


class TestShards:
    def test_missing_truncated_extended_swapped(self, dataset: Path) -> None:
        (dataset / "train-00000.h5").unlink()
        os.truncate(dataset / "train-00001.h5", 5000)
        with (dataset / "train-00002.h5").open("ab") as file:
            file.write(b"\0")
        shutil.copy(dataset / "train-00002.h5", dataset / "val-00000.h5")
        assert problems_of(dataset) == [
            ("train-00000.h5", None, "file"),
            ("train-00001.h5", None, "size"),
            ("train-00002.h5", None, "size"),
            ("val-00000.h5", None, "size"),
        ]

    @pytest.mark.parametrize(
        ("name", "value", "problem"),
        [
            ("images/edge", 2, "holds 2, expected 0 and 1 only"),
            ("images/mask", 21, "holds 21, expected 0..20 or 255"),
            ("images/mask", 254, "holds 254, expected 0..20 or 255"),
        ],
    )
    def test_values_out_of_range(self, dataset: Path, name: str, value: int, problem: str) -> None:
        with h5py.File(dataset / "train-00001.h5", "r+") as file:
            file[name][file["images/start"][1] + 3] = value
        resign(dataset, "train-00001.h5")
        assert verify_dataset(dataset, jobs=1).problems == (
            Problem(shard="train-00001.h5", image="d_4", field=name.split("/")[1], message=problem),
        )

    def test_input_that_is_not_label_plus_texture(self, dataset: Path) -> None:
        with h5py.File(dataset / "val-00000.h5", "r+") as file:
            file["samples/input"][-1] = file["samples/input"][-1] ^ np.array([1, 0, 1], np.uint8)
        resign(dataset, "val-00000.h5")
        assert verify_dataset(dataset, jobs=1).problems == (
            Problem(
                shard="val-00000.h5",
                image="w_2",
                field="input",
                message="input 1 is not label + texture: 2 of 4185 values differ",
            ),
        )

    def test_damaged_values_are_located_beside_the_hash(self, dataset: Path) -> None:
        with h5py.File(dataset / "val-00000.h5", "r+") as file:
            file["images/mask"][0] = 99
        assert problems_of(dataset) == [
            ("val-00000.h5", None, "blake3"),
            ("val-00000.h5", "v_1", "mask"),
        ]

    def test_content_of_another_dataset(self, dataset: Path) -> None:
        with h5py.File(dataset / "val-00000.h5", "r+") as file:
            file.attrs["digest"] = np.bytes_(b"0" * 64)
            file.attrs["recipe"] = np.bytes_(b"{}")
            file["images/id"][0] = b"other"
        resign(dataset, "val-00000.h5")
        assert problems_of(dataset) == [
            ("val-00000.h5", None, "digest"),
            ("val-00000.h5", None, "recipe"),
            ("val-00000.h5", None, "images"),
        ]

    def test_no_hdf5_at_all(self, dataset: Path) -> None:
        path = dataset / "val-00000.h5"
        path.write_bytes(b"x" * path.stat().st_size)
        resign(dataset, "val-00000.h5")
        assert problems_of(dataset) == [("val-00000.h5", None, "schema")]

    def test_pipe_that_would_never_end(self, dataset: Path) -> None:
        path = dataset / "val-00000.h5"
        path.unlink()
        os.mkfifo(path)
        assert problems_of(dataset) == [("val-00000.h5", None, "size")]


class TestFiles:
    @pytest.mark.parametrize("name", ["plan.json", "train-00000.json", JOURNAL_NAME])
    def test_json_that_would_never_end(self, dataset: Path, name: str) -> None:
        (dataset / name).unlink(missing_ok=True)
        os.mkfifo(dataset / name)
        expected = [] if name == JOURNAL_NAME else [(None, None, name)]
        assert problems_of(dataset) == expected

    def test_extra_files(self, dataset: Path) -> None:
        (dataset / "train-00009.h5").write_bytes(b"x")
        (dataset / ".index.json.1.tmp").write_bytes(b"x")
        (dataset / "README.md").write_text("a card")
        assert problems_of(dataset) == [
            (None, None, ".index.json.1.tmp"),
            ("train-00009.h5", None, "train-00009.h5"),
        ]

    def test_missing_sidecar_and_plan(self, dataset: Path) -> None:
        (dataset / "train-00000.json").unlink()
        (dataset / "plan.json").unlink()
        assert problems_of(dataset) == [
            (None, None, "plan.json"),
            (None, None, "train-00000.json"),
        ]

    @pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
    def test_damaged_json(self, dataset: Path, content: bytes) -> None:
        (dataset / "train-00000.json").write_bytes(content)
        assert problems_of(dataset) == [(None, None, "train-00000.json")]
        (dataset / "index.json").write_bytes(content)
        assert problems_of(dataset) == [(None, None, "index.json")]

    def test_no_index_yet(self, dataset: Path) -> None:
        (dataset / "index.json").unlink()
        (problem,) = verify_dataset(dataset, jobs=1).problems
        assert "its build has not finished" in problem.message

    def test_archive(self, pristine_dataset: Path, tmp_path: Path) -> None:
        pack_dataset(pristine_dataset, tmp_path / "archive", jobs=1)
        with pytest.raises(DatasetError, match=r"is an archive\. Unpack it"):
            verify_dataset(tmp_path / "archive")

    def test_no_dataset(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="holds no dataset"):
            verify_dataset(tmp_path)
        with pytest.raises(InputError, match="is not a folder"):
            verify_dataset(tmp_path / "missing")

    @pytest.mark.parametrize(
        "change",
        [
            lambda c: c["recipe"].update(seed=7),
            lambda c: c["versions"].update(numpy="1.0"),
            lambda c: c["totals"].update(images=8),
            lambda c: c["textures"].popitem(),
            lambda c: c["labels"][0].update(count=8),
            lambda c: c.update(failed_checks=1),
            lambda c: c["table"].update(bytes=2**40),
            lambda c: c.update(splits=["train"]),
            lambda c: c.update(maps={}),
            lambda c: c.update(maps=[1]),
            lambda c: c["maps"]["images"].update(edge=2**40),
            lambda c: c["maps"]["images"].pop("edge"),
            lambda c: c.update(version=0),
            lambda c: c.update(digest="0" * 64),
        ],
    )
    def test_changed_index(self, dataset: Path, change: Callable[[dict[str, Any]], object]) -> None:
        edit(dataset / "index.json", change)
        assert verify_dataset(dataset, jobs=1).problems

    @pytest.mark.parametrize(
        "change",
        [
            {"sha256": lambda c: c[0].fill(7)},
            {"blake3": lambda c: c[0].fill(7)},
            {"blake3": lambda c: c.fill(0)},
            {"sidecar": lambda c: c[0].fill(7)},
            {"bytes": lambda c: c + 1},
            {"shapes": lambda c: c[:, ::-1]},
            {"samples": lambda c: c + 1},
            {"split": lambda c: c * 0},
            {"images": lambda c: np.roll(c, 1)},
        ],
    )
    def test_changed_table_that_was_signed_again(
        self, dataset: Path, change: dict[str, Callable[[Any], Any]]
    ) -> None:
        edit_table(dataset, **change)
        assert verify_dataset(dataset, jobs=1).problems

    def test_photograph_in_two_splits(self, dataset: Path) -> None:
        def move(ids: Any) -> None:
            ids[-1] = b"a_1"

        edit_table(dataset, ids=move)
        first = verify_dataset(dataset, jobs=1).problems[0]
        assert first == Problem(
            shard=None,
            image="a_1",
            field="id",
            message="is listed 2 times in the index, in train and val",
        )
