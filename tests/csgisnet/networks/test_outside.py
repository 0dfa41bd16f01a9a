"""A grey outside changes results close to an image's border only, and inverts with the image."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from csgisnet.checkpoints.networks import load_network
from csgisnet.networks.growing import grow
from csgisnet.networks.outside import with_grey_outside
from csgisnet.networks.smoothing import receptive_radius
from csgisnet.networks.symmetry import Symmetry, is_symmetric
from tests.csgisnet.networks.test_symmetry import CONFIGS, RELEASED, random_network


@pytest.mark.parametrize("name", CONFIGS)
def test_results_change_only_where_they_depend_on_what_is_outside(name: str) -> None:
    black = random_network(CONFIGS[name])
    grey, reach = with_grey_outside(black), receptive_radius(black.config)
    image = torch.rand(1, 3, 2 * reach + 8, 2 * reach + 12)
    with torch.no_grad():
        expected, found = black(image), grey(image)
    inner = (..., slice(reach, -reach), slice(reach, -reach))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one[inner], other[inner], rtol=1e-4, atol=1e-4)
    assert (found.result - expected.result).abs().max() > 1e-2


@pytest.mark.parametrize("name", CONFIGS)
def test_a_symmetric_network_inverts_up_to_the_border(name: str) -> None:
    network = random_network(CONFIGS[name])
    Symmetry(network).impose()
    grey, image = with_grey_outside(network), torch.rand(1, 3, 24, 26)
    assert is_symmetric(grey)
    with torch.no_grad():
        found, negative = grey(image), grey(1 - image)
        torch.testing.assert_close(1 - negative.result, found.result, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(1 - negative.coarse, found.coarse, rtol=1e-4, atol=1e-4)
        assert (1 - network(1 - image).result - network(image).result).abs().max() > 1e-2


def test_it_is_kept_by_what_changes_a_network_and_by_its_weights_alone(tmp_path: Path) -> None:
    network = random_network(RELEASED)
    Symmetry(network).impose()
    grey = with_grey_outside(network)
    assert with_grey_outside(grey) is grey
    grown = grow(grey, dataclasses.replace(RELEASED, width=36, blocks=2))
    assert grown.config.grey_outside
    assert is_symmetric(grown)
    torch.save(grey.state_dict(), tmp_path / "bare.pth")
    loaded, image = load_network(tmp_path / "bare.pth"), torch.rand(1, 3, 18, 20)
    assert loaded.config == grey.config
    with torch.no_grad():
        assert torch.equal(loaded(image).result, grey(image).result)
