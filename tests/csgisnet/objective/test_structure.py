import pytest
import torch
from torch.nn import functional

from csgisnet.evaluation import metrics
from csgisnet.objective.similarity import mean_similarity
from csgisnet.objective.structure import (
    Border,
    _kept_window_means,
    _windows,
    ssim,
    structure_loss,
)
from vocsmooth.operators import kernels


def images(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    a = torch.rand(shape, generator=generator, dtype=torch.float64)
    return a, (a + 0.2 * torch.rand(shape, generator=generator, dtype=torch.float64)).clamp(0, 1)


def test_equals_the_measure() -> None:
    a, b = images(2, 3, 40, 33)
    for image, label, value in zip(a, b, ssim(a, b).mean(dim=(1, 2, 3)), strict=True):
        expected = metrics.ssim(image.permute(1, 2, 0).numpy(), label.permute(1, 2, 0).numpy())
        assert value.item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("pool", ["max", "average"])
def test_is_zero_for_equal_images_of_any_size(pool: str) -> None:
    for size in ((1, 1), (2, 9), (11, 30), (64, 64)):
        a = torch.rand(2, 3, *size)
        assert structure_loss(a, a, pool).item() == pytest.approx(0, abs=1e-5)  # type: ignore[arg-type]


def test_sums_four_scales() -> None:
    a, b = images(2, 3, 128, 96)
    expected = 4.0
    for _ in range(4):
        expected -= ssim(a, b).mean().item()
        a, b = functional.max_pool2d(a, 2), functional.max_pool2d(b, 2)
    assert structure_loss(*images(2, 3, 128, 96)).item() == pytest.approx(expected)


def test_flat_images_have_the_value_of_the_luminance_term() -> None:
    a, b = torch.full((1, 1, 64, 64), 0.5), torch.full((1, 1, 64, 64), 0.25)
    term = (2 * 0.5 * 0.25 + 1e-4) / (0.5**2 + 0.25**2 + 1e-4)
    assert structure_loss(a, b).item() == pytest.approx(4 * (1 - term), abs=1e-4)


def test_gradient() -> None:
    a, b = images(1, 1, 8, 6)
    a.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: structure_loss(x, b, "average"), a)
    assert torch.autograd.gradcheck(lambda x: structure_loss(x, b, "max"), a)
    assert torch.autograd.gradcheck(lambda x: structure_loss(x, b, "max", "zeros"), a)


def test_several_batches_at_once_are_compared_with_the_same_labels() -> None:
    a, b = images(2, 3, 40, 33)
    several = torch.stack([a, b, a.flip(0)])
    expected = torch.stack([structure_loss(image, b) for image in several])
    torch.testing.assert_close(structure_loss(several, b), expected, rtol=1e-12, atol=1e-12)


def test_windows_made_during_a_prediction_serve_a_training() -> None:
    size = (1, 1, 37, 53)  # of no other test: the windows are made here
    with torch.inference_mode():
        structure_loss(torch.zeros(size), torch.zeros(size))
    image = torch.full(size, 0.5, requires_grad=True)
    torch.autograd.backward(structure_loss(image, torch.zeros(size)))
    assert image.grad is not None


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("size", [(40, 33), (9, 64), (11, 11)])
@pytest.mark.parametrize("border", ["inside", "zeros"])
def test_the_derivative_in_one_go_is_that_of_the_maps(
    border: Border, size: tuple[int, int], compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr(kernels, "library", None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    a, b = images(2, 3, *size)
    several = torch.stack([a, b.flip(0), a.flip(1)])
    parts = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    for kind, tolerance in ((torch.float64, 1e-11), (torch.float32, 2e-4)):
        image, label = several.to(kind).requires_grad_(), b.to(kind)
        windows = _windows(image, border)
        means = mean_similarity(image, label, *windows, 0.5 if border == "inside" else 0.0)
        maps = ssim(several.requires_grad_(), b, border).mean(dim=(1, 2, 3, 4))
        torch.testing.assert_close(means.double(), maps, rtol=0, atol=tolerance)
        (found,) = torch.autograd.grad(means @ parts.to(kind), image)
        (expected,) = torch.autograd.grad(maps @ parts, several)
        error = (found - expected).abs().max() / expected.abs().max()
        assert error < tolerance


def test_a_gradient_reaches_the_labels_too() -> None:
    a, b = images(1, 1, 24, 24)
    assert torch.autograd.gradcheck(lambda y: structure_loss(a, y, "average"), b.requires_grad_())


def test_windows_are_made_once_for_all_steps() -> None:
    image, label = images(1, 1, 61, 59)  # of no other test
    structure_loss(image, label)
    made = _kept_window_means.cache_info().misses
    for _ in range(3):
        structure_loss(image, label)
    assert _kept_window_means.cache_info().misses == made
