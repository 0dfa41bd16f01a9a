"""Builds on a real Dask cluster on this machine, and clusters that cannot be used.

`make test` runs what ends in seconds, `make soak` (SOAK=1) all.
"""

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from helpers import content_of

from vocsmooth.dataset.build import build_dataset
from vocsmooth.dataset.make import package_versions
from vocsmooth.errors import ClusterError, InputError
from vocsmooth.maps.recipe import Recipe
from vocsmooth.workers.cluster import cluster_runner, connected
from vocsmooth.workers.processes import WorkerDied

SOAK = bool(os.environ.get("SOAK"))

DIE = "__import__('os').kill(__import__('os').getpid(), 9)"

Scheduler = tuple[str, subprocess.Popen[bytes]]

RunWorker = Callable[..., AbstractContextManager[subprocess.Popen[bytes]]]


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
    with connected(cluster, package_versions) as client:
        results = dict(cluster_runner(client, (), package_versions)(eval, tasks))
    assert results == {"1": 1, DIE: WorkerDied(), "2": 2, "3": 3, "4": 4}


def test_the_scheduler_sees_few_tasks_at_a_time(cluster: str) -> None:
    taken, ahead = [], []

    def tasks() -> Iterator[str]:
        for number in range(20):
            taken.append(number)
            yield str(number)

    with connected(cluster, package_versions) as client:
        threads = sum(client.nthreads().values())
        runner = cluster_runner(client, (), package_versions)
        for done, _ in enumerate(runner(eval, tasks()), 1):
            ahead.append(len(taken) - done)
    assert len(taken) == len(ahead) == 20
    assert max(ahead) <= 2 * threads + 1  # two for each thread, and the one that follows


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ("import vocsmooth; vocsmooth.__version__ = '9.9'", r"has vocsmooth 9\.9 \(here 0\.1\.0\)"),
        pytest.param(
            "import sys; sys.modules['vocsmooth'] = None",
            "cannot tell its versions.*vocsmooth",
            marks=pytest.mark.skipif(not SOAK, reason="needs SOAK=1"),
        ),
    ],
)
def test_workers_of_other_versions_are_named(
    scheduler: Scheduler,
    run_worker: RunWorker,
    pristine_tree: Path,
    recipe: Recipe,
    tmp_path: Path,
    first: str,
    message: str,
) -> None:
    file, _ = scheduler
    with (
        run_worker(file, "--no-nanny", first=first),
        pytest.raises(ClusterError, match=f"^1 of 1 workers of .*{message}.*same versions"),
    ):
        build_dataset(pristine_tree, tmp_path / "out", recipe, scheduler=file)
    assert not (tmp_path / "out").exists()


def test_workers_that_do_not_share_the_folder_are_named(
    cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vocsmooth.workers.cluster._SECONDS_TO_APPEAR", 1)
    different_everywhere = Path("/proc/self/status")
    with (
        connected(cluster, package_versions) as client,
        pytest.raises(ClusterError, match="2 of 2 workers do not s"),
    ):
        list(cluster_runner(client, [different_everywhere], package_versions)(eval, ["1"]))


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
        connected(wrong, package_versions).__enter__()


def test_no_workers(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vocsmooth.workers.cluster._SECONDS_TO_JOIN", 1)
    with pytest.raises(ClusterError, match="has had no workers"):
        connected(scheduler[0], package_versions).__enter__()
