"""The compiled copying of windows: what NumPy gives, and an error where a file was cut short."""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from vocsmooth.errors import DatasetError
from vocsmooth.libraries import load_library
from vocsmooth.shards import Split, native, open_dataset
from vocsmooth.shards.disk import DiskWatch
from vocsmooth.shards.windows import MappedShards

pytestmark = pytest.mark.skipif(native.library is None, reason="it was not compiled")

SIZE = 9


@pytest.fixture
def split(dataset: Path) -> Split:
    """A split of a dataset that may be damaged."""
    return open_dataset(dataset).split("train")


def draw(split: Split, count: int = 64) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw samples and corners of windows."""
    rng = np.random.default_rng(0)
    samples = rng.integers(len(split), size=count)
    room = split.shapes[samples] - SIZE
    return samples, rng.integers(0, room[:, 0] + 1), rng.integers(0, room[:, 1] + 1)


def test_says_what_reads_and_what_is_lost_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert native.describe().startswith("C (_native")
    monkeypatch.setattr(native, "library", None)
    assert native.describe().startswith("NumPy, slower, and a shard that is cut short")
    with pytest.raises(RuntimeError, match="was not built"):
        native.checksum(b"")


def test_a_library_of_another_version_is_refused() -> None:
    assert native.library is not None
    path, one = Path(native.library._name), native.INTERFACE
    assert load_library(path, one).library is not None

    class Task(ctypes.Structure):
        _fields_ = (*native.Task._fields_[1:], native.Task._fields_[0])

    for other, reason in (
        (one._replace(abi=one.abi + 1), f"its ABI is {one.abi}, expected {one.abi + 1}"),
        (one._replace(structs=(native.Map, Task)), "Task.rows is n64 at byte 8, expected n64 at"),
        (one._replace(functions={"missing": (None, ())}), "it lacks missing"),
    ):
        loaded = load_library(path, other)
        assert loaded.library is None
        assert loaded.refusal.startswith(f"{path.name} was built from other sources: {reason}")


def test_gives_what_numpy_gives(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    maps = tuple(split[0])
    assert {"input", "label", "texture", "mask"} <= set(maps)
    samples, tops, lefts = draw(split)
    found = split.crop(samples, tops, lefts, SIZE, maps), [split[i] for i in range(len(split))]
    monkeypatch.setattr(native, "library", None)
    expected = split.crop(samples, tops, lefts, SIZE, maps), list(split)
    for ours, other in zip([found[0], *found[1]], [expected[0], *expected[1]], strict=True):
        for name in maps:
            assert ours[name].dtype == other[name].dtype
            np.testing.assert_array_equal(ours[name], other[name])


def test_takes_corners_that_do_not_lie_side_by_side_in_memory(split: Split) -> None:
    draws = np.stack(draw(split), axis=1)
    found = split.crop(draws[:, 0], draws[:, 1], draws[:, 2], SIZE, ["label"])["label"]
    samples, tops, lefts = (column.tolist() for column in draws.T)
    expected = split.crop(samples, tops, lefts, SIZE, ["label"])["label"]
    np.testing.assert_array_equal(found, expected)


def test_no_windows_and_no_maps(split: Split) -> None:
    assert split.crop([], [], [], SIZE, ["label"])["label"].shape == (0, SIZE, SIZE, 3)
    assert split.crop([0], [0], [0], SIZE, []) == {}


class TestAFileThatIsCutShort:
    def test_at_any_length_is_an_error_and_no_zeros(self, split: Split, dataset: Path) -> None:
        path, samples = dataset / "train-00000.h5", range(int(split.shard_sizes[0]))
        whole, expected = path.read_bytes(), [split[sample] for sample in samples]
        last_page = (len(whole) - 1) // mmap.PAGESIZE * mmap.PAGESIZE
        cuts = [*range(0, len(whole), 1777), last_page - 1, *range(last_page, len(whole), 301)]
        for length in [*cuts, len(whole) - 1]:
            os.truncate(path, length)
            for sample in samples:
                if length <= last_page:
                    message = f"length from {len(whole)} to {length} bytes"
                    with pytest.raises(DatasetError, match=message):
                        split.read(sample, ["edge"])
                try:
                    found = split[sample]
                except DatasetError:
                    continue
                for name, pixels in found.items():
                    np.testing.assert_array_equal(pixels, expected[sample][name])
            with path.open("r+b") as file:
                file.write(whole)
        for name, pixels in split[0].items():
            np.testing.assert_array_equal(pixels, expected[0][name])

    def test_is_noticed_while_pages_come_from_a_slow_disk(
        self, split: Split, dataset: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        split.read(0, ["label"])
        monkeypatch.setattr(split, "_disk", DiskWatch(always=True))
        split.read(0, ["label"])
        path = dataset / "train-00000.h5"  # of whose last page no edge is
        os.truncate(path, path.stat().st_size - 1)
        with pytest.raises(DatasetError, match="changed its length"):
            split.crop([0], [0], [0], SIZE, ["edge"])

    def test_is_noticed_whoever_handles_the_signal(self, split: Split, dataset: Path) -> None:
        split.read(0, ["label"])
        os.truncate(dataset / "train-00000.h5", 0)
        before = signal.signal(signal.SIGBUS, signal.SIG_DFL)
        try:
            for handler in (signal.SIG_DFL, lambda *_: None):
                signal.signal(signal.SIGBUS, handler)
                with pytest.raises(DatasetError, match="changed its length"):
                    split.read(0, ["label"])
        finally:
            signal.signal(signal.SIGBUS, before)

    def test_is_noticed_by_every_thread(self, split: Split, dataset: Path) -> None:
        split.read(0, ["label"])
        os.truncate(dataset / "train-00000.h5", 0)

        def attempt(sample: int) -> bool:
            try:
                split.read(sample, ["label"])
            except DatasetError:
                return False
            return True

        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(attempt, [0, 4] * 200))
        assert found == [False, True] * 200


@pytest.mark.parametrize("others", ["", "import faulthandler; faulthandler.enable()"])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("fault", ["lost[5000]", "os.kill(os.getpid(), signal.SIGBUS)"])
def test_faults_of_others_end_the_process_as_before(
    pristine_dataset: Path, others: str, first: bool, fault: str
) -> None:
    read = f"open_dataset({str(pristine_dataset)!r}).split('train').read(0, ['label'])"
    lines = [others, read] if first else [read, others, read]
    code = "\n".join(
        [
            "import mmap, os, signal, tempfile",
            "from vocsmooth.shards import open_dataset",
            *lines,
            "file = tempfile.TemporaryFile()",
            "file.truncate(8192)",
            "lost = mmap.mmap(file.fileno(), 8192)",
            "file.truncate(0)",
            fault,
        ]
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == -signal.SIGBUS
    assert ended.stderr.count("Fatal Python error: Bus error") == bool(others)


@pytest.mark.parametrize("handled", [True, False])
def test_a_signal_that_was_sent_is_left_to_others(pristine_dataset: Path, handled: bool) -> None:
    code = "\n".join(
        [
            "import os, signal",
            "from vocsmooth.shards import open_dataset",
            f"split = open_dataset({str(pristine_dataset)!r}).split('train')",
            "signal.signal(signal.SIGBUS, lambda *_: print('called'))" if handled else "",
            *["split.read(0, ['label'])", "os.kill(os.getpid(), signal.SIGBUS)"] * 3,
            "print('end')",
        ]
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout.split() == (["called"] * 3 + ["end"] if handled else [])
    assert ended.returncode == (0 if handled else -signal.SIGBUS)


def test_many_threads_are_the_first_to_touch_a_shard(dataset: Path) -> None:
    expected = open_dataset(dataset).split("train").read(0, ["label"])["label"]
    for _ in range(20):
        split = open_dataset(dataset).split("train")
        with ThreadPoolExecutor(8) as threads:
            for found in threads.map(lambda _, split=split: split.read(0, ["label"]), range(16)):
                np.testing.assert_array_equal(found["label"], expected)
        assert list(split._open) == [0]


def test_many_threads_read_while_shards_are_unmapped(
    split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, tops, lefts = draw(split, 600)
    expected = split.crop(samples, tops, lefts, SIZE, ["label"])["label"]
    monkeypatch.setattr("vocsmooth.shards.windows._MOST_MAPPED", 2)

    def crop(start: int) -> np.ndarray:
        chosen = slice(start, start + 2)
        return split.crop(samples[chosen], tops[chosen], lefts[chosen], SIZE, ["label"])["label"]

    with ThreadPoolExecutor(4) as threads:
        found = np.concatenate(list(threads.map(crop, range(0, 600, 2))))
    np.testing.assert_array_equal(found, expected)


def test_more_shards_in_a_batch_than_stay_mapped(
    split: Split, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = split.crop(*draw(split), SIZE, ["label"])["label"]
    monkeypatch.setattr("vocsmooth.shards.windows._MOST_MAPPED", 1)
    split = open_dataset(dataset).split("train")
    found = split.crop(*draw(split), SIZE, ["label"])["label"]
    np.testing.assert_array_equal(found, expected)
    assert isinstance(split._open, MappedShards)
    assert len(split._open) == 1


@pytest.mark.parametrize("field", [0, 255, -255, 256, -256, 32767, -32768, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_inputs_agree_as_numpy_says(field: int, channels: int) -> None:
    rng = np.random.default_rng(1)
    for pixels in (0, 1, 31, 33, 1024, 2500):
        label = rng.integers(0, 256, (pixels + 7, 3), np.uint8)
        texture = np.full((pixels + 2, channels), field, np.int16)
        texture[::7, channels // 2] -= 1
        image = np.zeros((pixels + 2, 3), np.uint8)
        image[2:] = (label[7:].astype(int) + texture[2:]).clip(0, 255)
        inputs = native.Inputs(image, label, texture[:, 0] if channels == 1 else texture)
        assert inputs.agree(2, pixels, 7)
        for place in range(6, image.size, 97):
            image.flat[place] ^= 1
            assert not inputs.agree(2, pixels, 7)
            image.flat[place] ^= 1
        for beyond in ((3, pixels, 7), (2, pixels, 8), (-1, 1, 0), (0, 1, -1), (2, -1, 7)):
            with pytest.raises(IndexError):
                inputs.agree(*beyond)


@pytest.mark.parametrize(
    ("shapes", "field"),
    [
        (((5, 3), (5, 3), (5, 1)), np.int16),  # has 5 values, where C would read 15
        (((5, 3), (5, 3), (5, 2)), np.int16),
        (((5, 3), (5, 3), (4,)), np.int16),
        (((5, 3), (5,), (5, 3)), np.int16),
        (((5,), (5,), (5,)), np.int16),
        (((5, 3), (5, 3), (5, 3)), np.int8),
        (((5, 3), (5, 3), (5,)), np.int32),
    ],
)
def test_inputs_that_c_would_read_beyond_are_refused(
    shapes: tuple[tuple[int, ...], ...], field: type[np.integer]
) -> None:
    image, label = (np.zeros(shape, np.uint8) for shape in shapes[:2])
    texture: np.ndarray = np.zeros(shapes[2], field)
    with pytest.raises(ValueError, match=re.escape(f"{texture.dtype} {texture.shape}")):
        native.Inputs(image, label, texture)


def test_inputs_that_do_not_lie_side_by_side_are_refused() -> None:
    image, texture = np.zeros((5, 3), np.uint8), np.zeros(5, np.int16)
    with pytest.raises(ValueError, match="expected uint8"):
        native.Inputs(np.zeros((10, 3), np.uint8)[::2], image, texture)


def test_a_record_is_written_whole_and_nothing_beside_it() -> None:
    records = np.zeros((3, 7), np.uint64)
    fields = np.arange(2**64 - 7, 2**64, dtype=np.uint64)
    native.publish(records[1], fields)
    np.testing.assert_array_equal(records, [np.zeros(7), fields, np.zeros(7)])
