"""Batches: waiting requests join in, up to the limits; an error reaches only its own caller."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from csgisnet.prediction.batching import Batcher

Item = NDArray[Any]


class Doubler:
    """Doubles items, and notes its batches; the first waits until others are queued behind it."""

    def __init__(self, most: int = 100) -> None:
        self.go = threading.Event()
        self.batches: list[list[tuple[int, ...]]] = []
        self.most = most

    def __call__(self, items: Sequence[Item]) -> list[Item]:
        self.batches.append([item.shape for item in items])
        assert self.go.wait(20)
        if len(items) > self.most:
            raise MemoryError
        if any((item < 0).any() for item in items):
            raise ZeroDivisionError
        return [item * 2 for item in items]


def call_at_once(batcher: Batcher[Item], doubler: Doubler, items: list[Item]) -> list[Future[Item]]:
    """Call with the first item, and with the others while that is under way."""
    with ThreadPoolExecutor(len(items)) as pool:
        futures = [pool.submit(batcher, items[0])]
        while not doubler.batches:
            pass
        futures += [pool.submit(batcher, item) for item in items[1:]]
        while len(batcher._waiting) < len(items):
            pass
        doubler.go.set()
    return futures


def test_those_who_wait_are_taken_along_by_shape() -> None:
    doubler = Doubler()
    batcher = Batcher(doubler, largest=3, pixels=10**6)
    shapes = [(2, 2)] + [(4, 5)] * 5 + [(5, 4)]
    items = [np.full(shape, number) for number, shape in enumerate(shapes)]
    futures = call_at_once(batcher, doubler, items)
    for item, future in zip(items, futures, strict=True):
        np.testing.assert_array_equal(future.result(), item * 2)
    assert sorted(doubler.batches) == [[(2, 2)], [(4, 5)] * 2, [(4, 5)] * 3, [(5, 4)]]


def test_batches_keep_to_the_memory() -> None:
    doubler = Doubler()
    batcher = Batcher(doubler, largest=8, pixels=45)
    call_at_once(batcher, doubler, [np.zeros((4, 5)) for _ in range(5)])
    assert sorted(map(len, doubler.batches)) == [1, 2, 2]
    batcher(np.zeros((40, 50)))  # one is always computed


def test_out_of_memory_makes_batches_smaller() -> None:
    doubler = Doubler(most=2)
    batcher = Batcher(doubler, largest=8, pixels=10**6)
    futures = call_at_once(batcher, doubler, [np.full((3, 3), n) for n in range(7)])
    assert [int(future.result()[0, 0]) for future in futures] == [0, 2, 4, 6, 8, 10, 12]
    assert batcher.largest in (1, 2)
    doubler.most = 0
    with pytest.raises(MemoryError):
        batcher(np.zeros((3, 3)))


def test_an_error_reaches_its_caller_only() -> None:
    doubler = Doubler()
    batcher = Batcher(doubler, largest=1, pixels=10**6)
    items = [np.full((3, 3), value) for value in (1, -1, 2)]
    good, bad, other = call_at_once(batcher, doubler, items)
    assert (good.result() == 2).all()
    assert (other.result() == 4).all()
    with pytest.raises(ZeroDivisionError):
        bad.result()
    assert not batcher._waiting
