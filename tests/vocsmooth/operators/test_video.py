"""Video: lazy, steadier where nothing moves, no ghosts where something does."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from pictures import float_noise

from vocsmooth.arrays import FloatImage
from vocsmooth.operators.guided import guided_filter
from vocsmooth.operators.video import smooth_frames


def test_frames_are_smoothed_one_by_one_when_asked_for() -> None:
    taken = []

    def video() -> Iterator[FloatImage]:
        for number in range(3):
            taken.append(number)
            yield float_noise(6, 7, 3) * np.float32(number / 3)

    smoothed = smooth_frames(video(), guided_filter)
    assert taken == []
    first = next(smoothed)
    assert taken == [0]
    assert np.array_equal(first, guided_filter(np.zeros((6, 7, 3), np.float32)))
    assert len(list(smoothed)) == 2


def test_persistence_steadies_what_is_still_and_leaves_no_ghost() -> None:
    flicker = iter([0.4, 0.6, 0.4, 0.6])
    still = [np.full((4, 4), 0.5, np.float32)] * 4
    shown = [f[0, 0] for f in smooth_frames(still, lambda x: x * 0 + next(flicker))]
    steadier = iter([0.4, 0.6, 0.4, 0.6])
    steady = smooth_frames(still, lambda x: x * 0 + next(steadier), persistence=0.75)
    found = [f[0, 0] for f in steady]
    assert np.ptp(shown) == pytest.approx(0.2)
    assert found == pytest.approx([0.4, 0.45, 0.4375, 0.478125])
    moving = [np.zeros((4, 4, 3)), np.ones((4, 4, 3))]
    *_, last = smooth_frames(moving, lambda x: x, persistence=0.9)
    assert np.array_equal(last, moving[1])


def test_noise_is_no_motion() -> None:
    rng = np.random.default_rng(4)
    clean = np.full((40, 40, 3), 0.5, np.float32)
    noisy = [clean + rng.normal(0, 0.03, clean.shape).astype(np.float32) for _ in range(8)]

    def flicker(persistence: float) -> float:
        frames = list(smooth_frames(noisy, guided_filter, persistence=persistence))
        return float(np.abs(np.diff(frames[4:], axis=0)).mean())

    assert flicker(0.8) < 0.4 * flicker(0.0)


def test_misuse_is_named() -> None:
    image = np.zeros((4, 5), np.float32)
    with pytest.raises(ValueError, match=r"below 1, got 1\.0"):
        smooth_frames([], guided_filter, persistence=1.0)
    with pytest.raises(ValueError, match=r"frame 1 has shape \(5, 4\)"):
        list(smooth_frames([image, image.T], guided_filter, persistence=0.5))
