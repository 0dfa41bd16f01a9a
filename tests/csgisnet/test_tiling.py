"""Tiles: they cover the image once, and a network cannot tell them from the whole image."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from csgisnet.tiling import Image, apply_tiled, spans, tile_side


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


def test_a_filter_with_zero_padding_sees_no_tiles() -> None:
    def box(image: Image) -> Image:
        """Sum over 7 x 7 pixels, zeros beyond the border."""
        padded = np.pad(image, ((3, 3), (3, 3), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (7, 7), axis=(0, 1))
        return np.asarray(windows.sum(axis=(-1, -2), dtype=np.float32))

    image = np.random.default_rng(1).random((83, 50, 3), dtype=np.float32)
    np.testing.assert_array_equal(apply_tiled(box, image, tile=16, halo=3), box(image))


def test_tile_side_keeps_to_the_memory_and_is_never_tiny() -> None:
    side = tile_side(10_000_000, 100.0, halo=40, multiple=2)
    assert side % 2 == 0
    assert (side + 2 * 40) ** 2 * 100 <= 10_000_000
    assert tile_side(1000, 100.0, halo=40) == 64
