"""Of parts that start together one lists; one that dies, fails or freezes holds nobody up."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from helpers import content_of

from vocsmooth.dataset import build, claim
from vocsmooth.dataset.claim import CLAIM_NAME, found_or_claimed
from vocsmooth.errors import InputError
from vocsmooth.files import HOST
from vocsmooth.maps.recipe import Recipe
from vocsmooth.sources.listing import Photographs
from vocsmooth.sources.voc import list_photographs as list_of_tree

HOLDER = """
import sys, time
from pathlib import Path
from vocsmooth.dataset.claim import found_or_claimed
with found_or_claimed(Path(sys.argv[1]), sys.argv[2], lambda: None):
    print("claimed", flush=True)
    time.sleep(1000)
"""


@pytest.fixture
def counted_listings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Hold one number for each time that a tree was listed."""
    listings: list[int] = []

    def list_photographs(*args: Any, **kwargs: Any) -> Photographs:
        listings.append(1)
        return list_of_tree(*args, **kwargs)

    monkeypatch.setattr(build, "list_photographs", list_photographs)
    return listings


@pytest.fixture
def claimed_by(tmp_path: Path) -> Iterator[Callable[[str], "subprocess.Popen[str]"]]:
    """Hold a function that lets another process claim a key in `tmp_path`."""
    processes = []

    def begin(key: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, tmp_path, key], stdout=subprocess.PIPE, text=True
        )
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "claimed\n"
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def test_parts_that_start_together_list_once(
    pristine_tree: Path,
    pristine_dataset: Path,
    recipe: Recipe,
    tmp_path: Path,
    counted_listings: list[int],
) -> None:
    start = threading.Barrier(5)

    def run(number: int) -> None:
        start.wait()
        build.build_dataset(pristine_tree, tmp_path, recipe, jobs=1, part=(number, 5))

    with ThreadPoolExecutor(5) as threads:
        list(threads.map(run, range(1, 6)))
    assert len(counted_listings) == 1
    assert content_of(tmp_path) == content_of(pristine_dataset)


def test_the_others_wait_until_it_is_found_and_only_for_the_same(
    tmp_path: Path, claimed_by: Callable[[str], object]
) -> None:
    claimed_by("key")
    looks = iter([None, None, None, "found"])
    with found_or_claimed(tmp_path, "key", lambda: next(looks)) as found:
        assert found == "found"
    assert next(looks, "all used") == "all used"
    with found_or_claimed(tmp_path, "another", lambda: None) as found:
        assert found is None
    assert (tmp_path / CLAIM_NAME).read_text().startswith("key ")  # and leave it


def test_a_living_one_is_waited_for_as_long_as_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "PATIENCE", 0.5)
    monkeypatch.setattr(claim, "_SECONDS_BETWEEN_RENEWALS", 0.1)
    made: list[str] = []
    with ThreadPoolExecutor() as threads, found_or_claimed(tmp_path, "key", lambda: None):

        def wait() -> str | None:
            with found_or_claimed(tmp_path, "key", lambda: next(iter(made), None)) as found:
                return found

        waiting = threads.submit(wait)
        with pytest.raises(futures.TimeoutError):
            waiting.result(2)
        made.append("made")
    assert waiting.result() == "made"


def test_what_was_made_between_the_look_and_the_claim_is_found(tmp_path: Path) -> None:
    looks = iter([None, "made"])
    with found_or_claimed(tmp_path, "key", lambda: next(looks)) as found:
        assert found == "made"


def test_a_killed_one_is_waited_for_no_longer(
    pristine_tree: Path,
    pristine_dataset: Path,
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    claimed_by: Callable[[str], "subprocess.Popen[str]"],
    counted_listings: list[int],
) -> None:
    monkeypatch.setattr(build, "listing_key", lambda *_: "key")
    holder = claimed_by("key")
    with ThreadPoolExecutor() as threads:
        part = threads.submit(
            build.build_dataset, pristine_tree, tmp_path, recipe, jobs=1, part=(2, 2)
        )
        with pytest.raises(futures.TimeoutError):
            part.result(1)
        before = (list(counted_listings), set(content_of(tmp_path)))
        holder.kill()
        holder.wait()
        assert part.result().missing
    assert before == ([], {CLAIM_NAME})
    assert len(counted_listings) == 1
    build.build_dataset(pristine_tree, tmp_path, recipe, jobs=1, part=(1, 2))
    assert content_of(tmp_path) == content_of(pristine_dataset)


def test_a_terminated_one_leaves_nothing(
    pristine_tree: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def terminate(*_: object, **__: object) -> None:
        assert (tmp_path / "new" / "out" / CLAIM_NAME).exists()
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(build, "list_photographs", terminate)
    with pytest.raises(KeyboardInterrupt):
        build.build_dataset(pristine_tree, tmp_path / "new" / "out", recipe, part=(1, 2))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "there",
    [
        f"key another-host {os.getpid()} 1",
        f"key {HOST} {os.getpid()} 1",
        "no claim",
        "",
        b"\xff",
        "9" * 5000,
    ],
    ids=["another host's", "a frozen process's", "not a claim", "empty", "not text", "long"],
)
def test_patience_ends(
    there: str | bytes,
    pristine_tree: Path,
    pristine_dataset: Path,
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / CLAIM_NAME).write_bytes(there if isinstance(there, bytes) else there.encode())
    monkeypatch.setattr(claim, "PATIENCE", 0.3)
    monkeypatch.setattr(build, "listing_key", lambda *_: "key")
    for number in (1, 2):
        build.build_dataset(pristine_tree, tmp_path, recipe, jobs=1, part=(number, 2))
    assert content_of(tmp_path) == content_of(pristine_dataset)


@pytest.mark.parametrize("key", ["key", "another"])
@pytest.mark.parametrize("process", [2**22 + 1, 10**19])
def test_the_claim_of_a_process_that_cannot_be_running_is_taken_over(
    process: int, key: str, tmp_path: Path
) -> None:
    (tmp_path / CLAIM_NAME).write_text(f"{key} {HOST} {process} 1")
    with found_or_claimed(tmp_path, "key", lambda: None) as found:
        assert found is None
        assert (tmp_path / CLAIM_NAME).read_text().startswith(f"key {HOST} {os.getpid()} ")
    assert not list(tmp_path.iterdir())


def test_one_that_fails_holds_nobody_up_and_leaves_nothing(
    pristine_tree: Path, recipe: Recipe, tmp_path: Path
) -> None:
    ids, out = tmp_path / "ids.txt", tmp_path / "new" / "out"
    ids.write_text("not_there")

    def run(number: int) -> None:
        with pytest.raises(InputError, match="not_there"):
            build.build_dataset(pristine_tree, out, recipe, ids_file=ids, part=(number, 3))

    run(1)
    assert list(tmp_path.iterdir()) == [ids]
    out.mkdir(parents=True)
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(run, range(1, 4)))
    assert not list(out.iterdir())  # and the folder is there, as it was before


def test_where_none_can_be_written_each_goes_on_alone(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for out in (file, file / "below"):
        with found_or_claimed(out, "key", lambda: None) as found:
            assert found is None
    assert list(tmp_path.iterdir()) == [file]
