"""Group requests from several threads into batches.

The thread that holds the lock also computes for those waiting with items of the same shape. No
thread waits for a batch to fill: while one computes, the others queue up for the next batch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from numpy.typing import NDArray

Result = TypeVar("Result")


class Batcher(Generic[Result]):
    """Lets many threads call a function of batches, each with one item.

    Parameters
    ----------
    function : callable
        Maps items of one shape to their results, in order; only one thread calls it at a time. If
        it raises MemoryError, batches become smaller, down to single items.
    largest : int
        Most items in a batch.
    pixels : int
        Most pixels in a batch; a single item may have more.
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
        """Most items in a batch; shrinks when memory runs out."""
        self._waiting: list[_Request[Result]] = []
        self._list_lock = threading.Lock()
        self._compute_lock = threading.Lock()

    def __call__(self, item: NDArray[Any]) -> Result:
        """Return the result for one item (H, W, ...)."""
        request: _Request[Result] = _Request(item)
        with self._list_lock:
            self._waiting.append(request)
        try:
            with self._compute_lock:
                while not request.results:
                    self._serve(self._batch_with(request))
        finally:
            with self._list_lock:
                self._waiting.remove(request)
        return request.results[0]

    def _batch_with(self, request: _Request[Result]) -> list[_Request[Result]]:
        """Return the request, and others of its shape that are waiting, up to a full batch."""
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
        """Compute a batch; if memory runs out, shrink later batches and leave this one undone."""
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
    """An item, and its result once it has been computed."""

    def __init__(self, item: NDArray[Any]) -> None:
        self.item = item
        self.results: list[Result] = []
