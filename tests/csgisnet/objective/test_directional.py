"""Contrast by direction and its gate: known answers on images that differ along known lines."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from csgisnet.objective.directional import closer_than, contrast_directional


def draw(batch: int = 2, count: int = 2, side: int = 24) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    images = torch.rand(batch, 1 + count, 3, side, side, generator=generator, dtype=torch.float64)
    return images[:, 0].clone(), images[:, 1:].clone()


def towards(label: Tensor, negative: Tensor, share: float) -> Tensor:
    return label + share * (negative - label)


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_a_share_of_the_way_to_the_negative_costs_its_square(share: float) -> None:
    label, negatives = draw(count=1)
    value = contrast_directional(towards(label, negatives[:, 0], share), label, negatives)
    assert value.item() == pytest.approx(share**2, rel=1e-2)


@pytest.mark.parametrize("share", [0.0, -0.3])
def test_the_label_and_what_lies_beyond_it_cost_nothing(share: float) -> None:
    label, negatives = draw(count=1)
    result = towards(label, negatives[:, 0], share).requires_grad_()
    value = contrast_directional(result, label, negatives)
    torch.autograd.backward(value)
    assert value.item() == 0
    assert result.grad is not None
    assert result.grad.abs().max() == 0


def test_a_difference_at_right_angles_to_the_negatives_costs_nothing() -> None:
    label = torch.zeros(1, 3, 16, 16)
    ramp = torch.linspace(0, 1, 16)
    down = ramp[:, None].expand(16, 16).expand(1, 3, 16, 16)
    assert contrast_directional(0.5 * down, label, down.mT[:, None]).item() == pytest.approx(0)
    assert contrast_directional(0.5 * down, label, down[:, None]).item() > 0.1


def test_a_negative_equal_to_the_label_has_no_direction() -> None:
    label, negatives = draw(count=1)
    assert contrast_directional(negatives[:, 0], label, label[:, None]).item() == 0


@pytest.mark.parametrize("side", [3, 11])
def test_gradient(side: int) -> None:
    label, negatives = draw(side=side)
    result = towards(label, negatives.mean(dim=1), 0.4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: contrast_directional(x, label, negatives), result)


def test_the_gate_opens_once_the_result_is_closer_than_the_negative() -> None:
    label, negatives = draw(count=1)
    near, far = (towards(label, negatives[:, 0], share) for share in (0.9, 1.1))
    assert closer_than(near, label, negatives).tolist() == [[1.0], [1.0]]
    assert closer_than(far, label, negatives).tolist() == [[0.0], [0.0]]
    mixed = torch.stack([near[0], far[1]])
    gate = closer_than(mixed, label, negatives)
    assert gate.tolist() == [[1.0], [0.0]]
    gated = contrast_directional(mixed, label, negatives, gate)
    alone = contrast_directional(near[:1], label[:1], negatives[:1])
    torch.testing.assert_close(gated, alone / 2)
