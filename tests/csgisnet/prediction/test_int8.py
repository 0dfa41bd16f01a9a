"""Prediction in int8: the processor computes what the rounding says."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from networks import SMALL, trained_network
from torch import Tensor, nn

from csgisnet.device import bfloat16_instructions, int8_instructions
from csgisnet.networks.folding import fold_batch_norm
from csgisnet.networks.layers import ImageConv
from csgisnet.networks.quantising import Calibration, Range, apply_rounded, calibrate, convolutions
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from csgisnet.prediction import fused, int8
from csgisnet.prediction.fused import executable

CPU = torch.device("cpu")

WHOLE = dataclasses.replace(SMALL, shuffle=2, skip=True, finish=8, level=True, default_level=0.5)

pytestmark = pytest.mark.skipif(
    not (int8_instructions() and int8.has_int8_convolution()),
    reason="needs a processor that multiplies int8, and torch 2.12 to tell",
)


@pytest.fixture
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor with VNNI and without bfloat16."""
    monkeypatch.setattr(int8, "features_precision", lambda: "float32")
    monkeypatch.setattr(fused, "features_precision", lambda: "float32")


def pictures() -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.rand(1, 3, 48, 40, generator=generator) for _ in range(3)]


def rounded(network: SmoothingNetwork, calibration: Calibration) -> SmoothingNetwork:
    """The network with the rounding of int8, computed in float32."""
    copy = fold_batch_norm(network)
    for name, conv in convolutions(copy).items():

        def hook(
            conv: nn.Conv2d, inputs: tuple[Tensor, ...], _: Tensor, name: str = name
        ) -> Tensor:
            measured = calibration[name]
            return apply_rounded(conv, inputs[0], measured) + measured.shift[:, None, None]

        conv.register_forward_hook(hook)
    return copy


@pytest.mark.usefixtures("in_float32")
@pytest.mark.parametrize("config", [SMALL, WHOLE, dataclasses.replace(WHOLE, grey_outside=True)])
@pytest.mark.parametrize("size", [(48, 40), (33, 51), (1, 1)])
def test_it_computes_what_the_rounding_says(config: NetworkConfig, size: tuple[int, int]) -> None:
    network = trained_network(config)
    calibration = calibrate(network, pictures())
    image = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        found = executable(network, "int8", CPU, calibration)(image)
        expected = rounded(network, calibration)(image)
        exact = network(image)
    for map_, wanted, without in zip(found, expected, exact, strict=True):
        assert map_.dtype == torch.float32
        spread = float(without.std()) if without.numel() > 4 else 1.0
        # A value halfway between two steps may be rounded either way, and that is passed on.
        assert float((map_ - wanted).abs().mean()) < 0.005 * spread
        assert float((map_ - without).abs().mean()) < 0.2 * spread
    assert not torch.equal(found.result, exact.result)


@pytest.mark.skipif(not bfloat16_instructions(), reason="needs a processor with bfloat16")
def test_between_its_convolutions_features_are_bfloat16_and_images_float32() -> None:
    network = trained_network(WHOLE)
    calibration = calibrate(network, pictures())
    with torch.inference_mode():
        found = executable(network, "int8", CPU, calibration)(pictures()[0])
        exact = network(pictures()[0])
    assert found.edge.dtype == torch.bfloat16
    assert found.result.dtype == found.coarse.dtype == torch.float32
    assert not torch.equal(found.coarse, found.coarse.bfloat16().float())
    spread = float(exact.result.std())
    assert float((found.result - exact.result).abs().mean()) < 0.2 * spread


def test_the_network_and_the_calibration_are_left_alone() -> None:
    network = trained_network(WHOLE)
    calibration = calibrate(network, pictures())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    shift = calibration["refine.3.conv_3x3_1"].shift.clone()
    executable(network, "int8", CPU, calibration)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(calibration["refine.3.conv_3x3_1"].shift, shift)


def test_values_beyond_the_calibrated_range_are_clipped_and_not_wrapped() -> None:
    conv = ImageConv(1, 1).requires_grad_(False)
    conv.weight.zero_()
    conv.weight[0, 0, 1, 1] = 1
    conv.bias.zero_()  # type: ignore[union-attr]
    for low in (-1.0, 0.0):
        measured = Range(torch.tensor([low]), torch.tensor([1.0]), torch.zeros(1))
        layer = int8._Int8Conv(conv, measured, relu=False, to=torch.float32)
        values = torch.tensor([low, 0.0, 0.5, 1.0, 1.5, 300.0, -300.0]).view(1, 1, 1, 7)
        found = layer(values.contiguous(memory_format=torch.channels_last)).flatten()
        expected = torch.tensor([low, 0, 0.5, 1, 1, 1, low])
        torch.testing.assert_close(found, expected, atol=0.012, rtol=0)


@pytest.mark.usefixtures("in_float32")
def test_memory_is_reckoned_with_the_type_of_the_features() -> None:
    assert fused.bytes_per_pixel(WHOLE, "int8") == fused.bytes_per_pixel(WHOLE, "float32")


def test_an_operator_of_another_torch_counts_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(*_: object) -> None:
        raise RuntimeError("expected at most 5 arguments")

    monkeypatch.setattr(torch.ops.onednn, "qconv2d_pointwise", other)
    assert not int8.has_int8_convolution.__wrapped__()


def test_without_a_calibration_there_is_an_error() -> None:
    with pytest.raises(ValueError, match="needs a calibration"):
        executable(trained_network(), "int8", CPU)
