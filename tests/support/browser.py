"""A real headless browser, for tests of pages."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 90.0  # seconds until a page that says nothing counts as broken


def find_browser() -> str:
    """Return the path of Chromium or Chrome; skip the test if this machine has neither."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("needs Chromium or Chrome")
    return found


def open_page(url: str, folder: Path) -> tuple[dict[str, Any], str]:
    """Open a page that writes JSON into an element with the id "check" once it is done.

    The browser runs in real time and is asked again and again: with ``--virtual-time-budget``
    the time of a page that waits for other threads or for a frame can run out on a busy machine.

    Returns
    -------
    content : dict
        The JSON.
    messages : str
        What the browser had to say.
    """
    arguments = [
        *(find_browser(), "--headless", "--no-sandbox", "--disable-gpu"),
        *(f"--user-data-dir={folder}/u", "--disable-background-networking", "--no-first-run"),
        *("--enable-logging=stderr", "--window-size=1000,700", "--remote-debugging-pipe"),
        "about:blank",
    ]
    log = folder / "browser.log"
    process, commands, answers = _start(arguments, log)
    try:
        content = _read_check(_Browser(commands, answers), url)
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(commands)
        os.close(answers)
    messages = log.read_text(encoding="utf-8", errors="replace")
    assert content is not None, messages[-2000:]
    return content, messages


def _start(arguments: list[str], log: Path) -> tuple[int, int, int]:
    """Start a browser that reads commands from its descriptor 3 and answers on 4."""
    # Numbers from 10 on cannot be in the way of 3 and 4 in the new process.
    ends = [*os.pipe(), *os.pipe()]
    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    commands_read, commands, answers, answers_write = moved
    process = os.posix_spawn(
        arguments[0],
        arguments,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 2, str(log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644),
            (os.POSIX_SPAWN_DUP2, commands_read, 3),
            (os.POSIX_SPAWN_DUP2, answers_write, 4),
        ],
    )
    os.close(commands_read)
    os.close(answers_write)
    return process, commands, answers


class _Browser:
    """Calls of the DevTools protocol: JSON objects that end with a zero byte."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._calls, self._pending = 0, b""

    def call(self, method: str, session: str | None = None, **parameters: object) -> dict[str, Any]:
        self._calls += 1
        message: dict[str, object] = {"id": self._calls, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next_message()
            if answer.get("id") == self._calls:  # the others are events
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _next_message(self) -> dict[str, Any]:
        while b"\0" not in self._pending:
            received = os.read(self._answers, 1 << 16)
            assert received, "the browser ended"
            self._pending += received
        first, self._pending = self._pending.split(b"\0", 1)
        message: dict[str, Any] = json.loads(first)
        return message


def _read_check(browser: _Browser, url: str) -> dict[str, Any] | None:
    target = browser.call("Target.createTarget", url=url)["targetId"]
    session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    expression = 'document.getElementById("check")?.textContent ?? null'
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        answer = browser.call("Runtime.evaluate", session, expression=expression)
        text = answer["result"].get("value")
        if text is not None:
            content: dict[str, Any] = json.loads(text)
            return content
        time.sleep(0.05)
    return None
