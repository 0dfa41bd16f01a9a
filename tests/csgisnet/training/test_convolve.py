"""Convolutions by Winograd's method in training compute what torch does."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from batches import random_batch
from torch import Tensor, nn

from csgisnet.device import place
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from csgisnet.objective.config import LossConfig
from csgisnet.objective.losses import Teachers
from csgisnet.prediction.winograd import has_winograd
from csgisnet.training import convolve
from csgisnet.training.config import Config
from csgisnet.training.convolve import WinogradConv, convolve_fast
from csgisnet.training.distributed import Processes
from csgisnet.training.step import Training

needs_kernel = pytest.mark.skipif(not has_winograd(), reason="needs AVX2 and the kernels")

SMALL = NetworkConfig(width=16, blocks=1, coarse_blocks=1, refine_blocks=1, finish=16)


@pytest.fixture(autouse=True)
def _also_for_few_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The features here are small."""
    monkeypatch.setattr(convolve, "_FEWEST_PIXELS", 1)


def conv_of(channels: int, width: int, dilation: int = 1, *, bias: bool = True) -> nn.Conv2d:
    conv = nn.Conv2d(channels, width, 3, padding=dilation, dilation=dilation, bias=bias)
    return place(conv, torch.device("cpu"))


def features(*shape: int) -> Tensor:
    return torch.randn(shape).to(memory_format=torch.channels_last)


def passed_through(conv: nn.Module, x: Tensor, gradient: Tensor) -> dict[str, Tensor]:
    """Results and gradients of a convolution."""
    conv.zero_grad()
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    y = conv(x)
    y.backward(gradient)
    found = {"result": y.detach(), "at x": x.grad}
    found |= {f"at {name}": p.grad for name, p in conv.named_parameters()}
    return {name: value.clone() for name, value in found.items() if value is not None}


@needs_kernel
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("channels", "width", "height", "columns", "dilation"),
    [
        *((48, 48, 80, 33, 1), (16, 24, 37, 21, 2), (8, 40, 50, 19, 3)),
        *((24, 8, 3, 5, 3), (8, 8, 1, 1, 1), (16, 16, 65, 2, 2)),
    ],
)
def test_results_and_gradients_are_those_in_float64(
    channels: int,
    width: int,
    height: int,
    columns: int,
    dilation: int,
    bias: bool,
    threads: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    conv = conv_of(channels, width, dilation, bias=bias)
    x, gradient = features(2, channels, height, columns), features(2, width, height, columns)
    found = passed_through(WinogradConv.of(conv), x, gradient)
    exact = passed_through(copy.deepcopy(conv).double(), x.double(), gradient.double())
    assert found.keys() == exact.keys()
    for name, value in exact.items():
        assert found[name].dtype == torch.float32
        assert found[name].is_contiguous(memory_format=torch.channels_last) or value.ndim < 4
        error = (found[name].double() - value).abs().max() / value.abs().max()
        assert error < 1e-4, (name, error)
    again = passed_through(WinogradConv.of(conv), x, gradient)
    assert all(torch.equal(found[name], again[name]) for name in found)


@needs_kernel
@pytest.mark.parametrize("of_x", [True, False])
def test_only_what_is_asked_for_has_a_gradient(of_x: bool) -> None:
    conv = WinogradConv.of(conv_of(8, 16)).requires_grad_(not of_x)
    x = features(1, 8, 9, 10).requires_grad_(of_x)
    conv(x).sum().backward()
    assert (x.grad is not None) == of_x
    assert (conv.weight.grad is None) == of_x


def test_what_does_not_fit_is_computed_by_torch() -> None:
    conv = conv_of(8, 16)
    fast = WinogradConv.of(conv)
    x = features(2, 8, 9, 10)
    for given in (x.contiguous(), x.to(torch.float64)):
        assert torch.equal(fast.to(given.dtype)(given), conv.to(given.dtype)(given))
    with pytest.raises(RuntimeError, match="type"):
        fast.double()(x)
    conv, fast = conv.float(), fast.float()
    with torch.no_grad():
        assert torch.equal(fast(x), conv(x))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(fast(x), conv(x))
    assert torch.equal(fast.eval()(x), conv.eval()(x))


@needs_kernel
def test_few_pixels_are_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    conv = conv_of(16, 16)
    fast = WinogradConv.of(conv)
    x = features(2, 16, 30, 40)
    monkeypatch.setattr(convolve, "_FEWEST_PIXELS", 2 * 30 * 40 + 1)
    assert torch.equal(fast(x), conv(x))
    monkeypatch.setattr(convolve, "_FEWEST_PIXELS", 2 * 30 * 40)
    assert not torch.equal(fast(x), conv(x))  # their last bits differ
    torch.testing.assert_close(fast(x), conv(x), rtol=0, atol=1e-4)


def test_a_network_keeps_its_weights_and_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    network = SmoothingNetwork(SMALL)
    before = dict(network.named_parameters())
    monkeypatch.setattr(convolve, "pays", lambda: False)
    convolve_fast(network)
    assert not any(isinstance(m, WinogradConv) for m in network.modules())
    monkeypatch.setattr(convolve, "pays", lambda: True)
    convolve_fast(network)
    after = dict(network.named_parameters())
    assert list(after) == list(before)
    assert all(after[name] is before[name] for name in before)
    replaced = {name for name, m in network.named_modules() if isinstance(m, WinogradConv)}
    wide = {
        name
        for name, m in network.named_modules()
        if isinstance(m, nn.Conv2d)
        and m.kernel_size == (3, 3)
        and m.in_channels % 8 == m.out_channels % 8 == 0
    }
    assert replaced == wide
    assert len(replaced) > 9
    other = nn.Sequential(conv_of(8, 8))  # of somebody else
    convolve_fast(other)
    assert type(other[0]) is nn.Conv2d


@needs_kernel
def test_a_step_is_nearly_that_with_torchs_convolutions(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = dataclasses.replace(config.run, precision="float32")
    losses = LossConfig(contrast=0, semantic=0)
    config = dataclasses.replace(config, run=run, losses=losses, network=SMALL)
    steps = []
    for faster in (True, False):
        monkeypatch.setattr(convolve, "pays", lambda found=faster: found)
        training = Training(config, Teachers(), Processes(device=torch.device("cpu")))
        network = training._network
        assert any(isinstance(m, WinogradConv) for m in network.modules()) == faster
        steps.append(training.advance(iter([random_batch()])))
    fast, plain = steps
    for name, value in plain.items():
        torch.testing.assert_close(fast[name], value, rtol=1e-4, atol=1e-6)
