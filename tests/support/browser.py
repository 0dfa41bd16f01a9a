"""A real headless browser, for tests of pages."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import functools
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
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
    log = folder / "browser.log"
    with _page(url, folder, (1000, 700)) as evaluate:
        text = _wait(lambda: evaluate('document.getElementById("check")?.textContent ?? null'))
    messages = log.read_text(encoding="utf-8", errors="replace")
    assert text, messages[-2000:]
    content: dict[str, Any] = json.loads(text)
    return content, messages


def photograph_page(url: str, folder: Path, steps: Sequence[str], size: tuple[int, int]) -> bytes:
    """Return a PNG of a page, `size` (width, height) large.

    Each step is a JavaScript expression that is evaluated until it gives true, before the next.
    """
    with _page(url, folder, size) as evaluate:
        for step in steps:
            assert _wait(functools.partial(evaluate, step)), f"never true: {step}"
        return base64.b64decode(evaluate.call("Page.captureScreenshot", format="png")["data"])


@contextlib.contextmanager
def open_tabs(url: str, folder: Path, count: int) -> Iterator[list[Callable[[str], Any]]]:
    """Open a page several times in one browser, which ends with the context.

    Each tab is a function that evaluates a JavaScript expression until it gives something true, and
    returns that.
    """
    with _browser(folder, (1000, 700)) as browser:
        pages = [_Page(browser, url) for _ in range(count)]
        yield [page.wait for page in pages]


@contextlib.contextmanager
def _page(url: str, folder: Path, size: tuple[int, int]) -> Iterator[_Page]:
    """Open a page in a browser of its own, which ends with the context."""
    with _browser(folder, size) as browser:
        yield _Page(browser, url)


@contextlib.contextmanager
def _browser(folder: Path, size: tuple[int, int]) -> Iterator[_Browser]:
    """Start a browser, which ends with the context."""
    arguments = [
        *(find_browser(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
        *(f"--user-data-dir={folder}/u", "--disable-background-networking", "--no-first-run"),
        *("--enable-logging=stderr", f"--window-size={size[0]},{size[1]}"),
        *("--remote-debugging-pipe", "about:blank"),
    ]
    process, commands, answers = _start(arguments, folder / "browser.log")
    try:
        yield _Browser(commands, answers)
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(commands)
        os.close(answers)


def _wait(ask: Callable[[], Any]) -> Any:
    """Return the first answer that is true, or the last one if there is none for too long."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := ask()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return answer


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


class _Page:
    """One page of a browser; called with a JavaScript expression it returns the value."""

    def __init__(self, browser: _Browser, url: str) -> None:
        self._browser = browser
        # In a window of its own: pictures of a hidden tab are decoded when it is looked at.
        target = browser.call("Target.createTarget", url=url, newWindow=True)["targetId"]
        attached = browser.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        return self._browser.call(method, self._session, **parameters)

    def __call__(self, expression: str) -> Any:
        return self.call("Runtime.evaluate", expression=expression)["result"].get("value")

    def wait(self, expression: str) -> Any:
        """Evaluate until the value is true, and return it."""
        return _wait(lambda: self(expression))
