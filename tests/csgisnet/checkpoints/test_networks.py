from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from csgisnet.checkpoints.format import load_weights
from csgisnet.checkpoints.networks import load_network, publish_network, save_network
from csgisnet.checkpoints.segmenters import save_segmenter
from csgisnet.checkpoints.states import (
    list_best,
    load_latest,
    load_state,
    save_best,
    save_latest,
    save_state,
)
from csgisnet.errors import CheckpointError
from csgisnet.networks.segmenter import Segmenter, SegmenterConfig
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork

SMALL = NetworkConfig(width=4, blocks=2, coarse_blocks=1, refine_blocks=3)


def make_network(config: NetworkConfig = SMALL) -> SmoothingNetwork:
    torch.manual_seed(0)
    network = SmoothingNetwork(config)
    network(torch.rand(2, 3, 8, 8))  # running statistics that are not those of a new network
    return network.eval()


def make_state() -> dict[str, Any]:
    return {
        "step": 12,
        "weights": {"a": torch.randn(4, 4)},
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "betas": (0.9, 0.999)},
        "random": torch.get_rng_state(),
        "best": [0.5, None, "x", True],
    }


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
    assert load_weights(tmp_path / "n.safetensors", "network").metadata == {"step": 5}


def test_a_published_network_keeps_its_record_and_is_half_as_large(tmp_path: Path) -> None:
    network, image = make_network(NetworkConfig(width=16, blocks=1)), torch.rand(1, 3, 9, 10)
    source = tmp_path / "n.safetensors"
    save_network(source, network, {"step": 5})
    publish_network(source, tmp_path / "same.safetensors", description="what for")
    publish_network(source, tmp_path / "half.safetensors", description="what for", half=True)
    same, half = (load_network(tmp_path / f"{name}.safetensors") for name in ("same", "half"))
    assert torch.equal(same(image).result, network(image).result)
    metadata = load_weights(tmp_path / "half.safetensors", "network").metadata
    assert metadata == {"step": 5, "description": "what for"}
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * source.stat().st_size
    for name, wanted in network.state_dict().items():
        found = half.state_dict()[name]
        assert found.dtype == wanted.dtype
        torch.testing.assert_close(found, wanted, rtol=1 / 256, atol=0)


@pytest.mark.parametrize("key", ["net", None])
def test_released_network_tells_its_own_size(key: str | None, tmp_path: Path) -> None:
    network, image = make_network(), torch.rand(1, 3, 9, 10)
    state = network.state_dict()
    torch.save({key: state, "epoch": 218} if key else state, tmp_path / "released.pth")
    loaded = load_network(tmp_path / "released.pth")
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
    with pytest.raises(CheckpointError, match="holds no smoothing network"):
        load_network(tmp_path / "s.pth")


def test_released_network_with_a_part_missing_is_refused(tmp_path: Path) -> None:
    state = make_network().state_dict()
    for name in [name for name in state if name.startswith("refine.")]:
        del state[name]
    torch.save({"net": state}, tmp_path / "n.pth")
    with pytest.raises(CheckpointError, match="refine_blocks must be 1"):
        load_network(tmp_path / "n.pth")


def test_state_is_refused_where_a_network_is_needed(tmp_path: Path) -> None:
    save_state(tmp_path / "s", make_state())
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        load_network(tmp_path / "s")


def test_state_comes_back(tmp_path: Path) -> None:
    state = make_state()
    save_state(tmp_path / "s", state)
    loaded = load_state(tmp_path / "s")
    assert torch.equal(loaded["weights"].pop("a"), state["weights"].pop("a"))
    assert torch.equal(loaded.pop("random"), state.pop("random"))
    assert loaded == state


def test_every_damage_to_a_state_is_reported(tmp_path: Path) -> None:
    path, generator = tmp_path / "s", np.random.default_rng(0)
    save_state(path, make_state())
    whole = path.read_bytes()
    for position in generator.integers(0, len(whole), 300):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << generator.integers(8)
        path.write_bytes(damaged)
        with pytest.raises(
            CheckpointError, match=r"is damaged|no training state|of another version"
        ):
            load_state(path)
        path.write_bytes(whole[:position])
        with pytest.raises(CheckpointError, match=r"is damaged|no training state"):
            load_state(path)


def test_a_state_of_another_version_says_how_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / "s"
    save_state(path, make_state())
    path.write_bytes(path.read_bytes().replace(b"csgisnet-state 2 ", b"csgisnet-state 1 ", 1))
    with pytest.raises(CheckpointError, match=r"of another version of csgisnet.* with --init"):
        load_state(path)


def test_state_that_would_not_load_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"state\['best'\]\[1\] must be .* got float64"):
        save_state(tmp_path / "s", {"best": [1.0, np.float64(2)]})
    assert not list(tmp_path.iterdir())


def test_missing_state_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"No checkpoint .*absent"):
        load_state(tmp_path / "absent")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_state(tmp_path)
    save_network(tmp_path / "n", make_network())
    with pytest.raises(CheckpointError, match="weights alone cannot be resumed"):
        load_state(tmp_path / "n")


def test_newest_states_are_kept(tmp_path: Path) -> None:
    for step in (9, 100, 2000):
        save_latest(tmp_path, step, {"step": step})
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "state-000000100.pt",
        "state-000002000.pt",
    ]
    latest = load_latest(tmp_path)
    assert latest is not None
    assert (latest.state, latest.refused) == ({"step": 2000}, ())


def test_states_after_the_one_resumed_from_go(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save_latest(tmp_path, step, {"step": step}, keep=3)
    for damaged in (2, 3):
        (tmp_path / f"state-00000000{damaged}.pt").write_bytes(b"")
    latest = load_latest(tmp_path)
    assert latest is not None
    assert len(latest.refused) == 2
    save_latest(tmp_path, 2, {"step": 2})
    assert len(list(tmp_path.iterdir())) == 2
    latest = load_latest(tmp_path)
    assert latest is not None
    assert (latest.state, latest.refused) == ({"step": 2}, ())


def test_damaged_state_is_passed_over_aloud(tmp_path: Path) -> None:
    save_latest(tmp_path, 1, {"step": 1})
    newest = save_latest(tmp_path, 2, {"step": 2})
    newest.write_bytes(newest.read_bytes()[:-1])
    latest = load_latest(tmp_path)
    assert latest is not None
    assert latest.state == {"step": 1}
    assert latest.path.name == "state-000000001.pt"
    assert len(latest.refused) == 1
    assert str(newest) in latest.refused[0]


def test_no_state_and_no_whole_state_differ(tmp_path: Path) -> None:
    assert load_latest(tmp_path) is None
    save_latest(tmp_path, 1, {"step": 1}).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"No state in .* can be resumed from.*no training"):
        load_latest(tmp_path)


def test_best_are_kept_in_order(tmp_path: Path) -> None:
    network = make_network(NetworkConfig(width=1, blocks=1, coarse_blocks=1, refine_blocks=1))
    scores = [(1, -2.0), (2, 0.5), (3, 0.25), (4, 0.5), (5, 0.1), (6, 12.0)]
    written = [save_best(tmp_path, score, step, network, keep=3) for step, score in scores]
    assert [path is not None for path in written] == [True, True, True, True, False, True]
    assert [path.name for path in list_best(tmp_path)] == [
        "best-12.000000-step000000006.safetensors",
        "best-0.500000-step000000002.safetensors",
        "best-0.500000-step000000004.safetensors",
    ]
    assert load_network(list_best(tmp_path)[0]).config == network.config
    again = save_best(tmp_path, 0.5, 4, network, keep=3)  # a resumed run repeats its last steps
    assert again == written[3]
    assert len(list_best(tmp_path)) == 3
