"""What tests see and do of processes that work together on this machine."""

from __future__ import annotations

import os
import random
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def free_port() -> int:
    """Return a port that nobody uses, and that the system gives nobody who asks for any.

    The processes take seconds to start, and tests beside these ask for ports all the time.
    """
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no free port")


def processes_under(process: int) -> list[int]:
    """Return a process and all that descend from it, parents first."""
    found = [process]
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):
            for child in children.read_text().split():
                found += processes_under(int(child))
    return found


def kind_of(process: int) -> str:
    """Say which process of a worker this is."""
    command = Path(f"/proc/{process}/cmdline").read_bytes()
    for words, kind in ((b"workers.child", "child"), (b"dask", "nanny"), (b"fork", "worker")):
        if words in command:
            return kind
    return "helper"


def alive(processes: list[int]) -> list[int]:
    """Return the processes that still run; what is dead but not waited for does not."""
    found = []
    for process in processes:
        with suppress(FileNotFoundError, ProcessLookupError):
            if "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]:
                found.append(process)
    return found


@contextmanager
def stopped(process: int) -> Iterator[None]:
    """Let a process and all under it stand still in a block."""
    family = processes_under(process)
    try:
        for one in family:
            os.kill(one, signal.SIGSTOP)
        yield
    finally:
        for one in family:
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGCONT)


def seconds_until(condition: Callable[[], bool], limit: float = 60) -> float:
    """Wait until a condition holds; return how long that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < limit
        time.sleep(0.05)
    return time.monotonic() - began
