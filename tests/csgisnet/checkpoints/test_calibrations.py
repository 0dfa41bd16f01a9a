"""Ranges for int8 in a network's file: there and back, kept from other weights, never half."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from networks import trained_network

from csgisnet.checkpoints.calibrations import KEY, calibration_to_json, load_calibration
from csgisnet.checkpoints.networks import load_network, publish_network, save_network
from csgisnet.checkpoints.pretrained import find_weights
from csgisnet.errors import CheckpointError
from csgisnet.networks.quantising import calibrate


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)
    return calibration_to_json(
        calibrate(trained_network(), [torch.rand(1, 3, 24, 24, generator=generator)])
    )


def test_a_published_network_has_the_ranges_that_were_measured(tmp_path: Path) -> None:
    save_network(tmp_path / "a", trained_network(), {"step": 3})
    picture = torch.rand(1, 3, 24, 32)
    publish_network(
        tmp_path / "a", tmp_path / "b", description="x", half=True, calibration_pictures=[picture]
    )
    network = load_network(tmp_path / "b")
    found = load_calibration(tmp_path / "b", network)
    assert found is not None
    for name, expected in calibrate(network, [picture]).items():
        for one, other in zip(found[name], expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    # of other weights they would be wrong, so that each file is measured anew
    publish_network(tmp_path / "b", tmp_path / "c", description="x")
    assert load_calibration(tmp_path / "c", network) is None
    assert load_calibration(tmp_path / "a", network) is None


def test_the_bundled_network_has_ranges() -> None:
    assert load_calibration(find_weights(), load_network(find_weights())) is not None


@pytest.mark.parametrize(
    "damage",
    [
        lambda ranges: ranges.pop("interpreter2.0"),
        lambda ranges: ranges["interpreter2.0"].pop("shift"),
        lambda ranges: ranges["interpreter2.0"]["low"].pop(),
        lambda ranges: ranges["interpreter2.0"].update(high=["a"]),
        lambda ranges: ranges["interpreter2.0"]["high"].__setitem__(0, 10**400),
        lambda ranges: ranges["interpreter2.0"]["high"].__setitem__(0, -9.0),
        lambda ranges: ranges["interpreter2.0"].update(
            high=[[v] for v in ranges["interpreter2.0"]["high"]]
        ),
        lambda ranges: ranges.update({"refine.9": ranges["interpreter2.0"]}),
        lambda ranges: ranges.update({"interpreter2.0": None}),
        lambda ranges: ranges.clear(),
    ],
)
def test_ranges_of_another_network_are_an_error(
    recorded: dict[str, Any], damage: Any, tmp_path: Path
) -> None:
    ranges = {name: {key: list(v) for key, v in r.items()} for name, r in recorded.items()}
    damage(ranges)
    save_network(tmp_path / "a", trained_network(), {KEY: ranges})
    with pytest.raises(CheckpointError, match=r"ranges for int8 are not those.*--calibrate"):
        load_calibration(tmp_path / "a", trained_network())


def test_ranges_that_are_no_numbers_are_an_error(tmp_path: Path) -> None:
    save_network(tmp_path / "a", trained_network(), {KEY: 5})
    with pytest.raises(CheckpointError, match="ranges for int8"):
        load_calibration(tmp_path / "a", trained_network())
