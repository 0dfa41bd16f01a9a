"""Procedural tiles: seamless, normalised, different for every generator."""

import numpy as np
import pytest

from vocsmooth.maps.procedural import CONTRAST, FAMILIES, draw_tile
from vocsmooth.maps.torus import SIZE


def test_the_families() -> None:
    assert list(FAMILIES) == sorted(FAMILIES)
    assert set(FAMILIES) >= {"bricks", "grain", "granite", "planks", "stripes", "weave", "wood"}


@pytest.mark.parametrize(
    ("family", "low", "high"), [("planks", 0.0, 0.6), ("grain", 1.5, 99.0), ("granite", 0.8, 1.25)]
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_which_way_a_family_runs(family: str, low: float, high: float, seed: int) -> None:
    """Energy of steps across over that of steps down: planks lie, grain stands."""
    tile = draw_tile(family, np.random.default_rng(seed))
    across, down = (np.square(tile - np.roll(tile, 1, axis)).mean() for axis in (1, 0))
    assert low < across / down < high


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", [0, 1])
def test_tile(family: str, seed: int) -> None:
    tile = draw_tile(family, np.random.default_rng(seed))
    assert tile.shape == (SIZE, SIZE)
    assert tile.dtype == np.float32
    assert abs(tile.mean()) < 1
    assert tile.std() == pytest.approx(CONTRAST, rel=0.1)
    assert np.abs(tile).max() <= 4 * CONTRAST
    np.testing.assert_array_equal(tile, draw_tile(family, np.random.default_rng(seed)))
    assert not np.array_equal(tile, draw_tile(family, np.random.default_rng(seed + 2)))


@pytest.mark.parametrize("family", FAMILIES)
def test_tiles_join_without_a_seam(family: str) -> None:
    tile = draw_tile(family, np.random.default_rng(3))
    for axis in (0, 1):
        steps = np.abs(tile - np.roll(tile, 1, axis)).mean(1 - axis)
        # The step across the seam is no larger than the largest inside.
        assert steps[0] <= 1.01 * steps[1:].max()


@pytest.mark.parametrize("family", FAMILIES)
def test_no_broad_shading(family: str) -> None:
    tile = draw_tile(family, np.random.default_rng(4))
    blocks = tile.reshape(4, SIZE // 4, 4, SIZE // 4).mean((1, 3))
    assert blocks.std() < 0.15 * CONTRAST
