import math

import pytest
import torch

from csgisnet.objective.config import LossConfig
from csgisnet.objective.losses import (
    UNKNOWN,
    distinctive_tv,
    edge_loss,
    l1_loss,
    semantic_loss,
)
from vocsmooth.classes import VOID


def test_l1_value() -> None:
    a, b = torch.zeros(2, 3, 2, 2), torch.full((2, 3, 2, 2), 0.25)
    b[1] = -0.75
    assert l1_loss(a, b).item() == pytest.approx(0.5)


def test_edge_value_of_a_quarter_edges() -> None:
    edge = torch.tensor([[1.0, 0.0], [0.0, 0.0]]).reshape(1, 1, 2, 2)
    logits = torch.tensor([[2.0, -1.0], [0.0, 3.0]]).reshape(1, 1, 2, 2)

    def softplus(x: float) -> float:
        return math.log1p(math.exp(x))

    expected = 0.75 * softplus(-2) + 0.25 * (softplus(-1) + softplus(0) + softplus(3))
    assert edge_loss(logits, edge).item() == pytest.approx(expected / 4)


def test_default_edge_weight_is_the_authors_sum_over_eight_patches() -> None:
    edge = (torch.rand(8, 1, 128, 128) > 0.8).float()
    logits = torch.randn(8, 1, 128, 128)
    share = edge.mean(dim=(1, 2, 3), keepdim=True)
    cost = -(1 - share) * edge * logits.sigmoid().log()
    cost = cost - share * (1 - edge) * (1 - logits.sigmoid()).log()
    weighted = LossConfig().edge * edge_loss(logits, edge)
    assert weighted.item() == pytest.approx(0.001 * cost.sum().item(), rel=1e-5)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_edge_gradient_never_vanishes_on_a_patch_of_one_kind(value: float) -> None:
    logits = torch.zeros(2, 1, 4, 4, requires_grad=True)
    torch.autograd.backward(edge_loss(logits, torch.full((2, 1, 4, 4), value)))
    assert logits.grad is not None
    assert (logits.grad * (0.5 - value) > 0).all()


def test_unknown_edges_cost_nothing() -> None:
    logits, image = torch.randn(2, 1, 6, 6), torch.rand(2, 3, 6, 6)
    edge = (torch.rand(2, 1, 6, 6) > 0.5).float()
    unknown = edge.clone()
    unknown[1] = UNKNOWN
    known_alone = edge_loss(logits[:1], edge[:1]) / 2
    torch.testing.assert_close(edge_loss(logits, unknown), known_alone)
    assert distinctive_tv(image[1:], unknown[1:]).item() == 0


def test_semantic_value_ignores_void_per_sample() -> None:
    logits = torch.zeros(3, 4, 2, 2)
    logits[1, 2] = 5.0
    mask = torch.full((3, 2, 2), VOID)
    mask[0, 0, 0] = 1  # log 4
    mask[1] = 2
    sure = math.log(1 + 3 * math.exp(-5))
    expected = (math.log(4) + sure + 0) / 3
    assert semantic_loss(logits, mask).item() == pytest.approx(expected)


def test_a_pixel_is_called_boundary_before_it_is_one_more_often_than_not() -> None:
    """Of ten equal pixels three are boundary: the best answer for all is boundary."""
    logits = torch.zeros(1, 2, 1, 10, requires_grad=True)
    mask = torch.tensor([[[1] * 3 + [0] * 7]])
    shared = logits.mean(dim=-1, keepdim=True).expand_as(logits)
    (slope,) = torch.autograd.grad(semantic_loss(shared, mask), logits)
    assert slope[0, 1].sum() < 0 < slope[0, 0].sum()
    (slope,) = torch.autograd.grad(semantic_loss(shared.repeat(1, 2, 1, 1), mask), logits)
    assert slope[0, 1].sum() > 0  # of more classes none is preferred


@pytest.mark.parametrize("edge_column", [2, 3])
@pytest.mark.parametrize("turned", [False, True])
def test_tv_of_a_step_with_and_without_its_edge(turned: bool, edge_column: int) -> None:
    image, edge = torch.zeros(1, 3, 4, 6), torch.zeros(1, 1, 4, 6)
    image[..., 3:] = 1.0
    if turned:
        image, edge = image.mT, edge.mT
    # 4 of 4 x 5 + 3 x 6 pairs differ; nothing wraps round from the last column to the first
    assert distinctive_tv(image, edge).item() == pytest.approx(4 / 38)
    (edge.mT if turned else edge)[..., edge_column] = 1.0
    assert distinctive_tv(image, edge).item() == 0
    assert distinctive_tv(image, torch.ones_like(edge)).item() == 0


def test_gradients_by_finite_differences() -> None:
    generator = torch.Generator().manual_seed(2)
    image = torch.rand(2, 3, 4, 5, dtype=torch.float64, generator=generator).requires_grad_()
    label = torch.rand(2, 3, 4, 5, dtype=torch.float64, generator=generator)
    logits = torch.randn(2, 1, 4, 5, dtype=torch.float64, generator=generator).requires_grad_()
    edge = (torch.rand(2, 1, 4, 5, generator=generator) > 0.7).double()
    mask = torch.tensor([0, 1, 2, VOID]).repeat(10).reshape(2, 4, 5)
    check = torch.autograd.gradcheck
    assert check(lambda x: l1_loss(x, label), image)
    assert check(lambda x: distinctive_tv(x, edge), image)
    assert check(lambda x: edge_loss(x, edge), logits)
    assert check(lambda x: semantic_loss(x, mask), image)
