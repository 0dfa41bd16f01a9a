from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import pytest
import torch
from torch import Tensor

from csgisnet.objective.contrast import (
    contrast_positive,
    contrast_push,
    contrast_ratio,
    contrast_triplet,
)

Images: TypeAlias = tuple[Tensor, Tensor, Tensor]


def identity(image: Tensor) -> tuple[Tensor, ...]:
    """Features that make every distance one of pixels."""
    return (image,)


def smooth(image: Tensor) -> tuple[Tensor, ...]:
    """Two differentiable layers of features, the second with four channels at half the size."""
    mix = torch.arange(12.0, dtype=image.dtype).reshape(4, 3, 1, 1).sin()
    deep = torch.nn.functional.conv2d(image, mix).tanh()
    return image**2, torch.nn.functional.avg_pool2d(deep, 2)


def flat(*values: float) -> Tensor:
    """One flat image (B, 3, 4, 4) a value."""
    return torch.tensor(values).reshape(-1, 1, 1, 1).expand(-1, 3, 4, 4).clone()


ratio = partial(contrast_ratio, features=identity, layers=(1.0,), eps=0.01)
triplet = partial(contrast_triplet, features=identity)
FORMS = pytest.mark.parametrize(
    "loss",
    [
        partial(contrast_ratio, features=smooth, layers=(0.25, 1.0), eps=0.01),
        partial(contrast_triplet, features=smooth),
        partial(contrast_push, features=smooth, layers=(0.25, 1.0)),
    ],
    ids=["ratio", "triplet", "push"],
)


def draw(batch: int, negatives: int, dtype: torch.dtype = torch.float32) -> Images:
    generator = torch.Generator().manual_seed(batch)
    images = torch.rand(batch, 2 + negatives, 3, 6, 6, generator=generator, dtype=dtype)
    return images[:, 0].clone(), images[:, 1].clone(), images[:, 2:].clone()


def test_ratio_of_flat_images() -> None:
    # distance 0.1 to the label; 0.2 and 0.4 to the negatives, which the label is 0.3 from
    negatives = torch.stack([flat(0.3), flat(0.9)], dim=1)
    value = ratio(flat(0.5), flat(0.6), negatives)
    assert value.item() == pytest.approx(0.1 / ((0.2 + 0.3) / 2 + 0.01))


def test_ratio_weighs_layers() -> None:
    def twice(image: Tensor) -> tuple[Tensor, ...]:
        return image, 2 * image

    value = contrast_ratio(
        flat(0.5), flat(0.6), flat(0.3)[:, None], twice, layers=(1 / 4, 1.0), eps=1e-6
    )
    assert value.item() == pytest.approx(0.25 * 0.1 / 0.2 + 0.2 / 0.4, rel=1e-4)


@pytest.mark.parametrize(
    ("result", "label", "negative"),
    [(0.5, 0.6, 0.3), (0.5, 0.9, 0.3), (0.62, 0.6, 0.5)],
    ids=["margin is the label's distance", "margin is the largest", "small margins"],
)
def test_triplet_of_flat_images(result: float, label: float, negative: float) -> None:
    def pixels(a: float, b: float) -> float:
        return abs(a - b)

    def texture(a: float, b: float) -> float:
        return 9 * ((a**2 - b**2) / 3) ** 2  # Gram matrix of three equal channels v: 9 x v^2 / 3

    expected = 0.0
    for distance, margin in ((pixels, 0.3), (texture, 0.04)):
        apart = distance(result, label) - distance(result, negative)
        expected += max(0.0, apart + min(margin, distance(label, negative)))
    value = triplet(flat(result), flat(label), flat(negative)[:, None])
    assert value.item() == pytest.approx(expected, abs=1e-6)


@FORMS
def test_label_is_a_minimum_that_no_flight_from_the_negatives_beats(
    loss: Callable[..., Tensor],
) -> None:
    label, negative = flat(0.6), flat(0.3)[:, None]
    at_label = loss(label, label, negative)
    assert at_label.item() == pytest.approx(0, abs=1e-6)
    for value in (0.3, 0.5, 0.7, 0.9, 2.0):
        assert loss(flat(value), label, negative) >= at_label


def test_far_away_negatives_pull_no_longer() -> None:
    result = flat(0.9).requires_grad_()  # farther from the negative than the label is
    torch.autograd.backward(ratio(result, flat(0.6), flat(0.3)[:, None]))
    assert result.grad is not None
    # only the numerator's gradient is left: sign / count / (d(label, negative) + eps)
    torch.testing.assert_close(result.grad, torch.full_like(result, 1 / 48 / 0.31))


def test_gradient_to_leave_only_near_negatives() -> None:
    result = flat(0.5).requires_grad_()  # nearer to the negative than the label is
    torch.autograd.backward(ratio(result, flat(0.6), flat(0.3)[:, None]))
    assert result.grad is not None
    slope = -1 / 48 / 0.21 - 0.1 / 48 / 0.21**2
    torch.testing.assert_close(result.grad, torch.full_like(result, slope))


@FORMS
def test_negative_equal_to_the_label_keeps_the_loss_bounded(loss: Callable[..., Tensor]) -> None:
    result, label, _ = draw(2, 1)
    assert loss(result, label, label[:, None]).isfinite()
    assert loss(label, label, label[:, None]).item() == 0


@FORMS
@pytest.mark.parametrize("count", [1, 3])
def test_independent_of_batch_size(loss: Callable[..., Tensor], count: int) -> None:
    batch = draw(4, count)
    alone = torch.stack([loss(*(x[i : i + 1] for x in batch)) for i in range(4)])
    torch.testing.assert_close(loss(*batch), alone.mean())


@FORMS
def test_gradient(loss: Callable[..., Tensor]) -> None:
    result, label, negatives = draw(2, 2, torch.float64)
    result.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, label, negatives), result)


@FORMS
def test_order_of_the_negatives_does_not_matter(loss: Callable[..., Tensor]) -> None:
    result, label, negatives = draw(2, 3)
    torch.testing.assert_close(
        loss(result, label, negatives), loss(result, label, negatives.flip(1))
    )


@FORMS
def test_no_negative_is_refused(loss: Callable[..., Tensor]) -> None:
    with pytest.raises(ValueError, match="at least one negative"):
        loss(*draw(2, 0))


def test_number_of_layers_is_checked() -> None:
    with pytest.raises(ValueError, match="layers has length 2, and the features 1"):
        contrast_ratio(*draw(1, 1), identity, layers=(1.0, 1.0))


def test_half_precision_features_are_compared_in_float32() -> None:
    def half(image: Tensor) -> tuple[Tensor, ...]:
        return tuple(m.bfloat16() for m in smooth(image))

    batch = draw(2, 2)
    value = contrast_ratio(*batch, half, layers=(0.25, 1.0))
    expected = contrast_ratio(*batch, smooth, layers=(0.25, 1.0))
    torch.testing.assert_close(value, expected, rtol=0.05, atol=0.01)  # and of equal dtype
    value, expected = contrast_triplet(*batch, half), contrast_triplet(*batch, smooth)
    torch.testing.assert_close(value, expected, rtol=0.05, atol=0.01)


def test_push_of_flat_images_ends_where_the_label_is_as_far() -> None:
    near = contrast_push(flat(0.5), flat(0.6), flat(0.3)[:, None], identity, layers=(2.0,))
    assert near.item() == pytest.approx(2 * (0.3 - 0.2), abs=1e-5)
    for value in (0.6, 0.7, 5.0):
        far = contrast_push(flat(value), flat(0.6), flat(0.3)[:, None], identity, layers=(2.0,))
        assert far.item() == 0


def test_positive_weighs_distances_to_the_label_alone() -> None:
    value = contrast_positive(flat(0.5), flat(0.6), smooth, layers=(1.0, 0.0))
    assert value.item() == pytest.approx(0.36 - 0.25)


@FORMS
def test_the_label_pulls_nowhere(loss: Callable[..., Tensor]) -> None:
    _, label, negatives = draw(2, 2)
    result = label.clone().requires_grad_()
    torch.autograd.backward(loss(result, label, negatives))
    assert result.grad is not None
    assert result.grad.abs().max() == 0


@FORMS
def test_a_closed_gate_leaves_no_push(loss: Callable[..., Tensor]) -> None:
    """Nothing for hinges; for the ratio, as if the result were as far as the label."""
    result, label, negatives = draw(2, 2)
    result.requires_grad_()
    value = loss(result, label, negatives, gate=torch.zeros(2, 2))
    open_value = loss(result, label, negatives, gate=torch.ones(2, 2))
    torch.testing.assert_close(open_value, loss(result, label, negatives))
    others = loss(result, label, negatives.flip(1), gate=torch.zeros(2, 2))
    torch.testing.assert_close(value, others)
    assert value.item() < open_value.item()
