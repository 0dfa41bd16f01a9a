"""The executable form of a network: in float32 its very bits, in bfloat16 close to them."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from networks import SMALL, trained_network

from csgisnet.checkpoints.networks import load_network
from csgisnet.checkpoints.pretrained import find_weights
from csgisnet.device import place
from csgisnet.networks.folding import fold_batch_norm
from csgisnet.networks.smoothing import NetworkConfig
from csgisnet.prediction import compiled, fused
from csgisnet.prediction.fused import executable

CPU = torch.device("cpu")

SHUFFLED = dataclasses.replace(SMALL, shuffle=2, skip=True, finish=8)


def test_float32_of_torch_is_the_folded_network_to_the_bit_and_the_network_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiled, "unit_for", lambda *_: None)  # test_compiled.py has the others
    network, image = load_network(find_weights()), torch.rand(1, 3, 50, 71)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.inference_mode():
        expected = place(fold_batch_norm(network), CPU)(image)
        found = executable(network, "float32", CPU)(image)
        executable(network, "bfloat16", CPU)
    assert all(torch.equal(map_, other) for map_, other in zip(found, expected, strict=True))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("one_call", [True, False])
@pytest.mark.parametrize("config", [SMALL, SHUFFLED])
@pytest.mark.parametrize("size", [(33, 40), (1, 1)])
def test_bfloat16_rounds_features_but_not_images(
    size: tuple[int, int],
    config: NetworkConfig,
    one_call: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not one_call:  # as on a processor or in a torch that lacks the fused operator
        monkeypatch.setattr(fused, "_has_fused_convolution", lambda: False)
    network = trained_network(config)
    image = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        found = executable(network, "bfloat16", CPU)(image)
        expected = network(image)
    assert found.edge.dtype == torch.bfloat16
    for name in ("result", "coarse", "residual"):
        map_, wanted = getattr(found, name), getattr(expected, name)
        assert map_.dtype == torch.float32
        assert not torch.equal(map_, map_.bfloat16().float())
        torch.testing.assert_close(map_, wanted, atol=0.03, rtol=0.03)
        assert not torch.equal(map_, wanted)
