"""A web server on the loopback for the files of one folder, with faults that tests switch on."""

from __future__ import annotations

import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Server(ThreadingHTTPServer):
    """Serves one folder and obeys Range."""

    fault = ""
    """What goes wrong with answers."""
    faulty = ".h5"
    """Of which files, by the end of their names; of shards unless a test says otherwise."""
    failures = 1_000_000
    """How many answers that concerns."""
    asked: list[tuple[str, str | None]]
    """Path and Range of every GET."""
    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.asked = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep broken connections, which are wanted here, out of the tests' output."""


class Handler(SimpleHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append((self.path, asked))
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        fault = self._fault() if path.name.endswith(self.server.faulty) else ""
        if fault == "silent":
            self.connection.recv(1)  # returns when the other side is gone
            return
        if fault == "error":
            self.send_error(503)
            return
        if asked and fault != "no ranges":
            first, last = asked.removeprefix("bytes=").split("-")
            self.send_response(206)
            data, whole = data[int(first) : int(last) + 1], len(data)
            self.send_header("Content-Range", f"bytes {first}-{last}/{whole}")
        else:
            self.send_response(200)
        if fault == "slow":
            time.sleep(3)
        if fault == "short":
            data = data[:-1]
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if fault == "cut off" else data)
        if fault == "cut off":
            self.close_connection = True

    def _fault(self) -> str:
        """Return the fault of this answer, if any are left."""
        self.server.failures -= 1
        return self.server.fault if self.server.failures >= 0 else ""
