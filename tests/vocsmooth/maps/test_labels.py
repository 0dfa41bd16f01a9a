"""The screening: on images whose right answer is known the right candidate must win."""

import numpy as np
import pytest
from numpy.typing import NDArray

from vocsmooth.maps.labels import (
    Structure,
    boundary_kept,
    choose_label,
    energy_left,
    find_structure,
    score,
)
from vocsmooth.maps.recipe import Grid, Labels, Operator
from vocsmooth.operators.table import smooth

Image = NDArray[np.float32]
Mask = NDArray[np.uint8]


def make_scene(rim: int = 0, texture: float = 0.06) -> tuple[Image, Image, Mask]:
    """Flat background, a disk and a box of other classes; return flat, textured and mask."""
    y, x = np.indices((96, 128))
    mask = np.zeros((96, 128), np.uint8)
    mask[(y - 45) ** 2 + (x - 40) ** 2 < 25**2] = 8
    mask[20:80, 80:115] = 15
    colors = np.zeros((256, 3), np.float32)
    colors[[0, 8, 15]] = [[0.3, 0.4, 0.5], [0.6, 0.45, 0.3], [0.5, 0.7, 0.6]]
    flat = colors[mask]
    waves = np.sin(x * 1.9 + y * 0.7) + np.sin(y * 2.1 - x * 0.5)
    noise = np.random.default_rng(0).normal(0, 1, (96, 128))
    textured = flat + texture / 2 * (waves + noise)[..., None].astype(np.float32)
    if rim:
        window = np.lib.stride_tricks.sliding_window_view(
            np.pad(mask, rim, "edge"), (2 * rim + 1,) * 2
        )
        mask = np.where(window.min((2, 3)) != window.max((2, 3)), np.uint8(255), mask)
    return flat, np.clip(textured, 0, 1), mask


def mix(one: Image, other: Image, share: float) -> Image:
    return np.asarray(one + share * (other - one), np.float32)


def structure_of(photo: Image, mask: Mask) -> Structure:
    structure = find_structure(photo, mask)
    assert structure is not None
    return structure


@pytest.mark.parametrize("rim", [0, 2])
def test_the_photograph_keeps_and_leaves_everything(rim: int) -> None:
    _, photo, mask = make_scene(rim)
    structure = structure_of(photo, mask)
    assert boundary_kept(structure, photo) == pytest.approx(1, abs=1e-5)
    assert energy_left(structure, photo) == pytest.approx(1, abs=1e-5)
    assert score(1, 1) == 0


@pytest.mark.parametrize("rim", [0, 2])
def test_the_flat_scene_is_nearly_perfect(rim: int) -> None:
    flat, photo, mask = make_scene(rim)
    structure = structure_of(photo, mask)
    assert boundary_kept(structure, flat) > 0.97
    assert energy_left(structure, flat) == 0
    assert score(boundary_kept(structure, flat), 0) > 0.98


def test_one_grey_keeps_nothing_and_leaves_nothing() -> None:
    _, photo, mask = make_scene()
    structure = structure_of(photo, mask)
    grey = np.full_like(photo, 0.4)
    assert boundary_kept(structure, grey) == pytest.approx(0, abs=1e-6)
    assert energy_left(structure, grey) == 0
    assert score(0, 0) == 0


def test_score_is_an_f_measure() -> None:
    assert score(0.8, 0.2) == pytest.approx(0.8)
    assert score(0.9, 0.5) > score(0.5, 0.1)  # boundaries weigh more
    assert score(0.9, 1.2) == 0
    assert score(1, 0) == pytest.approx(1)


def test_half_the_contrast_is_half_kept_and_reversed_contrast_is_none() -> None:
    flat, _, mask = make_scene()
    structure = structure_of(flat, mask)
    grey = np.full_like(flat, 0.4)
    assert boundary_kept(structure, mix(grey, flat, 0.5)) == pytest.approx(0.5, abs=1e-4)
    assert boundary_kept(structure, mix(grey, flat, -1)) == pytest.approx(0, abs=1e-6)
    assert boundary_kept(structure, mix(grey, flat, 1.3)) == pytest.approx(1, abs=1e-4)


def test_texture_of_half_the_strength_is_half_left() -> None:
    flat, photo, mask = make_scene()
    structure = structure_of(photo, mask)
    assert energy_left(structure, mix(flat, photo, 0.5)) == pytest.approx(0.5, abs=1e-4)


def test_void_is_neither_boundary_nor_region() -> None:
    flat, _, mask = make_scene()
    mask[:, 60:70] = 255  # a wide void band between disk and box
    structure = structure_of(flat, mask)
    assert not structure.inside[:, 56:74].any()
    assert structure.inside[:, :10].any()
    band = flat.copy()
    band[:, 62:68] = np.random.default_rng(0).random((96, 6, 3), np.float32)
    assert boundary_kept(structure, band) == pytest.approx(1, abs=1e-5)
    assert energy_left(structure, band) <= energy_left(structure, flat)


@pytest.mark.parametrize("value", [0, 255])
def test_a_mask_without_boundaries_has_no_structure(value: int) -> None:
    _, photo, mask = make_scene()
    assert find_structure(photo, np.full_like(mask, value)) is None


SCREEN = Labels(
    candidates=(
        Grid(operator="rtv", values={"lam": [0.00001, 0.01], "sigma": [3.0]}),
        Grid(operator="rtv", values={"lam": [1.0], "sigma": [8.0]}),
    )
)


@pytest.mark.parametrize("rim", [0, 2])
def test_the_right_candidate_wins(rim: int) -> None:
    """Too weak leaves the texture, too strong melts the objects; that between them must win."""
    flat, photo, mask = make_scene(rim)
    choice = choose_label(photo, structure_of(photo, mask), SCREEN)
    weak, right, strong = choice.candidates
    assert choice.method == "screened"
    assert (
        choice.operator
        == right.operator
        == Operator(operator="rtv", params={"lam": 0.01, "sigma": 3.0})
    )
    assert choice.score == right.score > 0.85
    assert weak.kept > 0.95
    assert weak.left > 0.5
    assert strong.kept < 0.5
    assert strong.left < 0.1
    assert max(weak.score, strong.score) < right.score - 0.2
    # The winner is the candidate nearest to the truth, too.
    errors = [
        float(np.abs(smooth(photo, c.operator.operator, **c.operator.params) - flat).mean())
        for c in choice.candidates
    ]
    assert errors[1] == min(errors)
    np.testing.assert_array_equal(choice.image, smooth(photo, "rtv", lam=0.01, sigma=3.0))


def test_l0_grid_has_its_best_inside() -> None:
    _, photo, mask = make_scene()
    grid = Grid(operator="l0", values={"lam": [0.0001, 0.02, 10.0]})
    choice = choose_label(photo, structure_of(photo, mask), Labels(candidates=(grid,)))
    assert choice.operator is not None
    assert choice.operator.params == {"lam": 0.02}


def test_fixed_and_fallback_operators_are_not_judged() -> None:
    _, photo, mask = make_scene()
    guided = Operator(operator="guided", params={"radius": 2})
    fixed = choose_label(photo, structure_of(photo, mask), Labels(fixed=guided))
    assert (fixed.method, fixed.score, fixed.candidates) == ("fixed", None, ())
    blind = Labels(candidates=SCREEN.candidates, fallback=guided)
    fallback = choose_label(photo, None, blind)
    assert (fallback.method, fallback.operator, fallback.score) == ("fallback", guided, None)
    np.testing.assert_array_equal(fixed.image, smooth(photo, "guided", radius=2))
    np.testing.assert_array_equal(fixed.image, fallback.image)
