"""Networks load bit for bit, those in half precision nearly so; other files are refused."""

from pathlib import Path

import pytest
import torch

from csgisnet.checkpoints.format import Weights, load_weights, save_weights
from csgisnet.checkpoints.networks import load_network, publish_network, save_network
from csgisnet.checkpoints.segmenters import save_segmenter
from csgisnet.errors import CheckpointError
from csgisnet.networks.segmenter import Segmenter, SegmenterConfig
from csgisnet.networks.smoothing import (
    COMPACT,
    NetworkConfig,
    SmoothingNetwork,
    receptive_radius,
)
from csgisnet.networks.symmetry import Symmetry
from vocsmooth import settings

SMALL = NetworkConfig(width=4, blocks=2, coarse_blocks=1, refine_blocks=3)


def make_network(config: NetworkConfig = SMALL) -> SmoothingNetwork:
    torch.manual_seed(0)
    network = SmoothingNetwork(config)
    network(torch.rand(2, 3, 8, 8))  # running statistics that are not those of a new network
    return network.eval()


@pytest.mark.parametrize("config", [SMALL, NetworkConfig(width=4, blocks=1, shuffle=2, skip=True)])
def test_network_comes_back_bit_for_bit(config: NetworkConfig, tmp_path: Path) -> None:
    network, image = make_network(config), torch.rand(1, 3, 9, 10)
    save_network(tmp_path / "n.safetensors", network, {"step": 5})
    loaded = load_network(tmp_path / "n.safetensors")
    assert loaded.config == config
    assert not loaded.training
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    for ours, theirs in zip(loaded(image), network(image), strict=True):
        assert torch.equal(ours, theirs)
    assert load_weights(tmp_path / "n.safetensors", "network").metadata == {
        "channel_order": "rgb",
        "step": 5,
    }


@pytest.mark.parametrize("config", [SMALL, COMPACT])
def test_files_and_states_from_before_networks_had_marks_still_load(
    config: NetworkConfig, tmp_path: Path
) -> None:
    network, image = make_network(config), torch.rand(1, 3, 9, 10)
    old = {name: value for name, value in network.state_dict().items() if name != "skip"}
    assert (len(old) < len(network.state_dict())) == config.skip
    path = tmp_path / "old.safetensors"
    save_weights(
        path, Weights(kind="network", config=settings.to_dict(config), metadata={}, tensors=old)
    )
    assert torch.equal(load_network(path)(image).result, network(image).result)
    restored = SmoothingNetwork(config).eval()
    torch.nn.Sequential(restored).load_state_dict({f"0.{name}": t for name, t in old.items()})
    assert torch.equal(restored(image).result, network(image).result)


def test_a_symmetric_network_is_symmetric_in_half_precision_too(tmp_path: Path) -> None:
    torch.manual_seed(3)
    config = NetworkConfig(
        width=12, blocks=1, coarse_blocks=0, refine_blocks=1, shuffle=2, finish=4
    )
    network = SmoothingNetwork(config)
    Symmetry(network.eval()).impose()
    save_network(tmp_path / "a.safetensors", network)
    publish_network(
        tmp_path / "a.safetensors", tmp_path / "b.safetensors", description="", half=True
    )
    half = load_network(tmp_path / "b.safetensors")
    image, reach = torch.rand(1, 3, 140, 140), receptive_radius(half.config)
    with torch.no_grad():
        apart = (1 - half(1 - image).result - half(image).result).abs()
    assert apart[..., reach:-reach, reach:-reach].max() < 1e-5


def test_a_published_network_keeps_its_record_and_is_half_as_large(tmp_path: Path) -> None:
    network, image = make_network(NetworkConfig(width=16, blocks=1)), torch.rand(1, 3, 9, 10)
    source = tmp_path / "n.safetensors"
    save_network(source, network, {"step": 5})
    publish_network(source, tmp_path / "same.safetensors", description="what for")
    publish_network(source, tmp_path / "half.safetensors", description="what for", half=True)
    same, half = (load_network(tmp_path / f"{name}.safetensors") for name in ("same", "half"))
    assert torch.equal(same(image).result, network(image).result)
    metadata = load_weights(tmp_path / "half.safetensors", "network").metadata
    assert metadata == {"channel_order": "rgb", "step": 5, "description": "what for"}
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * source.stat().st_size
    for name, wanted in network.state_dict().items():
        found = half.state_dict()[name]
        assert found.dtype == wanted.dtype
        torch.testing.assert_close(found, wanted, rtol=1 / 256, atol=0)


def test_loading_leaves_the_random_state_alone(tmp_path: Path) -> None:
    save_network(tmp_path / "n", make_network())
    before = torch.get_rng_state()
    load_network(tmp_path / "n")
    assert torch.equal(torch.get_rng_state(), before)


def test_segmenter_is_refused(tmp_path: Path) -> None:
    segmenter = Segmenter(SegmenterConfig(width=0.25, head_width=16))
    save_segmenter(tmp_path / "s", segmenter)
    with pytest.raises(CheckpointError, match="weights of a segmenter, expected a network"):
        load_network(tmp_path / "s")
    torch.save({"model_state": segmenter.state_dict()}, tmp_path / "s.pth")
    with pytest.raises(
        CheckpointError, match=r"holds a DeepLabV3\+ segmenter.*expected a smoothing network"
    ):
        load_network(tmp_path / "s.pth")
