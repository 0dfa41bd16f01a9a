"""Luminance, gradient and binary edges."""

import numpy as np
import pytest

from vocsmooth.operators.edges import find_edges, luminance, sobel


def test_luminance_is_rec_601() -> None:
    colors = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    np.testing.assert_allclose(luminance(colors), [[76.245, 149.685, 29.07, 255.0]], rtol=1e-6)


def test_gradient_of_a_ramp_and_of_a_step() -> None:
    rows, columns = np.indices((9, 9)).astype(np.float32)
    # Sobel of a unit ramp is 8 per axis.
    np.testing.assert_allclose(sobel(3 * columns + 2 * rows)[1:-1, 1:-1], (8 * 3 + 8 * 2) / 2)
    step = np.where(columns > 4, np.float32(10), np.float32(0))
    np.testing.assert_allclose(sobel(step)[4], [0, 0, 0, 0, 20, 20, 0, 0, 0])


@pytest.mark.parametrize(("height", "edge"), [(25, 0), (26, 1)])
def test_threshold_is_exclusive(height: int, edge: int) -> None:
    label = np.zeros((6, 8, 3), np.uint8)
    label[:, 4:] = height  # gradient 2 x height on both sides of the step
    edges = find_edges(label, threshold=50)
    assert edges.dtype == np.uint8
    assert edges[:, [3, 4]].tolist() == [[edge, edge]] * 6
    assert edges.sum() == 12 * edge


def test_gradients_at_the_threshold_are_exact() -> None:
    """Rec. 601 of whole grey levels in thousandths: nothing is rounded, whatever the processor."""
    label = np.random.default_rng(1).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    luma = label.astype(np.int64) @ np.array([299, 587, 114])
    right = luma[:, 2:] - luma[:, :-2]
    down = luma[2:] - luma[:-2]
    across = right[:-2] + 2 * right[1:-1] + right[2:]
    along = down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]
    gradient = np.abs(across) + np.abs(along)
    for threshold in np.unique(gradient)[::200]:
        expected = gradient > threshold
        assert np.array_equal(find_edges(label, threshold / 2000)[1:-1, 1:-1], expected)


def test_lower_threshold_finds_no_fewer_edges() -> None:
    label = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    counts = [int(find_edges(label, threshold=t).sum()) for t in (0, 50, 100, 1020)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 0
