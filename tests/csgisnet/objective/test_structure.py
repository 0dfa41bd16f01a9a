import pytest
import torch
from torch.nn import functional

from csgisnet.evaluation import metrics
from csgisnet.objective.structure import ssim, structure_loss


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
