"""Applications: known answers, limits that change nothing, and misuse that is named."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from pictures import float_noise

from vocsmooth.operators.applications import abstract, blend, detail_enhance, strength_map
from vocsmooth.operators.table import OPERATORS


@pytest.mark.parametrize("shape", [(9, 12), (9, 12, 3)])
def test_strengths_zero_and_one_give_either_image(shape: tuple[int, ...]) -> None:
    image, smoothed = float_noise(*shape), 1 - float_noise(*shape)
    assert np.array_equal(blend(image, smoothed, 0.0), image)
    np.testing.assert_allclose(blend(image, smoothed, 1.0), smoothed, atol=1e-7)
    left = np.zeros((9, 12), np.float32)
    left[:, :6] = 1
    mixed = blend(image, smoothed, left)
    np.testing.assert_allclose(mixed[:, :6], smoothed[:, :6], atol=1e-7)
    assert np.array_equal(mixed[:, 6:], image[:, 6:])
    assert mixed.dtype == np.float32


def test_detail_grows_by_the_amount_and_is_clipped() -> None:
    image, smoothed = 0.5 + 0.1 * (float_noise(8, 8) - 0.5), np.full((8, 8), 0.5, np.float32)
    assert np.array_equal(detail_enhance(image, smoothed, 0), image)
    enhanced = detail_enhance(image, smoothed, 2.0)
    np.testing.assert_allclose(enhanced - 0.5, 3 * (image - 0.5), atol=1e-6)
    assert detail_enhance(image, smoothed, 1000.0).max() == 1


def test_abstraction_steps_the_luminance_softly() -> None:
    ramp = np.tile(np.linspace(0, 1, 4001), (3, 1))
    result = abstract(ramp, levels=4, edge_strength=0)[0]
    assert np.diff(result).min() >= -1e-12
    assert np.diff(result).max() < 4 / 4000
    np.testing.assert_allclose(result, ramp[0], atol=1 / 8)
    off_tone = np.abs(result[:, None] - np.arange(5) / 4).min(axis=1)
    assert (off_tone < 0.01).mean() > 0.4  # of the ramp itself, 0.08


def test_abstraction_draws_lines_on_the_dark_side_of_edges_only() -> None:
    step = np.full((20, 40, 3), 0.25, np.float32)
    step[:, 20:] = 0.75
    plain, drawn = abstract(step, edge_strength=0), abstract(step, edge_strength=1)
    darker = (plain - drawn).max(axis=2)[10]
    assert darker[18:20].min() > 0.2
    assert darker[:15].max() < 1e-6
    assert darker[20:].max() < 1e-6
    assert drawn.dtype == step.dtype
    assert drawn.shape == step.shape
    assert np.array_equal(abstract(step[..., 0])[10], drawn[10, :, 0])


def test_abstraction_keeps_differences_of_colour() -> None:
    colour = np.zeros((5, 5, 3)) + np.array([0.5, 0.4, 0.3])
    result = abstract(colour, levels=6)
    np.testing.assert_allclose(result - result[..., :1], colour - colour[..., :1], atol=1e-9)


def test_strengths_follow_the_classes_of_the_mask() -> None:
    mask = np.zeros((30, 30), np.uint8)
    mask[:, 15:] = 15
    mask[0] = 255
    strengths = {"person": 0.0, "background": 2.0}
    hard = strength_map(mask, strengths, default=0.5)
    assert (hard[0] == 0.5).all()
    assert (hard[1:, :15] == 2).all()
    assert (hard[1:, 15:] == 0).all()
    soft = strength_map(mask, strengths, default=0.5, feather=2.0)
    assert soft.dtype == np.float32
    assert soft[20, [0, 29]] == pytest.approx([2, 0], abs=1e-3)
    assert (np.diff(soft[20]) <= 1e-6).all()
    assert 0.5 < soft[20, 14] < 1.5


IMAGE = np.zeros((4, 5), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: blend(IMAGE, np.zeros((5, 4), np.float32), 1.0), r"\(4, 5\) and \(5, 4\)"),
        (lambda: blend(IMAGE, IMAGE, np.ones((2, 2))), r"strength.*\(4, 5\).*\(2, 2\)"),
        (lambda: blend(IMAGE, IMAGE + 2, 1.0), "smoothed must lie in"),
        (lambda: abstract(np.zeros((4, 5, 4), np.float32)), r"\(4, 5, 4\)"),
        (lambda: abstract(IMAGE, levels=1), "levels must be at least 2"),
        (lambda: abstract(IMAGE, edge_strength=-1), "edge_strength must be at least 0"),
        (lambda: strength_map(np.zeros((2, 2), np.uint8), {"persn": 1}), "'person'"),
        (lambda: strength_map(np.full((2, 2), 33, np.uint8), {}), "up to 33"),
        (lambda: strength_map(np.zeros((2, 2, 3), np.uint8), {}), r"\(2, 2, 3\)"),
    ],
)
def test_misuse_is_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_operator_will_do(operator: str) -> None:
    """On black and white stripes some operators overshoot."""
    image = np.zeros((24, 24, 3), np.float32)
    image[:, ::4] = 1
    smoothed = OPERATORS[operator](image)
    for result in (detail_enhance(image, smoothed), abstract(smoothed)):
        assert 0 <= result.min() <= result.max() <= 1


def test_a_smoothed_image_of_another_scale_is_refused() -> None:
    image = float_noise(6, 6)
    with pytest.raises(ValueError, match=r"smoothed must lie in \[0, 1\]"):
        blend(image, image * 255, 1.0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_strengths_that_are_no_numbers_are_refused(value: float) -> None:
    image, mask = float_noise(4, 4), np.zeros((4, 4), np.uint8)
    with pytest.raises(ValueError, match="strength must be finite"):
        blend(image, image, np.full((4, 4), value))
    with pytest.raises(ValueError, match="strength must be finite"):
        detail_enhance(image, image, value)
    with pytest.raises(ValueError, match="strength of cat must be finite"):
        strength_map(mask, {"cat": value})
    with pytest.raises(ValueError, match="default must be finite"):
        strength_map(mask, {}, default=value)
