"""Convolutions and whole networks on the matrix unit: those of float32, rounded."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from networks import trained_network
from torch import Tensor, nn
from torch.nn import functional

from csgisnet.networks.smoothing import COMPACT, NetworkConfig
from csgisnet.prediction import matrix
from csgisnet.prediction.fused import apply_network, executable
from csgisnet.prediction.matrix import MatrixNetwork, has_matrix_unit
from csgisnet.prediction.matrix_layers import Convolution, Target, Workspace, rounded_up, spread

CPU = torch.device("cpu")

pytestmark = pytest.mark.skipif(not has_matrix_unit(), reason="needs Intel's AMX and the kernels")

PLAIN = NetworkConfig(width=16, blocks=1, coarse_blocks=0, refine_blocks=1)
SMALL = dataclasses.replace(PLAIN, shuffle=2, skip=True)
WHOLE = dataclasses.replace(SMALL, width=48, finish=16, level=True, default_level=0.25)
GREY = dataclasses.replace(WHOLE, grey_outside=True)
CELLS = dataclasses.replace(SMALL, shuffle=4, finish=32)


def features_of(values: Tensor) -> Tensor:
    """Return values (C, H, W) as features on the matrix unit."""
    channels, height, width = values.shape
    features = Workspace(height, width).take(rounded_up(channels))
    features.zero_()
    features[..., :channels] = values.permute(1, 2, 0)
    return features


@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("shape", [(16, 16), (48, 48), (64, 64), (13, 96), (52, 48)])
@pytest.mark.parametrize("size", [(5, 7), (20, 33), (40, 64)])
def test_a_convolution_is_that_of_torch_with_what_is_added_after_its_relu(
    size: tuple[int, int], shape: tuple[int, int], dilation: int
) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(*shape, 3, padding=dilation, dilation=dilation).requires_grad_(False)
    values = torch.randn(shape[0], *size).bfloat16()
    added = torch.randn(shape[1], *size).bfloat16()
    space = Workspace(*size)
    found, sum_ = space.take(shape[1]), space.take(shape[1])
    Convolution(conv, relu=True)(features_of(values), Target.of(found))
    Convolution(conv, relu=True)(features_of(values), Target.of(sum_), added=features_of(added))
    weight = conv.weight.bfloat16().float()
    expected = functional.conv2d(
        values.float()[None], weight, conv.bias, padding=dilation, dilation=dilation
    )[0].relu()
    torch.testing.assert_close(found.permute(2, 0, 1).float(), expected, atol=1e-3, rtol=1 / 128)
    expected += added.float()
    torch.testing.assert_close(sum_.permute(2, 0, 1).float(), expected, atol=1e-3, rtol=1 / 128)


def test_memory_that_was_given_back_still_lies_between_zeros() -> None:
    conv = nn.Conv2d(16, 16, 3, padding=1).requires_grad_(False)
    space = Workspace(9, 40)
    first, second = space.take(16), space.take(16)
    first.fill_(1)
    expected = features_of(torch.ones(16, 9, 40))
    Convolution(conv)(first, Target.of(second))
    space.give(first)
    again = space.take(16)
    assert again.data_ptr() == first.data_ptr()
    Convolution(conv)(expected, Target.of(again))
    assert torch.equal(again, second)


def test_an_image_is_spread_to_its_cells_and_keeps_its_level() -> None:
    image = torch.arange(2 * 6 * 3, dtype=torch.float32).view(2, 6, 3) / 64  # exact in bfloat16
    features = Workspace(1, 3).take(16)
    spread(image, features, 2, 0.25)
    for cell in range(3):
        pixels = image[:, 2 * cell : 2 * cell + 2].flatten().tolist()
        assert features[0, cell].tolist() == [*pixels, 0.25, 0, 0, 0]


@pytest.mark.parametrize("size", [(1, 1), (33, 40), (50, 71)])
@pytest.mark.parametrize("config", [PLAIN, SMALL, WHOLE, GREY, CELLS, COMPACT])
def test_a_network_is_as_close_to_float32_as_with_the_convolutions_of_torch(
    config: NetworkConfig, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network, images = trained_network(config), torch.rand(2, 3, *size)
    own = executable(network, "bfloat16", CPU)
    assert isinstance(own, MatrixNetwork)
    monkeypatch.setattr(matrix, "fits_matrix_unit", lambda _: False)
    other = executable(network, "bfloat16", CPU)
    with torch.inference_mode():
        found, usual, exact = own(images), other(images), network(images)
    assert found.result.dtype == torch.float32
    assert found.edge.shape == exact.edge.shape
    for name in ("result", "edge"):
        wanted = getattr(exact, name)
        bound = 3 * (getattr(usual, name).float() - wanted).abs().max() + 1e-3
        assert (getattr(found, name).float() - wanted).abs().max() <= bound


def test_the_level_reaches_the_matrix_unit() -> None:
    network = trained_network(WHOLE)
    images, levels = torch.rand(2, 3, 24, 30), torch.tensor([0.0, 1.0])
    with torch.inference_mode():
        found = executable(network, "bfloat16", CPU)(images, levels).result
        expected = network(images, levels).result
    torch.testing.assert_close(found, expected, atol=0.03, rtol=0.03)


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    network = executable(trained_network(WHOLE), "bfloat16", CPU)
    image = np.random.default_rng(0).random((150, 70, 3), np.float32)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(apply_network(network, "bfloat16", CPU, [image])[0])
    finally:
        torch.set_num_threads(before)
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_value_that_is_no_number_remains_one() -> None:
    """So that a damaged network is noticed, and does not give a picture."""
    space = Workspace(8, 16)
    values = torch.ones(16, 8, 16)
    values[3, 4, 5] = torch.nan
    target = space.take(16)
    Convolution(nn.Conv2d(16, 16, 3, padding=1), relu=True)(features_of(values), Target.of(target))
    assert target[3:6, 4:7].isnan().all()
    assert target[6:, 7:].isfinite().all()


def test_a_level_is_refused_by_a_network_that_takes_none() -> None:
    network = executable(trained_network(SMALL), "bfloat16", CPU)
    assert isinstance(network, MatrixNetwork)
    with pytest.raises(ValueError, match="takes no level"):
        network(torch.rand(1, 3, 8, 8), torch.tensor([0.5]))
