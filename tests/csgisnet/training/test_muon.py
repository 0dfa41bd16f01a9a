"""Muon, compared with singular values, with torch's own Muon and with its definition."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from csgisnet.training.muon import Muon, orthogonalise


def weight(*shape: int, seed: int = 0) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize(("rows", "columns"), [(8, 72), (72, 8)])
def test_singular_values_come_to_about_one(rows: int, columns: int) -> None:
    matrices = torch.randn(3, rows, columns, generator=torch.Generator().manual_seed(1))
    matrices[1] *= 1e-3
    result = orthogonalise(matrices)
    assert result.shape == matrices.shape
    values = torch.linalg.svdvals(result)
    assert float(values.min()) > 0.6
    assert float(values.max()) < 1.3


@pytest.mark.parametrize(("rows", "columns"), [(6, 40), (40, 6), (12, 12)])
def test_directions_are_kept(rows: int, columns: int) -> None:
    """Singular vectors stay: U S V^T becomes U S' V^T."""
    matrix = torch.randn(1, rows, columns, generator=torch.Generator().manual_seed(2))
    u, _, v = torch.linalg.svd(matrix[0].double(), full_matrices=False)
    turned = u.mT @ orthogonalise(matrix)[0].double() @ v.mT
    assert float((turned - turned.diagonal().diag()).abs().max()) < 1e-3
    assert float(turned.diagonal().min()) > 0.1


def test_a_matrix_of_zeros_stays_zero() -> None:
    assert float(orthogonalise(torch.zeros(2, 4, 9)).abs().max()) == 0


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(16, 48), (48, 16)])
def test_steps_are_those_of_torch_on_matrices(shape: tuple[int, int], weight_decay: float) -> None:
    """Torch's Muon rounds to bfloat16, hence the tolerance: a share of the step."""
    ours, theirs = weight(*shape), weight(*shape)
    start = ours.detach().clone()
    mine = Muon([ours], lr=0.01, weight_decay=weight_decay)
    torchs = torch.optim.Muon(
        [theirs], lr=0.01, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
    )
    for seed in range(5):  # other gradients every time, so that momentum counts
        gradient = weight(*shape, seed=seed).detach()
        for parameter, optimizer in ((ours, mine), (theirs, torchs)):
            parameter.grad = gradient.clone()
            optimizer.step()
    taken, apart = theirs.detach() - start, (ours - theirs).detach()
    assert float(apart.norm()) < 0.03 * float(taken.norm())


def test_shape_layout_and_company_change_no_step() -> None:
    """A convolution is the matrix of its flattened rows, alone or stacked with others alike."""

    def stepped(weights: list[nn.Parameter], gradients: list[Tensor]) -> list[Tensor]:
        optimizer = Muon(weights, lr=0.1)
        for parameter, gradient in zip(weights, gradients, strict=True):
            parameter.grad = gradient.clone(memory_format=torch.preserve_format)
        optimizer.step()
        return [parameter.detach().flatten(1) for parameter in weights]

    first, second = weight(8, 4, 3, 3, seed=4), weight(8, 4, 3, 3, seed=5)
    gradients = [torch.randn_like(first), torch.randn_like(second)]
    together = stepped([first, second], gradients)
    alone = stepped(
        [nn.Parameter(weight(8, 4, 3, 3, seed=4).detach().flatten(1))], [gradients[0].flatten(1)]
    )
    last = weight(8, 4, 3, 3, seed=5).detach().to(memory_format=torch.channels_last)
    (turned,) = stepped([nn.Parameter(last)], [gradients[1].to(memory_format=torch.channels_last)])
    torch.testing.assert_close(together[0], alone[0])
    torch.testing.assert_close(together[1], turned)


def test_parameters_without_gradient_stay_and_closures_are_refused() -> None:
    parameter = weight(4, 4)
    before = parameter.detach().clone()
    optimizer = Muon([parameter], lr=1.0)
    optimizer.step()
    assert torch.equal(parameter, before)
    with pytest.raises(ValueError, match="closure"):
        optimizer.step(lambda: 0.0)
