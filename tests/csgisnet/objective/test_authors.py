"""The paper's own setting: its loss values on the same tensors, written out pixel by pixel.

The references follow the paper's definitions and what is known of the authors' settings: images
that are not normalised, two layers, sums over the batch, zeros around the images of SSIM.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import correlate
from torch import Tensor

from csgisnet.networks.features import VggFeatures
from csgisnet.networks.smoothing import Smoothing
from csgisnet.objective.authors import edge_of_authors, triplet_of_authors
from csgisnet.objective.losses import Batch, Teachers, total_loss
from csgisnet.training.config import load_config


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def extractor() -> VggFeatures:
    torch.manual_seed(3)
    return VggFeatures().eval()


def plain_layers(vgg: VggFeatures, image: Tensor) -> list[Tensor]:
    """relu1_2 and relu2_2 of an image that is not normalised."""
    maps = []
    for number, layer in enumerate(list(vgg.features.children())[:9]):
        image = layer(image)
        if number in (3, 8):
            maps.append(image.clone())
    return maps


def gram_distance(a: list[Tensor], b: list[Tensor]) -> float:
    """Sum over layers, samples and entries of the squared difference of Gram matrices."""
    total = 0.0
    for x, y in zip(a, b, strict=True):
        for one, other in zip(x, y, strict=True):
            channels, height, width = one.shape
            grams = [
                torch.einsum("chw,dhw->cd", m.double(), m.double()) / (channels * height * width)
                for m in (one, other)
            ]
            total += float(((grams[0] - grams[1]) ** 2).sum())
    return total


def triplet_by_hand(vgg: VggFeatures, result: Tensor, label: Tensor, negative: Tensor) -> float:
    """The two hinges over the batch for one negative."""
    with torch.no_grad():
        grey = [image.double().mean(dim=1) for image in (result, label, negative)]
        near, far = (float((grey[0] - other).abs().mean()) for other in grey[1:])
        layers = [plain_layers(vgg, image) for image in (result, label, negative)]
    close, apart = (gram_distance(layers[0], other) for other in layers[1:])
    return max(0.0, near - far + 0.3) + max(0.0, close - apart + 0.04)


def test_the_triplet_is_the_authors_for_each_negative_their_coin_may_draw(
    extractor: VggFeatures,
) -> None:
    result, label, *others = (draw(3, 3, 24, 24, seed=s) for s in range(4))
    expected = [triplet_by_hand(extractor, result, label, negative) for negative in others]
    with torch.no_grad():
        for negative, value in zip(others, expected, strict=True):
            found = triplet_of_authors(result, label, negative[:, None], extractor)
            assert found.item() == pytest.approx(value, rel=1e-4)
        both = triplet_of_authors(result, label, torch.stack(others, dim=1), extractor)
    assert both.item() == pytest.approx(np.mean(expected), rel=1e-4)


def test_a_negative_that_equals_the_label_leaves_both_margins(extractor: VggFeatures) -> None:
    result, label = draw(2, 3, 24, 24), draw(2, 3, 24, 24, seed=1)
    value = triplet_of_authors(result, label, label[:, None], extractor)
    assert value.item() == pytest.approx(0.3 + 0.04)


def test_the_edge_term_is_the_authors_sum() -> None:
    logits, edge = torch.randn(4, 1, 16, 16), (draw(4, 1, 16, 16) > 0.8).float()
    edge[1] = 0
    expected = 0.0
    for one, truth in zip(logits.double(), edge.double(), strict=True):
        share = float(truth.mean())
        for z, t in zip(one.flatten().tolist(), truth.flatten().tolist(), strict=True):
            chance = 1 / (1 + math.exp(-z))
            expected -= (1 - share) * t * math.log(chance)
            expected -= share * (1 - t) * math.log(1 - chance)
    assert edge_of_authors(logits, edge).item() == pytest.approx(expected, rel=1e-5)
    assert edge_of_authors(logits[1:2], edge[1:2]).item() == 0


def ssim_by_hand(image: NDArray[np.float64], label: NDArray[np.float64]) -> float:
    """Mean SSIM of one plane with a Gaussian window around every pixel, zeros outside."""
    line = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2

    def mean(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(correlate(x, window, mode="constant"))

    mx, my = mean(image), mean(label)
    vx, vy = mean(image**2) - mx**2, mean(label**2) - my**2
    cov = mean(image * label) - mx * my
    top = (2 * mx * my + 0.01**2) * (2 * cov + 0.03**2)
    return float((top / ((mx**2 + my**2 + 0.01**2) * (vx + vy + 0.03**2))).mean())


def structure_by_hand(image: Tensor, label: Tensor) -> float:
    """4 less the sum of the mean SSIM over four scales, each halved by the maximum."""
    total = 4.0
    pair = [image.double().numpy(), label.double().numpy()]
    for _ in range(4):
        planes = zip(*(x.reshape(-1, *x.shape[-2:]) for x in pair), strict=True)
        total -= float(np.mean([ssim_by_hand(a, b) for a, b in planes]))
        half = [x.shape[-1] // 2 for x in pair]
        pair = [
            x.reshape(*x.shape[:2], n, 2, n, 2).max(axis=(3, 5))
            for x, n in zip(pair, half, strict=True)
        ]
    return total


def test_the_configuration_paper_has_the_authors_loss(extractor: VggFeatures) -> None:
    config = load_config("paper").losses
    label, result, coarse, over, plain = (draw(2, 3, 96, 96, seed=s) for s in range(5))
    logits, edge = torch.randn(2, 1, 96, 96), (draw(2, 1, 96, 96) > 0.9).float()
    batch = Batch(
        input=plain,
        label=label,
        edge=edge,
        mask=torch.zeros(2, 96, 96, dtype=torch.int64),
        negatives=torch.stack([over, plain], dim=1),
        level=torch.zeros(2),
    )
    teachers = Teachers(features=extractor)
    with torch.no_grad():
        total, terms = total_loss(
            Smoothing(result, coarse, result - coarse, logits), batch, teachers, config
        )
    share = edge.mean(dim=(1, 2, 3), keepdim=True)
    cost = -((1 - share) * edge * logits.sigmoid().log())
    cost = cost - share * (1 - edge) * (1 - logits.sigmoid()).log()
    expected = {
        "l1": float((result - label).abs().mean() + (coarse - label).abs().mean()),
        "structure": structure_by_hand(result, label) + structure_by_hand(coarse, label),
        "edge": float(cost.sum()),
        "contrast": np.mean(
            [triplet_by_hand(extractor, result, label, n) for n in (over, plain)]
        ).item(),
    }
    assert {name: value.item() for name, value in terms.items()} == pytest.approx(
        expected, rel=1e-4
    )
    weights = {"l1": 1.0, "structure": 0.1, "edge": 0.001, "contrast": 1.0}
    assert total.item() == pytest.approx(sum(weights[n] * v for n, v in expected.items()), rel=1e-4)
