"""What the preview offers: sliders that cover every operator, values, and commands."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch

from csgisnet.checkpoints.networks import save_network
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from csgisnet.preview.methods import Method, bind, command_line, methods, read_values
from vocsmooth.errors import InputError
from vocsmooth.operators.table import OPERATORS, smooth

OFFERED = methods(["compact"])

BY_NAME = {method.name: method for method in OFFERED}


def test_every_operator_is_offered_with_every_parameter() -> None:
    for name, function in OPERATORS.items():
        parameters = list(inspect.signature(function).parameters)[1:]
        numbers = [parameter for parameter in parameters if parameter != "guide"]
        assert [control.name for control in BY_NAME[name].controls] == numbers


@pytest.mark.parametrize("method", OFFERED, ids=lambda method: method.name)
def test_defaults_lie_on_their_sliders(method: Method) -> None:
    for control in method.controls:
        if control.choices:
            assert control.default in control.choices
        else:
            assert control.low < float(control.default) < control.high
            assert control.whole == isinstance(control.default, int)


def test_values_are_read_from_words() -> None:
    values = read_values(BY_NAME["ils"], {"num_iter": "3", "penalty": "charbonnier"})
    assert values["num_iter"] == 3
    assert values["penalty"] == "charbonnier"
    assert values["lam"] == 30.0


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"lam": "much"}, "lam must be a number, got 'much'"),
        ({"lam": "nan"}, "lam must be 1 to 300, got nan"),
        ({"num_iter": "2.5"}, "num_iter must be a number"),
        ({"num_iter": "21"}, "num_iter must be 1 to 20, got 21"),
        ({"penalty": "l0"}, "penalty must be one of welsch, charbonnier"),
    ],
)
def test_words_that_no_slider_gives_are_refused(given: dict[str, str], reason: str) -> None:
    with pytest.raises(InputError, match=re.escape(reason)):
        read_values(BY_NAME["ils"], given)


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_smooth_as_they_do_alone(name: str) -> None:
    image = np.random.default_rng(0).random((12, 14, 3), np.float32)
    method = BY_NAME[name]
    result = bind(method, read_values(method, {}), "cpu")(image)
    np.testing.assert_array_equal(result, smooth(image, name))


def test_a_network_smooths_with_its_strength() -> None:
    image = np.random.default_rng(0).random((16, 16, 3), np.float32)
    method = BY_NAME["compact"]
    result = bind(method, read_values(method, {"strength": "0"}), "cpu")(image)
    np.testing.assert_array_equal(result, image)
    assert np.ptp(bind(method, read_values(method, {}), "cpu")(image)) < np.ptp(image)


def test_a_network_is_loaded_before_it_is_called(tmp_path: Path) -> None:
    """So the time that the page shows is that of the smoothing."""
    path = tmp_path / "mine.safetensors"
    network = SmoothingNetwork(NetworkConfig(width=4, blocks=1, coarse_blocks=1, refine_blocks=1))
    save_network(path, network)
    (method,) = (method for method in methods([str(path)]) if method.is_network)
    function = bind(method, read_values(method, {}), "cpu")
    path.unlink()
    assert function(np.zeros((16, 16, 3), np.float32)).shape == (16, 16, 3)


def test_a_network_of_others_has_a_choice_of_channel_order(tmp_path: Path) -> None:
    path = tmp_path / "authors.pth"
    torch.manual_seed(0)
    network = SmoothingNetwork(NetworkConfig(width=4, blocks=1, coarse_blocks=1, refine_blocks=1))
    torch.save({"net": network.state_dict()}, path)
    (method,) = (method for method in methods([str(path)]) if method.is_network)
    image = np.random.default_rng(0).random((16, 16, 3), np.float32)
    values = read_values(method, {"channel_order": "bgr"})
    np.testing.assert_allclose(
        bind(method, values, "cpu")(image),
        bind(method, read_values(method, {}), "cpu")(image[..., ::-1])[..., ::-1],
        atol=1e-5,
    )
    assert "--channel-order bgr" in command_line(method, values, Path("a.png"))
    assert [control.name for control in BY_NAME["compact"].controls] == ["strength", "level"]


def test_commands_are_quoted_and_name_what_differs_from_the_defaults() -> None:
    method = BY_NAME["rolling"]
    values = read_values(method, {"sigma_space": "2.5"})
    words = shlex.split(command_line(method, values, Path("-a 'b'.png")))
    assert words == [
        *("vocsmooth", "smooth", "./-a 'b'.png", "--operator", "rolling"),
        *("--sigma-space", "2.5", "--out", "smoothed"),
    ]
    network = BY_NAME["compact"]
    values = read_values(network, {"strength": "-0.5"})
    words = shlex.split(command_line(network, values, Path("a.jpg")))
    assert words[:5] == ["csgisnet", "predict", "a.jpg", "--checkpoint", "compact"]
    assert words[5:7] == ["--strength", "-0.5"]
    assert "--level" not in words
    values = read_values(network, {"level": "0.75"})
    assert "--level 0.75" in command_line(network, values, Path("a.jpg"))
