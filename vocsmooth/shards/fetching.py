"""Read whole shards from a slow disk, each before the first of its samples is needed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from vocsmooth.shards.split import Split


class ShardFetcher:
    """Fetches the shards of a split from the disk when samples of them come up.

    For an order that draws from a few shards at a time, see `vocsmooth.shards.order.SampleOrder`: a
    disk reads a map of a shard from end to end in a fraction of the time of as many windows.

    Parameters
    ----------
    split : Split
    maps : sequence of str
        The maps that will be read.
    buffer : int
        Shards that samples are drawn from at a time, at least 1.
    """

    def __init__(self, split: Split, maps: Sequence[str], buffer: int) -> None:
        self._split, self._maps = split, tuple(maps)
        self._ends = np.cumsum(split.shard_sizes)
        self._fetched: dict[int, None] = {}
        self._kept = 2 * (buffer + 1)  # a shard's last sample may be long in coming

    def fetch(self, samples: ArrayLike) -> None:
        """Let the system read those shards of these samples that were not read recently."""
        for shard in np.unique(np.searchsorted(self._ends, samples, side="right")).tolist():
            if shard not in self._fetched:
                self._split.will_need(shard, self._maps)
            self._fetched.pop(shard, None)
            self._fetched[shard] = None
        for shard in list(self._fetched)[: -self._kept]:
            del self._fetched[shard]
