"""Batches of what several threads bring at the same time: whoever has the turn takes others along.

No thread waits for a batch to fill. While one computes, the others queue up; the next one then
computes for all that wait with items of the same shape.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from numpy.typing import NDArray

Result = TypeVar("Result")


class Batcher(Generic[Result]):
    """Calls a function of batches with single items, from any number of threads, one at a time.

    Parameters
    ----------
    function : callable
        Maps items of one shape to their results, in order. It may raise MemoryError: batches then
        become smaller, down to single items.
    largest : int
        Items in a batch.
    pixels : int
        Pixels in a batch, unless a single item has more.
    """

    def __init__(
        self,
        function: Callable[[Sequence[NDArray[Any]]], Sequence[Result]],
        *,
        largest: int,
        pixels: int,
    ) -> None:
        self._function = function
        self._pixels = pixels
        self.largest = largest
        """Items in a batch; becomes smaller when memory does not suffice."""
        self._waiting: list[_Request[Result]] = []
        self._list_lock = threading.Lock()
        self._turn = threading.Lock()

    def __call__(self, item: NDArray[Any]) -> Result:
        """Return the result for one item (H, W, ...)."""
        request: _Request[Result] = _Request(item)
        with self._list_lock:
            self._waiting.append(request)
        try:
            with self._turn:
                while not request.results:
                    self._serve(self._batch_with(request))
        finally:
            with self._list_lock:
                self._waiting.remove(request)
        return request.results[0]

    def _batch_with(self, request: _Request[Result]) -> list[_Request[Result]]:
        """Return the request and others of its shape that wait, as many as a batch may hold."""
        height, width = request.item.shape[:2]
        count = max(1, min(self.largest, self._pixels // (height * width)))
        with self._list_lock:
            others = [
                other
                for other in self._waiting
                if other is not request
                and not other.results
                and other.item.shape == request.item.shape
            ]
        return [request, *others[: count - 1]]

    def _serve(self, batch: Sequence[_Request[Result]]) -> None:
        """Compute a batch; when that takes too much memory, leave it for smaller ones."""
        try:
            results = self._function([request.item for request in batch])
        except MemoryError:
            if len(batch) == 1:
                raise
            self.largest = len(batch) // 2
            return
        for request, result in zip(batch, results, strict=True):
            request.results.append(result)


class _Request(Generic[Result]):
    """An item, and its result once there is one."""

    def __init__(self, item: NDArray[Any]) -> None:
        self.item = item
        self.results: list[Result] = []
