"""Drawn scenes: without texture, varied, and a function of the generator alone."""

import numpy as np
import pytest
from numpy.typing import NDArray

from vocsmooth.classes import VOID
from vocsmooth.sources.drawing import draw_rims, draw_scene
from vocsmooth.sources.shapes import KINDS

SIZE = (96, 128)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_scene_depends_on_its_generator_alone() -> None:
    first, again, other = draw_scene(rng(), SIZE), draw_scene(rng(), SIZE), draw_scene(rng(1), SIZE)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.mask, again.mask)
    assert (first.image != other.image).any()


def test_scenes_are_structure() -> None:
    """Most neighbours are all but equal; a texture of 10 grey levels would leave next to none."""
    for seed in range(10):
        scene = draw_scene(rng(seed), SIZE)
        assert scene.image.shape == (*SIZE, 3)
        assert scene.image.dtype == scene.mask.dtype == np.uint8
        steps = np.abs(np.diff(scene.image.astype(int), axis=1)).max(axis=2)
        assert (steps <= 3).mean() > 0.7


def test_masks_name_the_kinds_and_rims_part_them() -> None:
    seen = set[int]()
    for seed in range(20):
        mask = draw_scene(rng(seed), (224, 256)).mask
        seen |= set(np.unique(mask).tolist())
        a, b = mask[:, :-1], mask[:, 1:]
        touching = (a != b) & (a != VOID) & (b != VOID)
        assert not touching.any()
    assert seen == {*range(len(KINDS) + 1), VOID}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_covers_pixels_in_part_and_whole(kind: str) -> None:
    in_part = 0
    for seed in range(8):
        cover = KINDS[kind](rng(seed), SIZE)
        assert cover.shape == SIZE
        assert cover.dtype == np.float32
        assert cover.min() >= 0
        assert cover.max() <= 1
        in_part += bool(((cover > 0) & (cover < 1)).any())
    assert in_part >= 4  # an object may lie outside of the image, and most do not


def test_pictures_fill_scenes() -> None:
    """A picture of stripes one pixel wide turns up as rows that differ; nothing else drawn does."""
    stripes = np.zeros((120, 150, 3), np.float32)
    stripes[::2] = 1
    striped = sum(stripe_share(draw_scene(rng(seed), SIZE, [stripes]).image) for seed in range(12))
    plain = sum(stripe_share(draw_scene(rng(seed), SIZE).image) for seed in range(12))
    black = sum(
        stripe_share(draw_scene(rng(seed), SIZE, [np.zeros_like(stripes)]).image)
        for seed in range(12)
    )
    assert striped > 0.5
    assert max(plain, black) < striped / 5


def stripe_share(image: NDArray[np.uint8]) -> float:
    """Share of the pixels that differ by more than 60 levels from both rows beside them."""
    grey = image.astype(int).mean(axis=2)
    above, below = grey[1:-1] - grey[:-2], grey[1:-1] - grey[2:]
    return float(((np.abs(above) > 60) & (np.abs(below) > 60) & (above * below > 0)).mean())


def test_rims_are_as_wide_as_asked() -> None:
    mask = np.zeros((9, 20), np.uint8)
    mask[:, 10:] = 3
    rimmed = draw_rims(mask, 5)
    assert rimmed[4].tolist() == [0] * 8 + [VOID] * 4 + [3] * 8


def test_small_scenes_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 x 32"):
        draw_scene(rng(), (31, 64))
