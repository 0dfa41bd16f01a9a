"""Builds on a real Dask cluster on this machine: a scheduler and two workers, some of them killed.

`make test` runs what ends in seconds, `make soak` (SOAK=1) all.
"""

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from PIL import Image

from vocsmooth.dataset.build import Progress, build_dataset
from vocsmooth.errors import ClusterError, InputError
from vocsmooth.maps.recipe import Recipe
from vocsmooth.settings import recipe_toml, to_dict
from vocsmooth.workers.cluster import cluster_runner, connected
from vocsmooth.workers.processes import WorkerDied

SOAK = bool(os.environ.get("SOAK"))

soak = pytest.mark.skipif(not SOAK, reason="needs SOAK=1")

DASK = [sys.executable, "-m", "dask"]
DIE = "__import__('os').kill(__import__('os').getpid(), 9)"
OTHER_VERSION = "import vocsmooth; vocsmooth.__version__ = '9.9'"
WORKER = "from distributed.cli.dask_worker import main; main()"
KILL_THE_WORKER = "__import__('os').kill(__import__('os').getppid(), 9)"


@contextmanager
def running(*words: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in the block."""
    command = [str(word) for word in words]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def scheduler(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start a scheduler; yield its file and its process."""
    file = folder / "scheduler.json"
    options = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-jupyter")
    words = (*DASK, "scheduler", *options, "--scheduler-file", file)
    with running(*words) as process:
        wait_for(file)
        yield str(file), process


def worker(file: str, *words: str) -> tuple[str, ...]:
    """Return the command of a worker."""
    return (*DASK, "worker", *options_of(file), *words)


def options_of(file: str) -> tuple[str, ...]:
    """Return the options of a worker."""
    folder = str(Path(file).parent)
    options = ("--nthreads", "1", "--no-dashboard", "--local-directory", folder)
    return ("--scheduler-file", file, *options)


def wait_for(path: Path) -> None:
    """Wait until a file is there."""
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def content_of(folder: Path) -> dict[str, bytes]:
    """Return every file's bytes by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A scheduler with two workers that come back when they are killed; its file."""
    folder = tmp_path_factory.mktemp("cluster")
    with scheduler(folder) as (file, _), running(*worker(file)), running(*worker(file)):
        yield file


def test_same_bytes_as_a_local_build(
    cluster: str,
    pristine_tree: Path,
    pristine_dataset: Path,
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    summary = build_dataset(pristine_tree, Path("out"), recipe, scheduler=cluster)
    assert (summary.images, summary.errors) == (7, 0)
    assert content_of(tmp_path / "out") == content_of(pristine_dataset)
    again = build_dataset(pristine_tree, Path("out"), recipe, scheduler=cluster)
    assert again.complete_before


def test_tasks_that_end_their_process_cost_nobody_else(cluster: str) -> None:
    tasks = ["1", DIE, "2", "3", "4"]
    with connected(cluster) as client:
        results = dict(cluster_runner(client, ())(eval, tasks))
    assert results == {"1": 1, DIE: WorkerDied(), "2": 2, "3": 3, "4": 4}


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (OTHER_VERSION, r"has vocsmooth 9\.9 \(here 0\.1\.0\)"),
        pytest.param(
            "import sys; sys.modules['vocsmooth'] = None",
            "cannot tell its versions.*vocsmooth",
            marks=soak,
        ),
    ],
)
def test_workers_of_other_versions_are_named(
    pristine_tree: Path, recipe: Recipe, tmp_path: Path, start: str, message: str
) -> None:
    with (
        scheduler(tmp_path) as (file, _),
        running(sys.executable, "-c", f"{start}; {WORKER}", *options_of(file), "--no-nanny"),
        pytest.raises(ClusterError, match=f"^1 of 1 workers of .*{message}.*same versions"),
    ):
        build_dataset(pristine_tree, tmp_path / "out", recipe, scheduler=file)
    assert not (tmp_path / "out").exists()


def test_workers_that_do_not_share_the_folder_are_named(
    cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vocsmooth.workers.cluster._SECONDS_TO_APPEAR", 1)
    different_everywhere = Path("/proc/self/status")
    with connected(cluster) as client, pytest.raises(ClusterError, match="2 of 2 workers do not s"):
        list(cluster_runner(client, [different_everywhere])(eval, ["1"]))


def test_no_scheduler(
    pristine_tree: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vocsmooth.workers.cluster._SECONDS_TO_CONNECT", 1)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
        for wrong, error, message in (
            (address, ClusterError, f"No Dask scheduler answers at {address}"),
            (str(tmp_path / "s.json"), InputError, "No scheduler file .*has `dask scheduler`"),
        ):
            with pytest.raises(error, match=message):
                build_dataset(pristine_tree, tmp_path / "out", recipe, scheduler=wrong)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", ["nonsense", "tcp://127.0.0.1", "http://127.0.0.1:8787"])
def test_what_is_no_address_is_refused_before_a_client_is_made(
    wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "vocsmooth.workers.cluster.Client", None
    )  # one without an address cannot be closed
    with pytest.raises(ClusterError, match=f"No Dask scheduler answers at {wrong}: "):
        connected(wrong).__enter__()


def test_no_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vocsmooth.workers.cluster._SECONDS_TO_JOIN", 1)
    with scheduler(tmp_path) as (file, _), pytest.raises(ClusterError, match="has had no workers"):
        connected(file).__enter__()


@soak
@pytest.mark.parametrize("option", ["--nanny", "--no-nanny"])
def test_a_worker_is_killed_mid_build(
    pristine_tree: Path, pristine_dataset: Path, recipe: Recipe, tmp_path: Path, option: str
) -> None:
    """With a nanny it comes back, without one the other worker does its work."""
    killed: list[int] = []
    with (
        scheduler(tmp_path) as (file, _),
        running(*worker(file, option)) as victim,
        running(*worker(file, option)),
    ):

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


@soak
def test_tasks_that_end_their_worker_cost_nobody_else(cluster: str) -> None:
    """Not only their own process: Dask gives such a task up after four deaths."""
    with connected(cluster) as client:
        results = dict(cluster_runner(client, ())(eval, ["1", KILL_THE_WORKER, "2", "3", "4"]))
    assert results == {"1": 1, KILL_THE_WORKER: WorkerDied(), "2": 2, "3": 3, "4": 4}


@soak
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


@soak
def test_a_worker_of_other_versions_joins(tmp_path: Path) -> None:
    tasks = [f"[{i}, __import__('time').sleep(1)]" for i in range(30)]
    other = f"{OTHER_VERSION}; {WORKER}"
    with (
        scheduler(tmp_path) as (file, _),
        running(*worker(file)),
        connected(file) as client,
        closing(cluster_runner(client, ())(eval, tasks)) as results,
    ):
        next(results)
        with (
            running(sys.executable, "-c", other, *options_of(file), "--no-nanny"),
            pytest.raises(ClusterError, match="joined whose packages are not those"),
        ):
            list(results)


@soak
@pytest.mark.parametrize("how", ["interrupt", "scheduler lost"])
def test_what_ends_a_build_is_one_line(
    pristine_tree: Path, pristine_dataset: Path, recipe: Recipe, tmp_path: Path, how: str
) -> None:
    manifest, out = tmp_path / "recipe.toml", tmp_path / "out"
    manifest.write_text(recipe_toml(to_dict(recipe)))
    words = ["build", "--voc-root", pristine_tree, "--out", out, "--manifest", manifest]
    command = [sys.executable, "-c", "from vocsmooth_cli.dataset import main; main()", *words]
    with (
        scheduler(tmp_path) as (file, process),
        running(*worker(file)),
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
            expected = [b"", b"Aborted!"]
        else:
            os.killpg(process.pid, signal.SIGKILL)
            expected = [b"Error: The scheduler is gone. What is finished is kept"]
        lines = build.stderr.read().splitlines()
        assert build.wait() == 1
    lines = [line for line in lines if not line.startswith(b"photographs: ")]
    assert [line.split(b";")[0] for line in lines] == expected
    build_dataset(pristine_tree, out, recipe, jobs=1)
    assert content_of(out) == content_of(pristine_dataset)


def processes_under(process: int) -> list[int]:
    """Return a process and all that descend from it, parents first."""
    found = [process]
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):
            for child in children.read_text().split():
                found += processes_under(int(child))
    return found


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


def memory_of(process: int) -> float:
    """Return the resident bytes of a process, 0 if it is gone."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return pages * resource.getpagesize()
