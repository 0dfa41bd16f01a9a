"""Drawn scenes: without texture, varied, and a function of the generator alone."""

import numpy as np
import pytest

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
    for seed in range(8):
        cover = KINDS[kind](rng(seed), SIZE)
        assert cover.shape == SIZE
        assert cover.dtype == np.float32
        assert cover.min() >= 0
        assert cover.max() <= 1
    assert any(0 < share < 1 for share in np.unique(cover)) or not cover.any()


def test_pictures_fill_scenes() -> None:
    """With one picture of a colour that nothing else has, that colour turns up."""
    marked = np.full((40, 50, 3), [1, 1, 0.5], np.float32)
    marked[::2] = [0.5, 1, 1]
    images = [draw_scene(rng(seed), SIZE, [marked]).image for seed in range(12)]
    plain = [draw_scene(rng(seed), SIZE).image for seed in range(12)]
    assert sum((a != b).any() for a, b in zip(images, plain, strict=True)) > 6


def test_rims_are_as_wide_as_asked() -> None:
    mask = np.zeros((9, 20), np.uint8)
    mask[:, 10:] = 3
    rimmed = draw_rims(mask, 5)
    assert rimmed[4].tolist() == [0] * 8 + [VOID] * 4 + [3] * 8


def test_small_scenes_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 x 32"):
        draw_scene(rng(), (31, 64))
