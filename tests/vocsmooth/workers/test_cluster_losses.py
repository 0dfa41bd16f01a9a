"""What a running build on a Dask cluster may lose: workers, their processes, the scheduler.

All of it takes minutes: `make soak` (SOAK=1) runs it.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest
from helpers import content_of, memory_of
from PIL import Image
from processes import processes_under

from vocsmooth.dataset.build import Progress, build_dataset
from vocsmooth.dataset.make import package_versions
from vocsmooth.errors import ClusterError
from vocsmooth.maps.recipe import Recipe
from vocsmooth.settings import recipe_toml, to_dict
from vocsmooth.workers.cluster import cluster_runner, connected
from vocsmooth.workers.processes import WorkerDied

pytestmark = pytest.mark.skipif(not os.environ.get("SOAK"), reason="needs SOAK=1")

OTHER_VERSION = "import vocsmooth; vocsmooth.__version__ = '9.9'"

KILL_THE_WORKER = "__import__('os').kill(__import__('os').getppid(), 9)"

Scheduler = tuple[str, subprocess.Popen[bytes]]

RunWorker = Callable[..., AbstractContextManager[subprocess.Popen[bytes]]]


@pytest.mark.parametrize("option", ["--nanny", "--no-nanny"])
def test_a_worker_is_killed_mid_build(
    scheduler: Scheduler,
    run_worker: RunWorker,
    pristine_tree: Path,
    pristine_dataset: Path,
    recipe: Recipe,
    tmp_path: Path,
    option: str,
) -> None:
    """With a nanny it comes back, without one the other worker does its work."""
    file, _ = scheduler
    killed: list[int] = []
    with run_worker(file, option) as victim, run_worker(file, option):

        def kill(progress: Progress) -> None:
            if progress.done and not killed:
                killed.extend(processes_under(victim.pid)[option == "--nanny" :])
                for process in killed:
                    os.kill(process, signal.SIGKILL)

        summary = build_dataset(
            pristine_tree, tmp_path / "out", recipe, scheduler=file, progress=kill
        )
    assert killed
    assert (summary.images, summary.errors) == (7, 0)
    assert content_of(tmp_path / "out") == content_of(pristine_dataset)


def test_tasks_that_end_their_worker_cost_nobody_else(cluster: str) -> None:
    """Not only their own process: Dask gives such a task up after four deaths."""
    with connected(cluster, package_versions) as client:
        results = dict(
            cluster_runner(client, (), package_versions)(
                eval, ["1", KILL_THE_WORKER, "2", "3", "4"]
            )
        )
    assert results == {"1": 1, KILL_THE_WORKER: WorkerDied(), "2": 2, "3": 3, "4": 4}


def test_a_photograph_that_kills_its_process_is_left_out(
    cluster: str, tree: Path, recipe: Recipe, tmp_path: Path
) -> None:
    """It takes so much memory that a watchdog kills whoever works on it; locally and there."""
    size = (2500, 2000)
    Image.new("RGB", size, "gray").save(tree / "JPEGImages/c_3.jpg")
    Image.new("L", size).save(tree / "SegmentationClass/c_3.png")
    with watchdog(350e6) as kills:
        summary = build_dataset(tree, tmp_path / "there", recipe, scheduler=cluster)
    assert len(kills) >= 4  # its shard twice, and alone twice
    (left_out,) = summary.left_out
    assert (left_out.id, summary.images) == ("c_3", 6)
    assert "process that worked on it died" in left_out.reason
    with watchdog(350e6):
        build_dataset(tree, tmp_path / "here", recipe, jobs=1)
    assert content_of(tmp_path / "there") == content_of(tmp_path / "here")


def test_a_worker_of_other_versions_joins(scheduler: Scheduler, run_worker: RunWorker) -> None:
    file, _ = scheduler
    tasks = [f"[{i}, __import__('time').sleep(1)]" for i in range(30)]
    with (
        run_worker(file),
        connected(file, package_versions) as client,
        closing(cluster_runner(client, (), package_versions)(eval, tasks)) as results,
    ):
        next(results)
        with (
            run_worker(file, "--no-nanny", first=OTHER_VERSION),
            pytest.raises(ClusterError, match="joined with other versions of packages"),
        ):
            list(results)


@pytest.mark.parametrize("how", ["interrupt", "scheduler lost"])
def test_what_ends_a_build_is_one_line(
    scheduler: Scheduler,
    run_worker: RunWorker,
    pristine_tree: Path,
    pristine_dataset: Path,
    recipe: Recipe,
    tmp_path: Path,
    how: str,
) -> None:
    file, process = scheduler
    manifest, out = tmp_path / "recipe.toml", tmp_path / "out"
    manifest.write_text(recipe_toml(to_dict(recipe)))
    words = ["build", "--voc-root", pristine_tree, "--out", out, "--manifest", manifest]
    command = [sys.executable, "-c", "from vocsmooth_cli.dataset import main; main()", *words]
    with (
        run_worker(file),
        subprocess.Popen(
            [*map(str, command), "--scheduler", file],
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as build,
    ):
        assert build.stderr is not None
        while b"photographs: 0 of 7" not in build.stderr.readline():
            assert build.poll() is None
        if how == "interrupt":
            os.killpg(build.pid, signal.SIGINT)
            stopped = b"Interrupted. The same command continues where it stopped."
            expected, code = [b"", stopped], 130
        else:
            os.killpg(process.pid, signal.SIGKILL)
            expected, code = [b"Error: The scheduler is gone. Finished work is kept"], 1
        lines = build.stderr.read().splitlines()
        assert build.wait() == code
    lines = [line for line in lines if not line.startswith(b"photographs: ")]
    assert [line.split(b";")[0] for line in lines] == expected
    build_dataset(pristine_tree, out, recipe, jobs=1)
    assert content_of(out) == content_of(pristine_dataset)


@contextmanager
def watchdog(limit: float) -> Iterator[list[int]]:
    """Kill every descendant of ours that takes more than `limit` bytes, but no Dask process."""
    kills: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            for process in processes_under(os.getpid())[1:]:
                if memory_of(process) > limit:
                    os.kill(process, signal.SIGKILL)
                    kills.append(process)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield kills
    finally:
        done.set()
        thread.join()
