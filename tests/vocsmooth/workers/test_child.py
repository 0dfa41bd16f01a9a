"""Tasks in a child process: results, errors, deaths.

The tasks are expressions: a child cannot import this module, but it has `eval`.
"""

import os
import platform
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vocsmooth.workers.child import close_child, run_in_child
from vocsmooth.workers.processes import WorkerDied

PROCESS = "__import__('os').getpid()"
DIE = "__import__('os').kill(__import__('os').getpid(), 9)"


@pytest.fixture(autouse=True)
def _no_child_left() -> Iterator[None]:
    yield
    close_child()


def test_a_child_is_kept_and_is_another_process_of_one_thread() -> None:
    first = run_in_child(eval, PROCESS)
    assert first != os.getpid()
    assert run_in_child(eval, PROCESS) == first
    assert run_in_child(eval, "__import__('cv2').getNumThreads()") == 1
    assert run_in_child(eval, "__import__('os').environ['OMP_NUM_THREADS']") == "1"


def test_each_thread_has_its_own() -> None:
    def work(_: int) -> object:
        process = run_in_child(eval, PROCESS)
        close_child()
        return process

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(work, 0).result() != run_in_child(eval, PROCESS)


def test_what_a_task_raises_is_raised_here_and_the_child_lives() -> None:
    before = run_in_child(eval, PROCESS)
    with pytest.raises(ZeroDivisionError):
        run_in_child(eval, "1 / 0")
    with pytest.raises(SystemExit):
        run_in_child(eval, "exit(3)")
    assert run_in_child(eval, PROCESS) == before


def test_an_error_of_the_system_says_on_which_machine() -> None:
    with pytest.raises(FileNotFoundError, match=f"on {platform.node()}: No such file.*'/none'"):
        run_in_child(eval, "open('/none')")


def test_a_task_that_always_dies(tmp_path: Path) -> None:
    deaths = tmp_path / "deaths"
    count = f"open({str(deaths)!r}, 'a').write('x')"
    assert run_in_child(eval, f"({count}, {DIE})") == WorkerDied()
    assert deaths.read_text() == "xx"
    assert run_in_child(eval, "1 + 1") == 2


def test_a_task_that_dies_once_is_run_again(tmp_path: Path) -> None:
    path = f"__import__('pathlib').Path({str(tmp_path / 'flag')!r})"
    assert run_in_child(eval, f"(lambda p: 7 if p.exists() else p.touch() or {DIE})({path})") == 7


def test_a_child_that_died_between_tasks_is_replaced() -> None:
    first = run_in_child(eval, PROCESS)
    assert isinstance(first, int)
    os.kill(first, 9)
    assert run_in_child(eval, PROCESS) != first
