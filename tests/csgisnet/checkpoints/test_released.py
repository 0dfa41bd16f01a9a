"""The authors' checkpoints: their size is read off the weights, BGR becomes RGB."""

from pathlib import Path

import pytest
import torch

from csgisnet.checkpoints.networks import load_network
from csgisnet.errors import CheckpointError
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork

SMALL = NetworkConfig(width=4, blocks=2, coarse_blocks=1, refine_blocks=3)


def make_network() -> SmoothingNetwork:
    torch.manual_seed(0)
    network = SmoothingNetwork(SMALL)
    network(torch.rand(2, 3, 8, 8))  # running statistics that are not those of a new network
    return network.eval()


@pytest.mark.parametrize("key", ["net", None])
def test_released_network_tells_its_own_size(key: str | None, tmp_path: Path) -> None:
    network, image = make_network(), torch.rand(1, 3, 9, 10)
    state = network.state_dict()
    torch.save({key: state, "epoch": 218} if key else state, tmp_path / "released.pth")
    loaded = load_network(tmp_path / "released.pth", "rgb")
    assert loaded.config == SMALL
    assert torch.equal(loaded(image).result, network(image).result)


def test_network_trained_on_bgr_is_turned_round(tmp_path: Path) -> None:
    network, image = make_network(), torch.rand(1, 3, 9, 10)
    torch.save({"net": network.state_dict()}, tmp_path / "bgr.pth")
    turned = load_network(tmp_path / "bgr.pth", channel_order="bgr")(image)
    expected = network(image.flip(1))
    for name in ("result", "coarse", "residual"):
        torch.testing.assert_close(getattr(turned, name), getattr(expected, name).flip(1))
    torch.testing.assert_close(turned.edge, expected.edge)


def test_released_network_with_a_part_missing_is_refused(tmp_path: Path) -> None:
    state = make_network().state_dict()
    for name in [name for name in state if name.startswith("refine.")]:
        del state[name]
    torch.save({"net": state}, tmp_path / "n.pth")
    with pytest.raises(
        CheckpointError, match=r"another variant.*its refine have no.*only HDC_edge_refine"
    ):
        load_network(tmp_path / "n.pth")
