"""Tasks in processes: results, deaths, errors, and that nothing is left behind.

The tasks are expressions: workers cannot import this module, but they have `eval`.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from vocsmooth.workers.processes import WorkerDied, _interrupts_held, run_tasks, sigterm_interrupts

DIE = "__import__('os')._exit(3)"
SLEEP = "__import__('time').sleep(60)"


def children_of(process: int) -> list[int]:
    """Return the processes whose parent is `process`."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == process and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


class TestRunTasks:
    def test_yields_every_result(self) -> None:
        tasks = [f"{i} ** 2" for i in range(7)]
        assert dict(run_tasks(eval, tasks, 2)) == {f"{i} ** 2": i**2 for i in range(7)}

    def test_nothing_to_do(self) -> None:
        assert list(run_tasks(eval, [], 2)) == []

    def test_takes_tasks_only_as_processes_are_free_for_them(self) -> None:
        taken, ahead = [], []

        def tasks() -> Iterator[str]:
            for i in range(12):
                taken.append(i)
                yield str(i)

        for done, _ in enumerate(run_tasks(eval, tasks(), 2), 1):
            ahead.append(len(taken) - done)
        assert len(taken) == len(ahead) == 12
        assert max(ahead) <= 4  # two that run, and the two that follow

    def test_runs_in_other_processes_of_one_thread(self) -> None:
        thread_counts = "(__import__('os').getpid(), __import__('cv2').getNumThreads())"
        ((_, result),) = run_tasks(eval, [thread_counts], 1)
        assert isinstance(result, tuple)
        assert result[0] != os.getpid()
        assert result[1] == 1

    def test_a_death_costs_only_its_own_task(self) -> None:
        results = dict(run_tasks(eval, ["1", DIE, "2", "3"], 2))
        assert results == {"1": 1, DIE: WorkerDied(), "2": 2, "3": 3}

    def test_a_task_that_dies_once_is_run_again(self, tmp_path: Path) -> None:
        flag = tmp_path / "flag"
        once = f"(lambda p: 7 if p.exists() else p.touch() or {DIE})({flag!r})"
        once = once.replace("PosixPath", "__import__('pathlib').Path")
        assert dict(run_tasks(eval, [once], 2)) == {once: 7}

    def test_an_exception_ends_it(self) -> None:
        with pytest.raises(ZeroDivisionError):
            list(run_tasks(eval, ["1", "1 / 0", SLEEP], 2))

    def test_closing_ends_the_workers(self) -> None:
        before = set(children_of(os.getpid()))
        started = time.monotonic()
        with closing(run_tasks(eval, ["1", SLEEP, SLEEP], 2)) as results:
            next(results)
        assert time.monotonic() - started < 30
        left = [pid for pid in children_of(os.getpid()) if pid not in before and is_worker(pid)]
        assert left == []


def is_worker(process: int) -> bool:
    """Return whether a process is one of loky's workers (not its tracker of resources)."""
    try:
        command = Path(f"/proc/{process}/cmdline").read_bytes()
    except FileNotFoundError:
        return False
    return b"popen_loky" in command


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_death_of_the_parent_leaves_no_process(sign: signal.Signals) -> None:
    program = (
        "from vocsmooth.workers.processes import run_tasks, sigterm_interrupts\n"
        "with sigterm_interrupts():\n"
        f"    for task, _ in run_tasks(eval, ['0', {SLEEP!r}, {SLEEP!r}], 2): print(task)\n"
    )
    # As the commands do: loky's tracker may remove the semaphores of killed workers, and says so.
    quiet = {"PYTHONWARNINGS": "ignore:::joblib.externals.loky.backend.resource_tracker"}
    parent = subprocess.Popen(
        [sys.executable, "-uc", program],
        env={**os.environ, **quiet},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"0\n"
    family = [parent.pid, *children_of(parent.pid)]
    assert len(family) >= 3
    parent.send_signal(sign)
    _, errors = parent.communicate(timeout=20)
    deadline = time.monotonic() + 10
    while alive := [pid for pid in family if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, f"still alive: {alive}"
        time.sleep(0.05)
    if sign != signal.SIGKILL:
        assert errors.count(b"Traceback") == 1  # the parent's own KeyboardInterrupt
        assert errors.endswith(b"KeyboardInterrupt\n")


def test_sigterm_handler_is_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), sigterm_interrupts():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_interrupt_while_workers_start_comes_when_they_have() -> None:
    """Another thread takes the signal, which blocking it in the main one does not prevent."""
    steps, done = list[str](), threading.Event()
    other = threading.Thread(target=done.wait)
    other.start()
    try:
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012
            with _interrupts_held():
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.05)
                steps.append("started")
            steps.append("never")
    finally:
        done.set()
        other.join()
    assert steps == ["started"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_workers_are_born_deaf_to_interrupts() -> None:
    """In a new process, where the helpers of multiprocessing and loky are started on the way."""
    mask = "__import__('signal').SIGINT in __import__('signal').pthread_sigmask(0, [])"
    code = (
        "from vocsmooth.workers.processes import run_tasks; "
        f"print(list(run_tasks(eval, [{mask!r}] * 2, 2)))"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.count("True") == 2
