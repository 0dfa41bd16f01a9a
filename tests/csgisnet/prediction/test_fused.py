"""The executable form of a network: in float32 its very bits, in bfloat16 close to them."""

from __future__ import annotations

import pytest
import torch

from csgisnet.checkpoints.networks import load_network
from csgisnet.checkpoints.pretrained import find_weights
from csgisnet.networks.folding import fold_batch_norm
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from csgisnet.prediction import fused
from csgisnet.prediction.fused import executable

CPU = torch.device("cpu")


def trained(*, shuffle: int, skip: bool) -> SmoothingNetwork:
    """A network whose batch statistics differ from those of a fresh one."""
    torch.manual_seed(3)
    network = SmoothingNetwork(
        NetworkConfig(
            width=12, blocks=2, coarse_blocks=1, refine_blocks=1, shuffle=shuffle, skip=skip
        )
    )
    with torch.no_grad():
        for _ in range(3):
            network(torch.rand(2, 3, 24, 24))
    return network.eval()


@pytest.mark.parametrize("one_call", [True, False])
@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("shuffle", [1, 2])
@pytest.mark.parametrize("size", [(16, 24), (17, 31), (1, 1)])
def test_float32_gives_the_folded_network_s_results(
    size: tuple[int, int],
    shuffle: int,
    skip: bool,
    one_call: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not one_call:  # as on a processor or in a torch that lacks the fused operator
        monkeypatch.setattr(fused, "_has_fused_convolution", lambda dtype: False)
    network, image = trained(shuffle=shuffle, skip=skip), torch.rand(2, 3, *size)
    with torch.inference_mode():
        found = executable(network, "float32", CPU)(image)
        for name, expected in fold_batch_norm(network)(image)._asdict().items():
            torch.testing.assert_close(getattr(found, name), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("one_call", [True, False])
@pytest.mark.parametrize(("shuffle", "skip"), [(1, False), (2, True)])
def test_bfloat16_rounds_features_but_not_images(
    shuffle: int, skip: bool, one_call: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not one_call:
        monkeypatch.setattr(fused, "_has_fused_convolution", lambda dtype: False)
    network, image = trained(shuffle=shuffle, skip=skip), torch.rand(1, 3, 33, 40)
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


def test_the_bundled_network_keeps_its_bits_and_its_own_weights() -> None:
    network, image = load_network(find_weights()), torch.rand(1, 3, 50, 71)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.inference_mode():
        expected = fold_batch_norm(network)(image).result
        found = executable(network, "float32", CPU)(image).result
        executable(network, "bfloat16", CPU)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
