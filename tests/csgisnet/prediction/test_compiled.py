"""Convolutions and whole networks of our own: those of torch in float32, rounded."""

from __future__ import annotations

import copy
import dataclasses
from typing import Literal

import numpy as np
import pytest
import torch
from matrix_unit import can_use_matrix_unit, use_matrix_unit
from networks import trained_network
from torch import Tensor, nn
from torch.nn import functional

from csgisnet.networks.smoothing import COMPACT, NetworkConfig
from csgisnet.prediction import compiled
from csgisnet.prediction.compiled import CompiledNetwork, unit_for
from csgisnet.prediction.compiled_layers import Convolution, Unit, Workspace
from csgisnet.prediction.fused import apply_network, executable
from csgisnet.prediction.matrix import MATRIX_UNIT
from csgisnet.prediction.winograd import WINOGRAD, has_winograd

CPU = torch.device("cpu")

with_matrix = pytest.mark.skipif(
    not can_use_matrix_unit(), reason="needs Intel's AMX, or AVX-512 to emulate it, and the kernels"
)
with_winograd = pytest.mark.skipif(not has_winograd(), reason="needs AVX2 and the kernels")

units = pytest.mark.parametrize(
    "unit",
    [
        pytest.param(MATRIX_UNIT, marks=with_matrix, id="matrix"),
        pytest.param(WINOGRAD, marks=with_winograd, id="winograd"),
    ],
)
precisions = pytest.mark.parametrize(
    "precision",
    [
        pytest.param("bfloat16", marks=with_matrix),
        pytest.param("float32", marks=with_winograd),
    ],
)
BOUNDS = {torch.bfloat16: (1e-3, 1 / 128), torch.float32: (2e-5, 1e-5)}
"""Absolute and relative difference from float32 that the type of features may cause."""

PLAIN = NetworkConfig(width=16, blocks=1, coarse_blocks=0, refine_blocks=1)
SMALL = dataclasses.replace(PLAIN, shuffle=2, skip=True)
WHOLE = dataclasses.replace(SMALL, width=48, finish=16, level=True, default_level=0.25)
GREY = dataclasses.replace(WHOLE, grey_outside=True)
CELLS = dataclasses.replace(SMALL, shuffle=4, finish=32)


@pytest.fixture(autouse=True)
def used_wherever_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Winograd's method also where oneDNN may be faster, AMX also where it has to be emulated."""
    monkeypatch.setattr(compiled, "pays", has_winograd)
    use_matrix_unit(monkeypatch)


def features_of(unit: Unit, values: Tensor) -> Tensor:
    """Return values (C, H, W) as features."""
    channels, height, width = values.shape
    features = Workspace(unit, height, width).take(unit.rounded_up(channels))
    features.zero_()
    features[..., :channels] = values.permute(1, 2, 0)
    return features


@units
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("shape", [(16, 16), (48, 48), (64, 64), (13, 96), (52, 48)])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (20, 33), (40, 64)])
def test_a_convolution_is_that_of_torch_with_what_is_added_after_its_relu(
    size: tuple[int, int], shape: tuple[int, int], dilation: int, unit: Unit
) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(*shape, 3, padding=dilation, dilation=dilation).requires_grad_(False)
    values = torch.randn(shape[0], *size).to(unit.dtype)
    added = torch.randn(shape[1], *size).to(unit.dtype)
    space = Workspace(unit, *size)
    found, sum_ = space.take(shape[1]), space.take(shape[1])
    own = Convolution(unit, conv, relu=True)
    own(features_of(unit, values), unit.all_of(found))
    own(features_of(unit, values), unit.all_of(sum_), added=features_of(unit, added))
    weight = conv.weight.to(unit.dtype).float()
    expected = functional.conv2d(
        values.float()[None], weight, conv.bias, padding=dilation, dilation=dilation
    )[0].relu()
    atol, rtol = BOUNDS[unit.dtype]
    torch.testing.assert_close(found.permute(2, 0, 1).float(), expected, atol=atol, rtol=rtol)
    expected += added.float()
    torch.testing.assert_close(sum_.permute(2, 0, 1).float(), expected, atol=atol, rtol=rtol)


@units
def test_a_convolution_of_single_pixels(unit: Unit) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(16, 32, 1).requires_grad_(False)
    values = torch.randn(16, 6, 9).to(unit.dtype)
    found = Workspace(unit, 6, 9).take(32)
    Convolution(unit, conv)(features_of(unit, values), unit.all_of(found))
    expected = functional.conv2d(
        values.float()[None], conv.weight.to(unit.dtype).float(), conv.bias
    )
    atol, rtol = BOUNDS[unit.dtype]
    torch.testing.assert_close(found.permute(2, 0, 1).float(), expected[0], atol=atol, rtol=rtol)


@units
def test_memory_that_was_given_back_still_lies_between_zeros(unit: Unit) -> None:
    conv = nn.Conv2d(16, 16, 3, padding=1).requires_grad_(False)
    space = Workspace(unit, 9, 40)
    first, second = space.take(16), space.take(16)
    first.fill_(1)
    expected = features_of(unit, torch.ones(16, 9, 40))
    Convolution(unit, conv)(first, unit.all_of(second))
    space.give(first)
    again = space.take(16)
    assert again.data_ptr() == first.data_ptr()
    Convolution(unit, conv)(expected, unit.all_of(again))
    assert torch.equal(again, second)


@units
def test_an_image_is_spread_to_its_cells_and_keeps_its_level(unit: Unit) -> None:
    image = torch.arange(2 * 6 * 3, dtype=torch.float32).view(2, 6, 3) / 64  # exact in bfloat16
    features = Workspace(unit, 1, 3).take(16)
    unit.spread(image, features, 2, 0.25)
    for cell in range(3):
        pixels = image[:, 2 * cell : 2 * cell + 2].flatten().tolist()
        assert features[0, cell].tolist() == [*pixels, 0.25, 0, 0, 0]


@with_matrix
@pytest.mark.parametrize("size", [(1, 1), (33, 40), (50, 71)])
@pytest.mark.parametrize("config", [PLAIN, SMALL, WHOLE, GREY, CELLS, COMPACT])
def test_a_network_is_as_close_to_float32_as_with_the_convolutions_of_torch(
    config: NetworkConfig, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network, images = trained_network(config), torch.rand(2, 3, *size)
    own = executable(network, "bfloat16", CPU)
    assert isinstance(own, CompiledNetwork)
    monkeypatch.setattr(compiled, "unit_for", lambda *_: None)
    other = executable(network, "bfloat16", CPU)
    with torch.inference_mode():
        found, usual, exact = own(images), other(images), network(images)
    assert found.result.dtype == torch.float32
    assert found.edge.shape == exact.edge.shape
    for name in ("result", "edge"):
        wanted = getattr(exact, name)
        bound = 3 * (getattr(usual, name).float() - wanted).abs().max() + 1e-3
        assert (getattr(found, name).float() - wanted).abs().max() <= bound


@with_winograd
@pytest.mark.parametrize("size", [(1, 1), (33, 40), (50, 71)])
@pytest.mark.parametrize("config", [PLAIN, SMALL, WHOLE, GREY, CELLS, COMPACT])
def test_a_network_in_float32_is_as_exact_as_with_the_convolutions_of_torch(
    config: NetworkConfig, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network, images = trained_network(config), torch.rand(2, 3, *size)
    own = executable(network, "float32", CPU)
    assert isinstance(own, CompiledNetwork)
    monkeypatch.setattr(compiled, "unit_for", lambda *_: None)
    other = executable(network, "float32", CPU)
    with torch.inference_mode():
        found, usual = own(images), other(images)
        exact = copy.deepcopy(network).double()(images.double())
    for name in ("result", "edge"):
        wanted = getattr(exact, name)
        bound = 10 * (getattr(usual, name) - wanted).abs().max() + 1e-6
        assert (getattr(found, name) - wanted).abs().max() <= bound


@precisions
def test_the_level_reaches_the_kernels(precision: Literal["float32", "bfloat16"]) -> None:
    network = trained_network(WHOLE)
    images, levels = torch.rand(2, 3, 24, 30), torch.tensor([0.0, 1.0])
    with torch.inference_mode():
        found = executable(network, precision, CPU)(images, levels).result
        expected = network(images, levels).result
    torch.testing.assert_close(found, expected, atol=0.03, rtol=0.03)


@precisions
def test_results_do_not_depend_on_the_number_of_threads(
    precision: Literal["float32", "bfloat16"],
) -> None:
    network = executable(trained_network(WHOLE), precision, CPU)
    image = np.random.default_rng(0).random((150, 70, 3), np.float32)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(apply_network(network, precision, CPU, [image])[0])
    finally:
        torch.set_num_threads(before)
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@units
def test_a_value_that_is_no_number_remains_one(unit: Unit) -> None:
    """So that a damaged network is noticed, and does not give a picture."""
    space = Workspace(unit, 8, 16)
    values = torch.ones(16, 8, 16)
    values[3, 4, 5] = torch.nan
    target = space.take(16)
    conv = nn.Conv2d(16, 16, 3, padding=1)
    Convolution(unit, conv, relu=True)(features_of(unit, values), unit.all_of(target))
    assert target[3:6, 4:7].isnan().all()
    assert target[:, 9:].isfinite().all()


@with_winograd
def test_kernels_of_other_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="1 or 3 pixels wide, got 5"):
        Convolution(WINOGRAD, nn.Conv2d(16, 16, 5, padding=2))


def test_a_network_whose_features_fill_no_group_is_left_to_torch() -> None:
    for precision in ("float32", "bfloat16", "tf32"):
        assert unit_for(dataclasses.replace(SMALL, width=12), precision) is None
    assert unit_for(SMALL, "tf32") is None


@precisions
def test_a_level_is_refused_by_a_network_that_takes_none(
    precision: Literal["float32", "bfloat16"],
) -> None:
    network = executable(trained_network(SMALL), precision, CPU)
    assert isinstance(network, CompiledNetwork)
    with pytest.raises(ValueError, match="takes no level"):
        network(torch.rand(1, 3, 8, 8), torch.tensor([0.5]))
