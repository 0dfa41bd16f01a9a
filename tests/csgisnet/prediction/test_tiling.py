"""Tiles cover the image exactly once, and give the same result as the image in one piece."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from csgisnet.prediction.tiling import SMALLEST_TILE, Array, apply_tiled, spans, tile_counts


@pytest.mark.parametrize("length", [1, 7, 64, 65, 130, 1001])
@pytest.mark.parametrize("count", [1, 2, 3, 10])
@pytest.mark.parametrize("multiple", [1, 2, 4])
def test_spans_cover_an_axis_once_and_read_alike(length: int, count: int, multiple: int) -> None:
    found = spans(length, count, 9, multiple)
    assert len(found) <= count
    assert found[0].first == 0
    assert found[-1].last == length
    assert all(a.last == b.first for a, b in itertools.pairwise(found))
    reads = [span.stop - span.start for span in found]
    assert len(set(reads[:-1])) <= 1
    assert 0 <= reads[0] - reads[-1] < multiple
    for span in found:
        assert span.first < span.last
        assert span.start % multiple == 0
        assert span.start == 0 or span.first - span.start >= 9
        assert span.stop == length or span.stop - span.last >= 9


@pytest.mark.parametrize("shape", [(183, 250, 3), (300, 90), (70, 1000, 1)])
def test_a_filter_with_zero_padding_sees_no_tiles(shape: tuple[int, ...]) -> None:
    largest = 0

    def box(image: Array) -> tuple[Array, Array]:
        """Sum over 7 x 7 pixels, zeros beyond the border; and the image as integers."""
        nonlocal largest
        largest = max(largest, image.shape[0] * image.shape[1])
        padded = np.pad(image, [(3, 3), (3, 3)] + [(0, 0)] * (image.ndim - 2))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (7, 7), axis=(0, 1))
        total = windows.sum(axis=(-1, -2), dtype=np.float32)
        return total, (image * 10).astype(np.int16)

    image = np.random.default_rng(1).random(shape, dtype=np.float32)
    tiled = apply_tiled(box, image, pixels=80 * 80, halo=3)
    assert largest <= 80 * 80
    for mine, expected in zip(tiled, box(image), strict=True):
        assert mine.dtype == expected.dtype
        np.testing.assert_array_equal(mine, expected)


@pytest.mark.parametrize("size", [(480, 640), (3000, 4000), (90, 20_000), (9_999, 10_001)])
@pytest.mark.parametrize(("halo", "multiple"), [(135, 1), (103, 2), (7, 4)])
def test_tiles_keep_to_the_memory(size: tuple[int, int], halo: int, multiple: int) -> None:
    pixels = 500_000
    down, across = tile_counts(*size, pixels, halo, multiple)
    for row in spans(size[0], down, halo, multiple):
        for column in spans(size[1], across, halo, multiple):
            assert (row.stop - row.start) * (column.stop - column.start) <= pixels


def test_no_other_tiles_cost_less() -> None:
    def cost(down: int, across: int) -> float:
        """Pixels that are read, infinitely many where a tile is too large."""
        rows, columns = spans(900, down, 50, 2), spans(1300, across, 50, 2)
        tile = (rows[0].stop - rows[0].start) * (columns[0].stop - columns[0].start)
        read = len(rows) * len(columns) * tile
        return read if tile <= 200_000 else float("inf")

    best = min(cost(down, across) for down in range(1, 13) for across in range(1, 18))
    assert cost(*tile_counts(900, 1300, 200_000, 50, 2)) == pytest.approx(best, rel=1e-3)


def test_tiles_are_never_tiny() -> None:
    (count, _) = tile_counts(1000, 1000, 1, halo=40)
    assert all(s.last - s.first > SMALLEST_TILE / 2 for s in spans(1000, count, 40))
    assert tile_counts(70, 70, 1, halo=40) == (1, 1)
