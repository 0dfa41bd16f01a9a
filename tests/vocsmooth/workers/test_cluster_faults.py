"""Faults that meet a build on many machines: what is on disk in the end is as if nothing had been.

`make test` runs the first of each kind, `make soak` (SOAK=1) all, and prints after how many seconds
each fault was noticed.
"""

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from distributed import Client
from helpers import content_of
from PIL import Image
from processes import alive, kind_of, processes_under, seconds_until, stopped

from vocsmooth.dataset.build import Progress, build_dataset
from vocsmooth.errors import ClusterError
from vocsmooth.maps.recipe import Recipe, Shards
from vocsmooth.sources.tree import Entry, write_tree

SOAK = bool(os.environ.get("SOAK"))

soak_only = pytest.mark.skipif(not SOAK, reason="needs SOAK=1")

PHOTOGRAPHS = 24

KILLS = 8 if SOAK else 3
"""Four deaths over one photograph make it a suspect: three cannot."""

Process = subprocess.Popen[bytes]

RunScheduler = Callable[..., AbstractContextManager[tuple[str, Process]]]

RunWorker = Callable[..., AbstractContextManager[Process]]

FULL_DISK = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
"""The system refuses to let a file grow as a full disk does."""


@pytest.fixture(scope="module")
def busy_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs that take some tenths of a second each."""
    root = tmp_path_factory.mktemp("busy")
    rng = np.random.default_rng(1)
    names = [f"p{number:02d}" for number in range(PHOTOGRAPHS)]

    def draw(name: str) -> Entry:
        photograph = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).resize((400, 300))
        return Entry(name, np.asarray(photograph), np.zeros((300, 400), np.uint8))

    splits = {"train": names[:-4], "val": names[-4:]}
    write_tree(root, splits, map(draw, names), sources="drawn for tests", suffix=".jpg")
    return root


@pytest.fixture(scope="module")
def busy_recipe(recipe: Recipe) -> Recipe:
    """One photograph a shard."""
    return replace(recipe, shards=Shards(images=1))


@pytest.fixture(scope="module")
def expected(
    busy_tree: Path, busy_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """The bytes of a local build."""
    out = tmp_path_factory.mktemp("local")
    build_dataset(busy_tree, out, busy_recipe, jobs=2)
    return content_of(out)


@pytest.mark.parametrize("seed", range(6 if SOAK else 1))
def test_random_kills(
    scheduler: tuple[str, Process],
    run_worker: RunWorker,
    busy_tree: Path,
    busy_recipe: Recipe,
    expected: dict[str, bytes],
    tmp_path: Path,
    seed: int,
) -> None:
    """Nannies, workers and their children die at any moment; of two machines only children may."""
    (file, _), rng, out = scheduler, random.Random(seed), tmp_path / "out"
    killed: list[str] = []
    done = threading.Event()
    with (
        run_worker(file) as one,
        run_worker(file) as other,
        run_worker(file) as third,
        run_worker(file) as fourth,
    ):

        def kill_some() -> None:
            while not done.wait(rng.uniform(0.1, 1)) and len(killed) < KILLS:
                family = [*processes_under(one.pid), *processes_under(other.pid)[1:]]
                children = [p for w in (third, fourth) for p in processes_under(w.pid)[2:]]
                victim = rng.choice([*family, *children])
                if any(out.glob("*.h5")):
                    killed.append(kind_of(victim))
                    os.kill(victim, signal.SIGKILL)

        with ThreadPoolExecutor(1) as thread:
            killing = thread.submit(kill_some)
            try:
                build_dataset(busy_tree, out, busy_recipe, scheduler=file)
            finally:
                done.set()
            killing.result()
        workers = (one, other, third, fourth)
        family = [p for worker in workers for p in processes_under(worker.pid)]
    assert killed
    assert content_of(out).items() >= expected.items()
    seconds_until(lambda: not alive(family))
    # A child that outlives its worker may end in the middle of a write, after all is complete.
    build_dataset(busy_tree, out, busy_recipe, jobs=1)
    assert content_of(out) == expected
    print(f"\nkilled, in this order: {', '.join(killed)}")


@soak_only
def test_a_worker_that_is_killed_is_missed(
    scheduler: tuple[str, Process], run_worker: RunWorker
) -> None:
    (file, _) = scheduler
    with run_worker(file, "--no-nanny") as victim, run_worker(file), listing(file) as workers:
        seconds_until(lambda: len(workers()) == 2)
        os.killpg(victim.pid, signal.SIGKILL)
        seconds = seconds_until(lambda: len(workers()) == 1)
    print(f"\na killed worker was noticed after {seconds:.1f} s")


@soak_only
def test_a_slow_worker_delays_its_shard_and_nothing_else(
    scheduler: tuple[str, Process],
    run_worker: RunWorker,
    busy_tree: Path,
    busy_recipe: Recipe,
    expected: dict[str, bytes],
    tmp_path: Path,
) -> None:
    """All processes of a machine stand still for some seconds, again and again."""
    (file, _), out = scheduler, tmp_path / "out"
    done = threading.Event()
    with run_worker(file) as slow, run_worker(file) as other:

        def halt() -> int:
            halts = 0
            while not done.wait(0.5):
                with stopped(slow.pid):
                    done.wait(2)
                halts += 1
            return halts

        with ThreadPoolExecutor(1) as thread:
            halting = thread.submit(halt)
            try:
                build_dataset(busy_tree, out, busy_recipe, scheduler=file)
            finally:
                done.set()
            assert halting.result() > 1
        family = [p for worker in (slow, other) for p in processes_under(worker.pid)]
    seconds_until(lambda: not alive(family))
    assert content_of(out) == expected


@soak_only
def test_a_worker_that_stands_still_is_given_up_and_may_wake_later(
    tmp_path: Path,
    run_scheduler: RunScheduler,
    run_worker: RunWorker,
    busy_tree: Path,
    busy_recipe: Recipe,
    expected: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After the scheduler's time limit (minutes, here seconds) its shards go to the other one."""
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL", "6s")
    out, halted = tmp_path / "out", list[float]()
    with (
        run_scheduler(tmp_path) as (file, _),
        run_worker(file) as still,
        run_worker(file),
        listing(file) as workers,
        ThreadPoolExecutor(1) as thread,
    ):

        def halt(progress: Progress) -> None:
            if progress.done and not halted:
                halted.append(time.monotonic())
                for process in processes_under(still.pid):
                    os.kill(process, signal.SIGSTOP)

        def notice() -> float:
            seconds_until(lambda: bool(halted) and len(workers()) == 1)
            return time.monotonic()

        noticing = thread.submit(notice)
        try:
            build_dataset(busy_tree, out, busy_recipe, scheduler=file, progress=halt)
            assert content_of(out).items() >= expected.items()
            print(
                f"\nnoticed {noticing.result() - halted[0]:.1f} s after it stood still (limit 6 s)"
            )
        finally:
            for process in processes_under(still.pid):
                os.kill(process, signal.SIGCONT)
    assert build_dataset(busy_tree, out, busy_recipe, jobs=1).complete_before
    assert content_of(out) == expected


@soak_only
def test_a_scheduler_that_is_restarted(
    tmp_path: Path,
    run_scheduler: RunScheduler,
    run_worker: RunWorker,
    busy_tree: Path,
    busy_recipe: Recipe,
    expected: dict[str, bytes],
) -> None:
    """The build ends with one line, the workers end themselves, and the same command goes on."""
    out, lost = tmp_path / "out", list[float]()
    with (
        run_scheduler(tmp_path) as (file, process),
        run_worker(file) as one,
        run_worker(file) as other,
    ):

        def kill(progress: Progress) -> None:
            if progress.done >= 4 and not lost:
                lost.append(time.monotonic())
                os.killpg(process.pid, signal.SIGKILL)

        family = [p for worker in (one, other) for p in processes_under(worker.pid)]
        with pytest.raises(ClusterError, match="The scheduler is gone"):
            build_dataset(busy_tree, out, busy_recipe, scheduler=file, progress=kill)
        noticed = time.monotonic() - lost[0]
        seconds = seconds_until(lambda: not alive(family))
        print(f"\nnoticed after {noticed:.1f} s; workers had ended {seconds:.1f} s later")
    made = {path: path.stat().st_mtime_ns for path in out.glob("*.h5")}
    assert 4 <= len(made) < PHOTOGRAPHS
    Path(file).unlink()
    with run_scheduler(tmp_path) as (file, _), run_worker(file), run_worker(file):
        build_dataset(busy_tree, out, busy_recipe, scheduler=file)
    assert content_of(out) == expected
    assert all(path.stat().st_mtime_ns == written for path, written in made.items())


@soak_only
def test_a_worker_with_a_full_disk_is_named_and_the_rest_is_kept(
    scheduler: tuple[str, Process],
    run_worker: RunWorker,
    busy_tree: Path,
    busy_recipe: Recipe,
    expected: dict[str, bytes],
    tmp_path: Path,
) -> None:
    (file, _), out = scheduler, tmp_path / "out"
    with run_worker(file) as healthy, listing(file) as workers:
        with run_worker(file, "--no-nanny", first=FULL_DISK) as full:
            seconds_until(lambda: len(workers()) == 2)
            began = time.monotonic()
            with pytest.raises(OSError, match=r"on \S+: File too large; nothing is half-written"):
                build_dataset(busy_tree, out, busy_recipe, scheduler=file)
            print(f"\nnoticed within {time.monotonic() - began:.1f} s")
            family = processes_under(full.pid)
        seconds_until(lambda: not alive(family))
        assert all(data == expected[name] for name, data in content_of(out).items())
        build_dataset(busy_tree, out, busy_recipe, scheduler=file)
        family = processes_under(healthy.pid)
    seconds_until(lambda: not alive(family))
    assert content_of(out) == expected


@contextmanager
def listing(file: str) -> Iterator[Callable[[], list[str]]]:
    """Yield a function that returns the workers that a scheduler knows."""
    with Client(scheduler_file=file, set_as_default=False) as client:
        yield lambda: list(client.scheduler_info(n_workers=-1)["workers"])
