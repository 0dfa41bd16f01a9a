"""Normalisation and ReLU in one kernel: what torch computes, in fewer passes."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from batches import random_batch
from torch import Tensor, nn
from torch.nn import functional

from csgisnet.networks.folding import fold_batch_norm
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from csgisnet.objective.config import LossConfig
from csgisnet.objective.losses import Teachers
from csgisnet.training import normalise
from csgisnet.training.config import Config
from csgisnet.training.distributed import Processes
from csgisnet.training.normalise import NormRelu, has_fast_normalisation, normalise_fast
from csgisnet.training.step import Training

needs_kernel = pytest.mark.skipif(not has_fast_normalisation(), reason="needs AVX-512 BF16")

SMALL = NetworkConfig(width=16, blocks=1, coarse_blocks=1, refine_blocks=1, finish=16)


def norm_of(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels)
    nn.init.uniform_(norm.weight, 0.5, 2)
    nn.init.normal_(norm.bias)
    return norm


def features(channels: int, mean: float = 1.0, side: int = 21) -> tuple[Tensor, Tensor]:
    """Features and a gradient in bfloat16, whose number of pixels is no multiple of a block's."""
    shape = (3, channels, side, side)
    return tuple(  # type: ignore[return-value]
        m.to(torch.bfloat16, memory_format=torch.channels_last)
        for m in (mean + 2 * torch.randn(shape), torch.randn(shape))
    )


def passed_through(norm: nn.Module, x: Tensor, gradient: Tensor) -> dict[str, Tensor]:
    """Results, gradients and statistics of a normalisation with its ReLU, in float64."""
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    y = functional.relu(norm(x))
    torch.autograd.backward(y, gradient)
    found = {"result": y.detach(), "x": x.grad, **norm.state_dict()}
    found |= {f"at {name}": p.grad for name, p in norm.named_parameters()}
    return {name: value.double() for name, value in found.items() if value is not None}


@needs_kernel
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("channels", "mean"), [(16, 0.0), (48, 30.0)])
def test_all_is_as_exact_as_bfloat16_and_the_statistics_far_more(
    channels: int, mean: float, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(2)
    monkeypatch.setattr(normalise, "_threads_for", lambda _: threads)
    norm, (x, gradient) = norm_of(channels), features(channels, mean)
    exact = passed_through(copy.deepcopy(norm).double(), x.double(), gradient.double())
    found = passed_through(NormRelu.of(norm), x, gradient)
    assert found.keys() == exact.keys()
    for name, value in exact.items():
        rounded = name in ("result", "x")
        error = (found[name] - value).abs().max() / value.abs().max()
        assert error < (2**-8 if rounded else 1e-5), name


@needs_kernel
def test_statistics_of_many_pixels_keep_their_digits() -> None:
    """A mean a hundred deviations away, and more pixels than bfloat16 or float32 can count to."""
    x = features(16, mean=256.0, side=256)[0]
    exact, found = nn.BatchNorm2d(16, momentum=1.0).double(), NormRelu(16, momentum=1.0)
    exact(x.double())
    found(x)
    for name in ("running_mean", "running_var"):
        mine, other = (norm.state_dict()[name].double() for norm in (found, exact))
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=0)


@needs_kernel
def test_values_that_are_no_numbers_stay_so() -> None:
    x = features(16)[0]
    x[0, 3, 4, 5] = float("nan")
    assert NormRelu(16)(x)[:, 3].isnan().all()


@pytest.mark.parametrize("case", ["float32", "contiguous", "channels", "frozen"])
def test_where_the_kernel_does_not_fit_torch_computes_the_same_bits(case: str) -> None:
    norm, (x, gradient) = norm_of(24 if case == "channels" else 16), features(16)
    if case == "channels":
        x, gradient = features(24)
    elif case == "float32":
        x, gradient = x.float(), gradient.float()
    elif case == "contiguous":
        x = x.contiguous()
    else:
        norm.eval()
    plain = passed_through(copy.deepcopy(norm), x, gradient)
    own = passed_through(NormRelu.of(norm), x, gradient)
    for name, value in plain.items():
        assert torch.equal(own[name], value), name


def test_many_threads_of_torch_are_not_given_up_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    assert normalise._threads_for(torch.empty(8, 32, 48, 48)) == 4
    assert normalise._threads_for(torch.empty(8, 64, 128, 128)) == 16
    assert normalise._threads_for(torch.empty(2, 32, 48, 48)) == 0


@needs_kernel
def test_a_network_keeps_its_state_and_can_still_be_folded() -> None:
    network = SmoothingNetwork(SMALL)
    plain = copy.deepcopy(network)
    normalise_fast(network)
    kinds = {type(m) for m in network.modules() if isinstance(m, nn.BatchNorm2d)}
    assert kinds == {NormRelu}
    assert list(network.state_dict()) == list(plain.state_dict())
    image = torch.rand(1, 3, 16, 16)
    for one, other in ((network.eval(), plain.eval()), map(fold_batch_norm, (network, plain))):
        assert torch.equal(one(image).result, other(image).result)


@needs_kernel
def test_a_step_in_bfloat16_is_nearly_that_with_torchs_normalisation(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = dataclasses.replace(config.run, precision="bfloat16")
    losses = LossConfig(contrast=0, semantic=0)
    config = dataclasses.replace(config, run=run, losses=losses, network=SMALL)
    steps = []
    for possible in (True, False):
        monkeypatch.setattr(normalise, "has_fast_normalisation", lambda found=possible: found)
        training = Training(config, Teachers(), Processes(device=torch.device("cpu")))
        network = training._network
        assert any(isinstance(m, NormRelu) for m in network.modules()) == possible
        steps.append(training.advance(iter([random_batch()])))
    fast, plain = steps
    for name, value in plain.items():
        torch.testing.assert_close(fast[name], value, rtol=0.02, atol=1e-3)
