"""The lock keeps all others out while it is held, however its holder ends."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from csgisnet.training.lock import lock_path, only_process
from vocsmooth.errors import InputError


def in_a_child(act: Callable[[], None]) -> int:
    """Start a forked child that acts and ends with 0; return its process id."""
    child = os.fork()
    if child == 0:
        try:
            act()
            os._exit(0)
        finally:
            os._exit(1)
    return child


def exit_code(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_who_comes_second_is_told_who_was_first(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with only_process(path, "baking in a"):
        with (
            pytest.raises(InputError, match=rf"Process {os.getpid()} on .* is baking in a\. Wait"),
            only_process(path, "baking in a"),
        ):
            pass
        with only_process(tmp_path / "b", "baking in b"):
            pass
    assert list(tmp_path.iterdir()) == []
    with only_process(path, "baking in a"):
        pass


def test_a_killed_holder_holds_nobody_up(tmp_path: Path) -> None:
    def die_holding_it() -> None:
        with only_process(tmp_path / "a", "baking"):
            os.kill(os.getpid(), signal.SIGKILL)

    assert exit_code(in_a_child(die_holding_it)) == -signal.SIGKILL
    assert lock_path(tmp_path / "a").exists()
    with only_process(tmp_path / "a", "baking"):
        assert lock_path(tmp_path / "a").read_text().startswith(f"Process {os.getpid()} on ")
    assert list(tmp_path.iterdir()) == []


def test_of_many_that_come_and_go_never_two_are_inside(tmp_path: Path) -> None:
    """The file is removed at each end: who has just opened it must not count as its holder."""

    def come_and_go() -> None:
        inside, mark = 0, tmp_path / "inside"
        while inside < 50:
            with contextlib.suppress(InputError), only_process(tmp_path / "a", "baking"):
                mark.touch(exist_ok=False)
                mark.unlink()
                inside += 1

    children = [in_a_child(come_and_go) for _ in range(4)]
    assert [exit_code(child) for child in children] == [0, 0, 0, 0]
    assert list(tmp_path.iterdir()) == []
