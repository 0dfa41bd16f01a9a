"""What a segmenter should answer for a mask."""

from __future__ import annotations

import torch

from csgisnet.objective.targets import (
    BOUNDARY,
    INSIDE,
    target_names,
    targets_of,
    weights_of_targets,
)
from vocsmooth.classes import VOC_CLASSES, VOID


def test_a_segmenter_of_classes_answers_the_mask() -> None:
    mask = torch.randint(0, 21, (2, 5, 6))
    assert targets_of(mask, 21) is mask
    assert target_names(21) == VOC_CLASSES


def test_boundaries_lie_within_two_pixels_of_another_class_or_of_void() -> None:
    row = torch.tensor([4] * 5 + [7] * 6 + [VOID] * 2 + [7] * 4)
    expected = [0, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1, VOID, VOID, 1, 1, 0, 0]
    for mask in (row.expand(3, -1), row.expand(2, 3, -1), row.expand(3, -1).T):
        found = targets_of(mask, 2)
        assert found.shape == mask.shape
        assert found.dtype == torch.int64
        line = found[:, 0] if mask.shape[-1] == 3 else found.reshape(-1, len(row))[0]
        assert line.tolist() == expected
    assert target_names(2)[INSIDE] == "inside"
    assert target_names(2)[BOUNDARY] == "boundary"


def test_one_class_has_no_boundary() -> None:
    assert not targets_of(torch.full((2, 4, 4), 9), 2).any()
    assert (targets_of(torch.full((2, 4, 4), VOID), 2) == VOID).all()


def test_boundaries_weigh_more_than_the_inside_and_classes_alike() -> None:
    weights = weights_of_targets(torch.zeros(1, 2, 4, 4))
    assert weights is not None
    assert weights[BOUNDARY] > 3 * weights[INSIDE]
    assert weights_of_targets(torch.zeros(1, 21, 4, 4)) is None
