"""Training states load intact or not at all; the newest intact one is found."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from csgisnet.checkpoints.networks import load_network, save_network
from csgisnet.checkpoints.states import load_latest, load_state, save_latest, save_state
from csgisnet.errors import CheckpointError
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork

TINY = NetworkConfig(width=1, blocks=1, coarse_blocks=1, refine_blocks=1)


def make_state() -> dict[str, Any]:
    return {
        "step": 12,
        "weights": {"a": torch.randn(4, 4)},
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "betas": (0.9, 0.999)},
        "random": torch.get_rng_state(),
        "best": [0.5, None, "x", True],
    }


def test_state_is_refused_where_a_network_is_needed(tmp_path: Path) -> None:
    save_state(tmp_path / "s", make_state())
    with pytest.raises(CheckpointError, match="is the training state of a run"):
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
            CheckpointError, match=r"is damaged|not a training state|of another version"
        ):
            load_state(path)
        path.write_bytes(whole[:position])
        with pytest.raises(CheckpointError, match=r"is damaged|not a training state"):
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
    with pytest.raises(CheckpointError, match=r"no checkpoint .*absent"):
        load_state(tmp_path / "absent")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_state(tmp_path)
    save_network(tmp_path / "n", SmoothingNetwork(TINY))
    with pytest.raises(CheckpointError, match="cannot resume from weights alone"):
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
    with pytest.raises(
        CheckpointError, match=r"None of the states in .* can be resumed from.*not a training"
    ):
        load_latest(tmp_path)
