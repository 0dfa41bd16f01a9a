"""The order in which training visits samples: a pure function of the seed and the epoch."""

from __future__ import annotations

import operator

import numpy as np
from numpy.typing import ArrayLike, NDArray

_KEY = np.uint64(2**64 - 1)
"""Second half of the Philox key of an epoch's order; views of samples have the sample there."""

_KEPT = 2
"""Number of orders that are kept: a batch needs that of one epoch, or of two at its end."""


class SampleOrder:
    """The endless stream of training samples: epoch after epoch, each in its own order.

    Every epoch visits all samples once. By default its order is a permutation of all samples, so
    that each sample comes from any shard. With a `buffer` the shards are shuffled, and samples are
    drawn from that many neighbouring shards at a time: each shard is read within one stretch of the
    epoch, which a cold or remote disk serves faster, and two samples of a batch come from the same
    shard with a probability of about 1 / buffer. The stretches of the last shards end at the
    beginning of the epoch, so that its first samples are as well mixed as all others.

    Parameters
    ----------
    sizes : (S,) int
        Samples of each shard, from `Split.shard_sizes`; sample numbers follow the shards.
    seed : int
        0 to 2^32 - 1.
    buffer : int
        Shards that samples are drawn from at a time; 0 draws from all.

    Raises
    ------
    ValueError
        There are no samples, or `seed` or `buffer` is out of range.

    Examples
    --------
    Six shards of 100 samples, drawn from two at a time:

    >>> from vocsmooth.shards import SampleOrder
    >>> order = SampleOrder([100] * 6, seed=1, buffer=2)
    >>> epochs, samples = order.stream(598, 602)
    >>> epochs.tolist()
    [0, 0, 1, 1]
    >>> sorted(order.epoch(0)) == sorted(order.epoch(1)) == list(range(600))
    True
    >>> len(set(order.epoch(0)[200:250] // 100))
    2
    """

    def __init__(self, sizes: ArrayLike, *, seed: int, buffer: int = 0) -> None:
        self._sizes = np.asarray(sizes, dtype=np.int64)
        self._count = int(self._sizes.sum())
        if self._count < 1:
            raise ValueError("an order needs at least one sample, got none")
        if not 0 <= seed < 2**32:
            raise ValueError(f"seed must be 0 to 2^32 - 1, got {seed}")
        if buffer < 0:
            raise ValueError(f"buffer must be at least 0, got {buffer}")
        self._seed, self._buffer = seed, buffer
        self._orders: dict[int, NDArray[np.int64]] = {}

    def __len__(self) -> int:
        """Return the number of samples in an epoch."""
        return self._count

    def epoch(self, epoch: int) -> NDArray[np.int64]:
        """Return the samples of one epoch in their order, (N,) and read-only.

        Drawing it takes longer than reading a batch (89 ms for four million samples, a second with
        a buffer), so the last two are kept.
        """
        epoch = operator.index(epoch)
        # Threads may draw the same order twice, but none gets a wrong one.
        order = self._orders.get(epoch)
        if order is None:
            order = self._draw(epoch)
            order.setflags(write=False)
            kept = list(self._orders.items())[1 - _KEPT :]
            self._orders = {**dict(kept), epoch: order}
        return order

    def stream(self, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return epoch and sample of positions `start` to `stop` - 1 of the stream."""
        epochs, places = np.divmod(np.arange(start, stop), self._count)
        samples = np.empty(len(epochs), np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            samples[here] = self.epoch(epoch)[places[here]]
        return epochs, samples

    def _draw(self, epoch: int) -> NDArray[np.int64]:
        """Draw the order of an epoch."""
        key = np.array([(self._seed << 32) | epoch, _KEY], dtype=np.uint64)
        rng = np.random.Generator(np.random.Philox(key=key))
        if not self._buffer:
            return rng.permutation(self._count)
        # The shards lie one after the other, shuffled, on a circle of one unit a sample. Each
        # sample moves on from the start of its shard, at random, by up to the length of the buffer.
        shards = rng.permutation(len(self._sizes))
        starts = np.empty(len(shards))
        starts[shards] = np.cumsum(self._sizes[shards]) - self._sizes[shards]
        reach = self._count * min(self._buffer / len(shards), 1.0)
        places = np.repeat(starts, self._sizes) + reach * rng.random(self._count)
        return np.argsort(places % self._count, kind="stable")
