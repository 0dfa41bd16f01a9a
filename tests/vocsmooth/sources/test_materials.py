"""Scenes whose classes have colours and shapes of their own."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from vocsmooth.classes import VOID
from vocsmooth.sources.materials import PAIRS, draw_class_scene


def test_scenes_hold_every_class_in_the_end_and_plain_objects() -> None:
    seen: set[int] = set()
    for seed in range(12):
        scene = draw_class_scene(np.random.default_rng(seed), (64, 72))
        assert scene.image.shape == (64, 72, 3)
        classes = set(np.unique(scene.mask).tolist()) - {VOID}
        assert 0 in classes or len(classes) > 1
        seen |= classes
    assert seen == set(range(2 * PAIRS + 1))


def test_the_same_generator_draws_the_same_scene() -> None:
    first, again = (draw_class_scene(np.random.default_rng(7), (40, 40)) for _ in range(2))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.mask, again.mask)


def test_hues_of_a_pair_overlap_and_those_of_pairs_do_not() -> None:
    hues: dict[int, list[float]] = {}
    for seed in range(40):
        scene = draw_class_scene(np.random.default_rng(seed), (48, 48))
        for index in set(np.unique(scene.mask).tolist()) - {0, VOID}:
            for colour in np.unique(scene.image[scene.mask == index], axis=0):
                hue, saturation, _ = colorsys.rgb_to_hsv(*(colour / 255))
                if saturation > 0.4:
                    hues.setdefault(index, []).append((hue + 40 / 360) % 1)
    spans = {index: (np.quantile(h, 0.02), np.quantile(h, 0.98)) for index, h in hues.items()}
    for odd in range(1, 2 * PAIRS, 2):
        assert spans[odd][1] > spans[odd + 1][0]
    for even in range(2, 2 * PAIRS, 2):
        assert spans[even][1] < spans[even + 1][0] + 0.12


def test_a_scene_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 32 x 32 pixels, got \(31, 64\)"):
        draw_class_scene(np.random.default_rng(0), (31, 64))
