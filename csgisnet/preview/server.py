"""The page's server: it answers this machine only, and only requests with the token.

Werkzeug serves; it comes with tensorboard. A page that somebody else's site opens in the same
browser can neither read the token nor, under a name that points to 127.0.0.1, pass for this host.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from werkzeug.exceptions import BadRequest, Forbidden, HTTPException, NotFound
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from csgisnet.preview import methods, views
from csgisnet.preview.methods import Method
from csgisnet.preview.views import View
from vocsmooth.arrays import to_float, to_uint
from vocsmooth.errors import VocsmoothError

HOST = "127.0.0.1"

_FILES = {"": "text/html", "page.css": "text/css", "page.js": "text/javascript"}

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; img-src blob: data:; "
    "script-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_KEPT_RESULTS = 24
"""Results that are kept, so that a slider that is moved back shows its picture at once."""

_KEPT_TABS = 64


class Preview:
    """A WSGI application: the page, the photographs, and the photographs smoothed.

    Parameters
    ----------
    photographs : sequence of Path
        What the page lets choose from; they are read when they are chosen.
    networks : sequence of str
        Names or paths of networks to offer beside the operators.
    device : str
        Where networks run.
    """

    def __init__(
        self, photographs: Sequence[Path], networks: Sequence[str] = (), device: str = "auto"
    ) -> None:
        self.token = secrets.token_urlsafe(16)
        self._photographs = list(photographs)
        self._methods = methods.methods(networks)
        self._device = device
        self._one_at_a_time = threading.Lock()  # the kernels and networks use all cores themselves
        self._newest: OrderedDict[str, int] = OrderedDict()
        self._results: OrderedDict[tuple[Any, ...], tuple[bytes, float]] = OrderedDict()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer one request."""
        request = Request(environ)
        try:
            response = self._answer(request)
        except HTTPException as error:
            response = Response(f"{error.description}\n", error.code)
        except (VocsmoothError, TypeError, ValueError, MemoryError) as error:
            response = Response(f"{error}\n", 400)
        response.headers.update(_HEADERS)
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        """Return the answer to a request, or raise what is wrong with it."""
        if request.host.partition(":")[0] not in (HOST, "localhost"):
            raise Forbidden("This server answers requests from its own machine only.")
        token, _, name = request.path.lstrip("/").partition("/")
        if not secrets.compare_digest(token.encode(), self.token.encode()):
            raise Forbidden("The address lacks the token that the command printed.")
        if request.method != "GET":
            raise BadRequest("Only GET requests are answered.")
        if name in _FILES:
            file = resources.files("csgisnet.preview").joinpath(name or "page.html")
            return Response(file.read_text("utf-8"), content_type=f"{_FILES[name]}; charset=utf-8")
        if name == "alive":
            return Response("yes")
        if name == "offer":
            return _json(
                {
                    "photographs": _names(self._photographs),
                    "methods": methods.describe(self._methods),
                    "wholeSide": views.WHOLE_SIDE,
                    "cropSide": views.CROP_SIDE,
                }
            )
        if name == "photograph":
            return self._photograph(request)
        if name == "smoothed":
            return self._smoothed(request)
        raise NotFound("There is no such page.")

    def _photograph(self, request: Request) -> Response:
        """Return a view of a photograph as it is, and the photograph's size."""
        path = self._path(request)
        view = _view(path, request)
        response = Response(views.to_png(view.shown(view.pixels)), content_type="image/png")
        height, width = views.size_of(path)
        response.headers["X-Size"] = f"{width} {height}"
        response.headers["X-Scale"] = f"{view.scale:.6f}"
        return response

    def _smoothed(self, request: Request) -> Response:
        """Return a view of a photograph, smoothed."""
        path = self._path(request)
        number = _number(request, "method")
        if number >= len(self._methods):
            raise BadRequest("There is no such method.")
        method = self._methods[number]
        values = methods.read_values(method, request.args)
        places = tuple(request.args.get(name, "") for name in ("view", "row", "column"))
        key = (path, method.name, tuple(sorted(values.items())), places)
        tab, turn = request.args.get("tab", ""), _number(request, "turn")
        self._remember_turn(tab, turn)
        with self._one_at_a_time:
            if key not in self._results:
                if turn < self._newest.get(tab, turn):
                    return Response("A newer request has replaced this one.\n", 409)
                self._results[key] = self._compute(method, values, _view(path, request))
                while len(self._results) > _KEPT_RESULTS:
                    self._results.popitem(last=False)
            png, seconds = self._results[key]
        response = Response(png, content_type="image/png")
        response.headers["X-Seconds"] = f"{seconds:.6f}"
        # Header values are ASCII; the page decodes it.
        command = methods.command_line(method, values, path)
        response.headers["X-Command"] = command.encode("utf-8", "surrogateescape").hex()
        return response

    def _compute(self, method: Method, values: dict[str, Any], view: View) -> tuple[bytes, float]:
        """Return the smoothed view as a PNG, and how long the smoothing took."""
        image = to_float(view.pixels)
        function = methods.bind(method, values, self._device)
        started = time.perf_counter()
        smoothed = function(image)
        seconds = time.perf_counter() - started
        return views.to_png(to_uint(view.shown(smoothed), np.uint8)), seconds

    def _path(self, request: Request) -> Path:
        """Return the photograph that a request asks for."""
        number = _number(request, "photograph")
        if number >= len(self._photographs):
            raise BadRequest("There is no such photograph.")
        return self._photographs[number]

    def _remember_turn(self, tab: str, turn: int) -> None:
        """Note that a tab has asked for something newer; its earlier requests are not computed."""
        with _TURNS:
            self._newest[tab] = max(turn, self._newest.pop(tab, turn))
            while len(self._newest) > _KEPT_TABS:
                self._newest.popitem(last=False)


_TURNS = threading.Lock()


class _QuietHandler(WSGIRequestHandler):
    """Answers requests without a line in the terminal for each."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""


def start(preview: Preview, port: int = 0) -> BaseWSGIServer:
    """Return a server that is already listening; `serve_forever` answers until it is interrupted.

    Parameters
    ----------
    preview : Preview
        What to serve.
    port : int
        0 takes a free one.

    Raises
    ------
    OSError
        The port is taken or not allowed.
    """
    return make_server(HOST, port, preview, threaded=True, request_handler=_QuietHandler)


def address(preview: Preview, server: BaseWSGIServer) -> str:
    """Return the address of the page."""
    return f"http://{HOST}:{server.server_port}/{preview.token}/"


def _names(photographs: Sequence[Path]) -> list[str]:
    """Name photographs from the folder that holds all of them, so that names are short."""
    paths = [path.absolute() for path in photographs]  # a link keeps its name
    try:
        folder = os.path.commonpath([path.parent for path in paths])
    except ValueError:  # on several drives of Windows, or there are none
        return [str(path) for path in photographs]
    return [str(path.relative_to(folder)) for path in paths]


def _view(path: Path, request: Request) -> View:
    """Return the view of a photograph that a request asks for."""
    if request.args.get("view") == "crop":
        return views.crop(path, _number(request, "row"), _number(request, "column"))
    return views.whole(path)


def _number(request: Request, name: str) -> int:
    """Return a number of a request, 0 if it is absent."""
    word = request.args.get(name, "0")
    if not (word.isascii() and word.isdigit() and len(word) < 12):
        raise BadRequest(f"{name} must be a whole number.")
    return int(word)


def _json(content: object) -> Response:
    """Return an answer in JSON."""
    text = json.dumps(content, allow_nan=False)
    return Response(text, content_type="application/json")
