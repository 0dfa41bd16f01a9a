"""A real Dask cluster on this machine, for the tests of `vocsmooth.workers.cluster`."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

Running = AbstractContextManager[subprocess.Popen[bytes]]

DASK = (sys.executable, "-m", "dask")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A scheduler with two workers, which are restarted when they are killed; its file."""
    folder = tmp_path_factory.mktemp("cluster")
    with start_scheduler(folder) as (file, _), start_worker(file), start_worker(file):
        yield file


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A scheduler without workers; its file and its process."""
    with start_scheduler(tmp_path) as found:
        yield found


@pytest.fixture
def run_scheduler() -> Callable[
    [Path], AbstractContextManager[tuple[str, subprocess.Popen[bytes]]]
]:
    """A function that runs a scheduler in a block, see `start_scheduler`."""
    return start_scheduler


@pytest.fixture
def run_worker() -> Callable[..., Running]:
    """A function that runs a worker in a block, see `start_worker`."""
    return start_worker


def start_worker(file: str, *options: str, first: str | None = None) -> Running:
    """Run a worker of the scheduler whose file is given; its Python executes `first`."""
    command: tuple[object, ...] = (*DASK, "worker")
    if first is not None:
        program = f"{first}; from distributed.cli.dask_worker import main; main()"
        command = (sys.executable, "-c", program)
    folder = Path(file).parent
    return running(
        *(*command, "--scheduler-file", file, "--local-directory", folder),
        *("--nthreads", "1", "--no-dashboard", *options),
    )


@contextmanager
def start_scheduler(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run a scheduler in a block; yield its file and its process."""
    file = folder / "scheduler.json"
    options = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-jupyter")
    with running(*DASK, "scheduler", *options, "--scheduler-file", file) as process:
        deadline = time.monotonic() + 60
        while not file.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield str(file), process


@contextmanager
def running(*words: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in a block."""
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
