"""Tiles: they cover the image once, and a network cannot tell them from the whole image."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from csgisnet.tiling import SMALLEST_TILE, Array, apply_tiled, spans, tile_shape


@pytest.mark.parametrize("length", [1, 7, 64, 65, 130, 1001])
@pytest.mark.parametrize("multiple", [1, 2, 4])
def test_spans_cover_an_axis_once_and_start_at_multiples(length: int, multiple: int) -> None:
    found = list(spans(length, 64, 9, multiple))
    assert found[0].first == 0
    assert found[-1].last == length
    assert all(a.last == b.first for a, b in itertools.pairwise(found))
    assert all(s.start % multiple == 0 and s.last - s.first <= 64 + multiple - 1 for s in found)
    for span in found:
        assert span.start == 0 or span.first - span.start >= 9
        assert span.stop == length or span.stop - span.last >= 9


@pytest.mark.parametrize("shape", [(183, 250, 3), (300, 90), (70, 1000, 1)])
def test_a_filter_with_zero_padding_sees_no_tiles(shape: tuple[int, ...]) -> None:
    largest = 0

    def box(image: Array) -> tuple[Array, Array]:
        """Sum over 7 x 7 pixels, zeros beyond the border; and the first column of each row."""
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
    rows, columns = tile_shape(*size, pixels, halo, multiple)
    for row in spans(size[0], rows, halo, multiple):
        for column in spans(size[1], columns, halo, multiple):
            assert (row.stop - row.start) * (column.stop - column.start) <= pixels


def test_tiles_cost_no_more_than_squares() -> None:
    side = int(500_000**0.5) - 2 * 135
    squares = sum(
        (rows.stop - rows.start) * (columns.stop - columns.start)
        for rows in spans(3000, side, 135)
        for columns in spans(4000, side, 135)
    )
    height, width = tile_shape(3000, 4000, 500_000, 135)
    ours = sum(
        (rows.stop - rows.start) * (columns.stop - columns.start)
        for rows in spans(3000, height, 135)
        for columns in spans(4000, width, 135)
    )
    assert ours <= squares


def test_tiles_are_never_tiny() -> None:
    assert tile_shape(1000, 1000, 1, halo=40) == (SMALLEST_TILE, SMALLEST_TILE)
