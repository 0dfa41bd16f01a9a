"""The region term: what it costs, and that the label costs nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from csgisnet.objective.regions import region_loss
from vocsmooth.classes import VOID


def halves(left: float, right: float) -> Tensor:
    image = torch.full((1, 3, 8, 8), left, dtype=torch.float64)
    image[..., 4:] = right
    return image


MASK = (halves(0, 5)[:, 0]).long()


def test_the_label_costs_nothing_and_pulls_nowhere() -> None:
    generator = torch.Generator().manual_seed(1)
    label = torch.rand(2, 3, 9, 7, generator=generator)
    mask = torch.randint(0, 21, (2, 9, 7), generator=generator)
    result = label.clone().requires_grad_()
    value = region_loss(result, label, mask)
    torch.autograd.backward(value)
    assert value.item() == 0
    assert result.grad is not None
    assert result.grad.abs().max() == 0


def test_a_shift_of_one_region_costs_its_share_and_the_lost_contrast() -> None:
    label, result = halves(0.2, 0.8), halves(0.2, 0.7)
    # the means of half the pixels are off by 0.1; so is the only change across the border
    assert region_loss(result, label, MASK).item() == pytest.approx(0.05 + 0.1)
    assert region_loss(halves(0.2, 0.9), label, MASK).item() == pytest.approx(0.05)


def test_variation_left_inside_a_region_costs() -> None:
    label = halves(0.2, 0.8)
    result = label.clone()
    result[..., ::2, :4] += 0.1
    result[..., 1::2, :4] -= 0.1
    # spread 0.1 in half the pixels; 7 x 4 of 7 x 8 vertical pairs change by 0.2; and the border is
    # 0.1 lower in every second row
    expected = 0.05 + 0.2 * 28 / 56 + 0.1 / 2
    assert region_loss(result, label, MASK).item() == pytest.approx(expected)


def test_a_sample_without_a_mask_counts_as_nothing() -> None:
    label, result = halves(0.2, 0.8), halves(0.9, 0.1)
    nothing = torch.full_like(MASK, VOID)
    assert region_loss(result, label, nothing).item() == 0
    both = region_loss(
        result.repeat(2, 1, 1, 1), label.repeat(2, 1, 1, 1), torch.cat([MASK, nothing])
    )
    torch.testing.assert_close(both, region_loss(result, label, MASK) / 2)


def test_gradient() -> None:
    generator = torch.Generator().manual_seed(3)
    label, result = torch.rand(2, 2, 3, 5, 6, generator=generator, dtype=torch.float64)
    mask = torch.tensor([0, 0, 0, 4, 4, VOID]).expand(2, 5, 6)
    assert torch.autograd.gradcheck(lambda x: region_loss(x, label, mask), result.requires_grad_())
