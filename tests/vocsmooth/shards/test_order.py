"""The order of training: every sample once an epoch, the same every time, and as mixed as told."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vocsmooth.shards import SampleOrder, open_dataset

SHARDS, SIZE, BATCH = 128, 64, 8
COUNT = SHARDS * SIZE
BUFFERS = (0, 1, 4, 16, SHARDS, 1000)


def order_of(buffer: int, seed: int = 5) -> SampleOrder:
    return SampleOrder([SIZE] * SHARDS, seed=seed, buffer=buffer)


def same_shard(order: NDArray[np.int64]) -> float:
    """Return the share of the pairs in a batch whose samples come from one shard."""
    batches = (order // SIZE).reshape(-1, BATCH)
    equal = batches[:, :, None] == batches[:, None, :]
    return float((equal.sum() - order.size) / (order.size * (BATCH - 1)))


@pytest.mark.parametrize("buffer", BUFFERS)
@pytest.mark.parametrize("sizes", [[7], [3, 0, 5, 1, 1, 9], [SIZE] * SHARDS])
def test_every_epoch_visits_every_sample_once_in_an_order_of_its_own(
    sizes: list[int], buffer: int
) -> None:
    order, count = SampleOrder(sizes, seed=5, buffer=buffer), sum(sizes)
    assert len(order) == count
    orders = [tuple(order.epoch(epoch).tolist()) for epoch in range(3)]
    assert all(sorted(found) == list(range(count)) for found in orders)
    assert len(set(orders)) == 3
    assert tuple(SampleOrder(sizes, seed=6, buffer=buffer).epoch(0).tolist()) not in orders


@pytest.mark.parametrize("buffer", [0, 2])
def test_any_piece_of_the_stream_is_that_of_the_whole(buffer: int) -> None:
    whole = SampleOrder([3, 4, 2], seed=5, buffer=buffer).stream(0, 45)
    assert whole[0].tolist() == sorted(list(range(5)) * 9)
    for start, stop in ((0, 9), (4, 12), (20, 45), (44, 45), (7, 7)):
        piece = SampleOrder([3, 4, 2], seed=5, buffer=buffer).stream(start, stop)
        for found, expected in zip(piece, whole, strict=True):
            np.testing.assert_array_equal(found, expected[start:stop])


def test_an_order_is_drawn_once_and_not_for_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    draw = SampleOrder._draw

    def note(self: SampleOrder, epoch: int) -> NDArray[np.int64]:
        drawn.append(epoch)
        return draw(self, epoch)

    monkeypatch.setattr(SampleOrder, "_draw", note)
    order = order_of(4)
    for start in range(0, 3 * COUNT - BATCH // 2, BATCH // 2 * 3):  # batches that straddle epochs
        order.stream(start, start + BATCH)
    assert drawn == [0, 1, 2]


def test_an_order_cannot_be_changed_by_who_reads_it() -> None:
    with pytest.raises(ValueError, match="read-only"):
        order_of(4).epoch(0)[0] = 1


def test_a_shard_is_read_within_one_stretch_as_long_as_the_buffer() -> None:
    """On the circle that an epoch is: the stretches of a few shards span its end and beginning."""
    for buffer in (1, 4, 16):
        shards = order_of(buffer).epoch(0) // SIZE
        places = [np.flatnonzero(shards == number) for number in range(SHARDS)]
        pauses = [np.diff([*found, found[0] + COUNT]).max() for found in places]
        assert max(COUNT - pause for pause in pauses) < 1.5 * (buffer + 1) * SIZE


@pytest.mark.parametrize("buffer", [4, 16, 64])
def test_two_samples_of_a_batch_share_their_shard_once_in_a_buffer(buffer: int) -> None:
    orders = [order_of(buffer).epoch(epoch) for epoch in range(4)]
    share = float(np.mean([same_shard(order) for order in orders]))
    assert share == pytest.approx(1 / buffer, rel=0.1)
    # Where an epoch begins and ends, too.
    ends = [same_shard(end) for order in orders for end in (order[:256], order[-256:])]
    assert float(np.mean(ends)) == pytest.approx(1 / buffer, rel=0.3)


@pytest.mark.parametrize("buffer", [0, SHARDS, 1000])
def test_a_buffer_of_all_shards_is_as_mixed_as_no_buffer(buffer: int) -> None:
    shares = [same_shard(order_of(buffer).epoch(epoch)) for epoch in range(8)]
    assert float(np.mean(shares)) == pytest.approx((SIZE - 1) / (COUNT - 1), rel=0.1)


@pytest.mark.parametrize("buffer", [0, 4, 16])
def test_epochs_tell_nothing_of_each_other(buffer: int) -> None:
    """A sample moves by a third of an epoch, as between permutations, and neighbours part."""
    found = order_of(buffer)
    places = [np.argsort(found.epoch(epoch)) for epoch in range(9)]
    moved = [np.abs(a - b).mean() / COUNT for a, b in pairwise(places)]
    assert float(np.mean(moved)) == pytest.approx(1 / 3, abs=0.03)
    correlation = [np.corrcoef(a, b)[0, 1] for a, b in pairwise(places)]
    assert abs(float(np.mean(correlation))) < 3 / np.sqrt(8 * SHARDS)


@pytest.mark.parametrize(("buffer", "expected"), [(0, 0.0), (4, 1 / 4), (16, 1 / 16)])
def test_neighbours_correlate_as_far_as_they_share_shards(buffer: int, expected: float) -> None:
    orders = [order_of(buffer).epoch(epoch) for epoch in range(4)]
    correlation = [np.corrcoef(order[:-1], order[1:])[0, 1] for order in orders]
    assert float(np.mean(correlation)) == pytest.approx(expected, abs=0.04)


def test_the_sizes_come_from_the_split(pristine_dataset: Path) -> None:
    split = open_dataset(pristine_dataset).split("train")
    assert split.shard_sizes.sum() == len(split)
    assert [len(set(part)) for part in np.split(split.ids, np.cumsum(split.shard_sizes)[:-1])] == [
        size // 2
        for size in split.shard_sizes  # two inputs a photograph
    ]


@pytest.mark.parametrize(
    ("sizes", "seed", "buffer", "message"),
    [
        ([], 1, 0, "at least one sample"),
        ([0, 0], 1, 0, "at least one sample"),
        ([3], -1, 0, r"seed must be 0 to 2\^32 - 1, got -1"),
        ([3], 2**32, 0, r"seed must be 0 to 2\^32 - 1"),
        ([3], 1, -2, "buffer must be at least 0, got -2"),
    ],
)
def test_what_is_no_order_is_refused(
    sizes: list[int], seed: int, buffer: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        SampleOrder(sizes, seed=seed, buffer=buffer)
