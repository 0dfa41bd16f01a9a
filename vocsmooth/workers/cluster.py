"""Run tasks on a Dask cluster whose workers see the same files as this machine.

By `distributed.Client` and not by joblib's Dask backend, which waits for ever for a task that kills
its worker.
"""

from __future__ import annotations

import logging
import math
import platform
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import distributed
from distributed import CancelledError, Client, Future, KilledWorker, as_completed
from distributed.comm.addressing import get_address_host_port
from distributed.comm.core import CommClosedError

from vocsmooth.errors import ClusterError, InputError
from vocsmooth.files import read_file, sha256_file
from vocsmooth.settings import parse_json
from vocsmooth.workers.child import run_in_child
from vocsmooth.workers.processes import Runner, Waiting, WorkerDied

Task = TypeVar("Task")

Result = TypeVar("Result")

Versions = Callable[[], Mapping[str, str]]
"""Returns the versions of the packages that decide a result; defined at the top of a module."""

Idle = Callable[[], None]

_SECONDS_TO_CONNECT = 15

_SECONDS_TO_JOIN = 60

_SECONDS_WITHOUT_WORKERS = 300

_SECONDS_TO_APPEAR = 10

_LOGGERS = ("distributed", "distributed.client", "tornado.application")

_LOOK_EVERY = 5.0

_POLL = 0.05

_GOES_ON = "Finished work is kept; run the same command again to continue."

_GONE = f"The scheduler is gone. {_GOES_ON}"


@contextmanager
def connected(scheduler: str, versions: Versions) -> Iterator[Client]:
    """Connect to a cluster whose workers have the same packages as this machine.

    Parameters
    ----------
    scheduler : str
        Its address, such as tcp://10.0.0.1:8786, or the path of the JSON file that
        ``dask scheduler --scheduler-file`` writes.
    versions : callable
        Run here and on every worker; the answers must be the same.

    Raises
    ------
    InputError
        The scheduler's file does not exist or is not one.
    ClusterError
        No scheduler answers, it has no workers, or some of them have other versions.
    """
    with _loggers_silent():
        client = _connect(scheduler)
        try:
            _check_versions(client, scheduler, versions)
            yield client
        finally:
            client.close(timeout=2)


def cluster_runner(
    client: Client, shared: Sequence[Path], versions: Versions, idle: Idle = lambda: None
) -> Runner:
    """Return a function that runs tasks on the workers of `client`, each in a child process.

    Parameters
    ----------
    client : Client
        From `connected`.
    shared : sequence of Path
        Absolute paths of files that every worker must see with the same content as this machine.
    versions : callable
        As for `connected`; workers that join later are held to it, too.
    idle : callable
        Called every few seconds while tasks run.
    """

    def run(
        function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Generator[tuple[Task, Result | WorkerDied], None, None]:
        _check_files(client, {str(path): sha256_file(path) for path in shared})
        suspects = yield from _run(client, function, Waiting(tasks, 1), versions, idle)
        # Dask also suspects tasks that were only waiting on a worker that died.
        for task in suspects:
            if (yield from _run(client, function, Waiting([task], 1), versions, idle)):
                yield task, WorkerDied()

    return run


@contextmanager
def _loggers_silent() -> Iterator[None]:
    """Silence Dask's warnings and stack traces, which would bury the one line of our error."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _connect(scheduler: str) -> Client:
    """Return a client that is connected to a scheduler with at least one worker."""
    address = _read_address(Path(scheduler)) if scheduler.endswith(".json") else scheduler
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=distributed.versions.VersionMismatchWarning)
            get_address_host_port(address)  # without them, the client could not be closed
            client = Client(address, timeout=_SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ClusterError(f"No Dask scheduler answers at {address}: {error}.") from None
    try:
        client.wait_for_workers(1, timeout=_SECONDS_TO_JOIN)
    except distributed.TimeoutError:
        client.close(timeout=2)
        raise ClusterError(
            f"The scheduler at {address} has had no workers for {_SECONDS_TO_JOIN} s; start some: "
            f"`dask worker {address}`."
        ) from None
    return client


def _read_address(path: Path) -> str:
    """Return the address that a scheduler's file gives."""
    try:
        return str(parse_json(read_file(path))["address"])
    except FileNotFoundError:
        raise InputError(f"No scheduler file {path}; has `dask scheduler` started?") from None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{path} is not a scheduler file: {error!r}.") from None


def _all_versions(versions: Versions) -> dict[str, str]:
    """Return `versions` and the version of the package that carries a task to its worker."""
    return {**versions(), "distributed": version("distributed")}


def _check_versions(client: Client, scheduler: str, versions: Versions) -> None:
    """Raise ClusterError if a worker has other versions than this machine."""
    here = _all_versions(versions)
    with _loss_named():
        answers = client.run(_all_versions, versions, on_error="return")
    problems = [
        f"{worker} {problem}"
        for worker, answer in sorted(answers.items())
        if (problem := _differences(answer, here))
    ]
    if problems:
        raise ClusterError(
            f"{len(problems)} of {len(answers)} workers of {scheduler} have other packages than "
            f"this machine: {'; '.join(problems)}. Results would differ; install the same versions."
        )


def _differences(there: Mapping[str, str] | Exception, here: Mapping[str, str]) -> str:
    """Say in which packages a worker differs from this machine; empty if it does not."""
    if isinstance(there, Exception):
        return f"cannot tell its versions ({there!r})"
    differing = [
        f"{name} {there.get(name, 'none')} (here {expected})"
        for name, expected in here.items()
        if there.get(name) != expected
    ]
    return f"has {', '.join(differing)}" if differing else ""


def _check_files(client: Client, digests: Mapping[str, str]) -> None:
    """Check that every worker sees these files; a network disk may take seconds to show them."""
    deadline = time.monotonic() + _SECONDS_TO_APPEAR
    while True:
        with _loss_named():
            answers = client.run(_list_unseen, digests, on_error="return")
        unseen = {worker: paths for worker, paths in sorted(answers.items()) if paths}
        if not unseen:
            return
        if time.monotonic() > deadline:
            worker, paths = next(iter(unseen.items()))
            what = paths if isinstance(paths, Exception) else paths[0]
            raise ClusterError(
                f"{len(unseen)} of {len(answers)} workers do not see the files of this machine, "
                f"e.g. {worker}: {what}. Use folders that all machines share under the same path."
            )
        time.sleep(1)


def _list_unseen(digests: Mapping[str, str]) -> list[str]:
    """On a worker: return the paths at which it sees other content or nothing."""
    return [path for path, digest in digests.items() if _digest_of(Path(path)) != digest]


def _digest_of(path: Path) -> str | None:
    """Return the SHA-256 of a file, or None if it cannot be read."""
    try:
        return sha256_file(path)
    except OSError:
        return None


def _run(
    client: Client,
    function: Callable[[Task], Result],
    waiting: Waiting[Task],
    versions: Versions,
    idle: Idle,
) -> Generator[tuple[Task, Result | WorkerDied], None, list[Task]]:
    """Run the tasks that wait; return those that Dask gave up because their workers died."""
    here = _all_versions(versions)
    suspects: list[Task] = []
    running: dict[Future[Any], Task] = {}
    completed = as_completed(loop=client.loop)
    threads, looked, seen = 0, -math.inf, time.monotonic()
    while waiting.next or running:
        now = time.monotonic()
        if now - looked > _LOOK_EVERY:
            with _loss_named():
                threads, looked = sum(client.nthreads().values()), now
            idle()
            seen = now if threads else seen
            if now - seen > _SECONDS_WITHOUT_WORKERS:
                raise ClusterError(
                    f"The cluster has had no workers for {now - seen:.0f} s. {_GOES_ON}"
                )
        # Two tasks for each thread: one that runs, and the next one, ready when it ends.
        while waiting.next and len(running) < 2 * threads:
            with _loss_named():
                future = client.submit(_work, function, waiting.next[0], versions, here, pure=False)
            running[future] = waiting.begin()
            completed.add(future)
        batch = completed.next_batch(block=False)
        if not batch:
            time.sleep(_POLL)
        for future in batch:
            task = running.pop(future)
            result = _result_of(future)
            if isinstance(result, KilledWorker):
                suspects.append(task)
            else:
                yield task, result
    return suspects


def _work(
    function: Callable[[Task], Result], task: Task, versions: Versions, expected: Mapping[str, str]
) -> Result | WorkerDied:
    """On a worker: check its versions, for it may have joined late, and run a task in a child."""
    if _all_versions(versions) != expected:
        raise ClusterError(
            f"A worker on {platform.node()} joined with other versions of packages than the "
            f"machine that gives the tasks. {_GOES_ON}"
        )
    return run_in_child(function, task)


def _result_of(future: Future[Any]) -> Any:
    """Return the result of a finished task, or KilledWorker; raise what the task raised."""
    try:
        return future.result()
    except KilledWorker as killed:
        return killed
    except (CancelledError, CommClosedError):
        raise ClusterError(_GONE) from None


@contextmanager
def _loss_named() -> Iterator[None]:
    """Turn every way in which a scheduler can fail to answer into one ClusterError."""
    try:
        yield
    except (OSError, distributed.TimeoutError, CancelledError):
        raise ClusterError(_GONE) from None
