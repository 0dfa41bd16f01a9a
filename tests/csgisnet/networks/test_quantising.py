"""Ranges for int8: what is measured, how weights are rounded, and that means are kept."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from networks import SMALL, trained_network
from torch import Tensor, nn

from csgisnet.networks.folding import fold_batch_norm
from csgisnet.networks.quantising import (
    Range,
    apply_rounded,
    calibrate,
    convolutions,
    rounded_weights,
)
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork


def range_of(low: list[float], high: list[float]) -> Range:
    return Range(torch.tensor(low), torch.tensor(high), torch.zeros(1))


def test_steps_reach_from_end_to_end() -> None:
    signed = range_of([-2, 0], [1, 127])
    assert signed.signed
    torch.testing.assert_close(signed.step(), torch.tensor([2 / 127, 1.0]))
    # after a ReLU all channels share the largest step, and use all 255
    positive = range_of([0, 0], [51, 255])
    assert not positive.signed
    torch.testing.assert_close(positive.step(), torch.tensor([1.0, 1.0]))


def test_a_channel_that_is_always_zero_has_a_step() -> None:
    assert bool((range_of([-1, 0], [1, 0]).step() > 0).all())
    assert bool((range_of([0], [0]).step() > 0).all())


def test_weights_are_rounded_to_at_most_half_a_step() -> None:
    weight = torch.randn(5, 3, 3, 3, generator=torch.Generator().manual_seed(1))
    step = torch.tensor([0.1, 1.0, 7.0])
    whole, distance = rounded_weights(weight, step)
    assert torch.equal(whole, whole.round())
    assert float(whole.abs().amax()) == 127
    restored = whole * distance[:, None, None, None] / step[None, :, None, None]
    error = (restored - weight).abs() * step[None, :, None, None]
    assert bool((error <= distance[:, None, None, None] / 2 * 1.001).all())


def test_a_convolution_of_whole_numbers_is_exact() -> None:
    """Inputs and weights that are steps themselves are not rounded at all."""
    conv = nn.Conv2d(2, 3, 3, padding=1).requires_grad_(False)
    generator = torch.Generator().manual_seed(2)
    conv.weight.copy_(torch.randint(-127, 128, conv.weight.shape, generator=generator))
    conv.weight[:, 0, 0, 0] = 127
    values = torch.randint(-127, 128, (1, 2, 9, 8), generator=generator).float()
    found = apply_rounded(conv, values, range_of([-127, -127], [127, 127]))
    torch.testing.assert_close(found, conv(values), rtol=0, atol=1e-2)


def test_what_reads_or_writes_an_image_stays_out() -> None:
    network = SmoothingNetwork(
        NetworkConfig(width=4, blocks=1, coarse_blocks=1, refine_blocks=1, shuffle=2, finish=4)
    )
    every = {name for name, m in network.named_modules() if isinstance(m, nn.Conv2d)}
    assert every - convolutions(network).keys() == {
        "descriptor.conv_in",
        "interpreter2.7",
        "refine.0",
        "refine.4",
        "finish.details.0",
        "finish.guide",
        "finish.layers.0",
        "finish.layers.3",
    }


@pytest.mark.parametrize("level", [False, True])
def test_calibration_finds_the_ranges_and_sets_the_means_right(level: bool) -> None:
    network = trained_network(dataclasses.replace(SMALL, level=level))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    pictures = [torch.rand(1, 3, 40, 30), torch.rand(1, 3, 300, 280)]
    found = calibrate(network, pictures)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    folded = fold_batch_norm(network)
    assert found.keys() == convolutions(folded).keys()
    conv = convolutions(folded)["interpreter1.0"]
    seen: list[tuple[Tensor, Tensor]] = []
    conv.register_forward_hook(lambda _, inputs, result: seen.append((inputs[0], result.clone())))
    levels = [torch.tensor([value]) for value in (0.0, 0.5, 1.0)] if level else [None]
    with torch.inference_mode():
        for one in levels:
            folded(pictures[0], one)
    measured = found["interpreter1.0"]
    for values, _ in seen:  # of the picture that is small enough to be looked at as a whole
        assert bool((values.amax((0, 2, 3)) <= measured.high).all())
        assert bool((values.amin((0, 2, 3)) >= measured.low).all())
    alone = calibrate(network, pictures[:1])["interpreter1.0"]
    short = [
        (result - apply_rounded(conv, values, alone)).mean((0, 2, 3)) for values, result in seen
    ]
    torch.testing.assert_close(alone.shift, torch.stack(short).mean(0))


def test_without_a_picture_there_is_no_calibration() -> None:
    with pytest.raises(ValueError, match="at least one picture"):
        calibrate(trained_network(), [])
