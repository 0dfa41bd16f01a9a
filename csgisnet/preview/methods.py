"""What the preview offers: every operator and network, with a slider for each parameter."""

from __future__ import annotations

import functools
import inspect
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from csgisnet.checkpoints.format import is_ours, load_weights
from csgisnet.checkpoints.networks import ChannelOrder
from csgisnet.checkpoints.pretrained import find_weights
from csgisnet.networks.smoothing import NetworkConfig
from csgisnet.prediction.loading import load
from csgisnet.prediction.smoother import Smoother
from vocsmooth.errors import InputError
from vocsmooth.operators.table import OPERATORS, smooth

Image = NDArray[np.float32]

RANGES: dict[str, dict[str, tuple[float, float]]] = {
    "rtv": {"lam": (0.001, 0.1), "sigma": (0.5, 8), "sharpness": (0.001, 0.2), "num_iter": (1, 8)},
    "l0": {"lam": (0.001, 0.2), "kappa": (1.1, 4)},
    "guided": {"radius": (1, 24), "eps": (0.0001, 0.2)},
    "rolling": {"sigma_space": (1, 12), "sigma_range": (0.01, 0.5), "num_iter": (1, 8)},
    "ils": {
        "lam": (1, 300),
        "gamma": (0.005, 0.3),
        "num_iter": (1, 20),
        "p": (0.2, 1),
        "eps": (0.00001, 0.01),
    },
    "pyramid": {
        "sigma_space": (1, 12),
        "sigma_range": (0.01, 0.3),
        "levels": (1, 16),
        "scale": (0.4, 0.95),
    },
    "sd": {"lam": (0.1, 100), "mu": (5, 500), "nu": (20, 2000), "num_iter": (1, 20)},
}
"""Ends of the slider of each numeric parameter of each operator."""

STRENGTHS = (-1.0, 2.0)
"""Ends of the slider of a network's strength."""


RESULTS = "smoothed"
"""Folder for results in the commands that the page shows."""


@dataclass(frozen=True, kw_only=True)
class Control:
    """One parameter of a method: a slider if it is a number, a list if it has choices."""

    name: str
    default: float | str
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    """Whether the parameter takes whole numbers only."""
    logarithmic: bool = False
    """Whether equal steps of the slider multiply the value by equal factors."""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to smooth: an operator, or a network with its strength."""

    name: str
    is_network: bool
    controls: tuple[Control, ...]


def methods(networks: Sequence[str]) -> list[Method]:
    """Return everything that a page can offer: all operators, and networks by name or path.

    Examples
    --------
    >>> [method.name for method in methods(["compact"])]
    ['l0', 'rtv', 'guided', 'rolling', 'ils', 'sd', 'pyramid', 'compact']
    """
    return [
        *(Method(name=name, is_network=False, controls=_controls(name)) for name in OPERATORS),
        *(
            Method(name=name, is_network=True, controls=_controls_of_network(name))
            for name in networks
        ),
    ]


def describe(offered: Sequence[Method]) -> list[dict[str, Any]]:
    """Describe methods in the form that the page's script reads."""
    return [asdict(method) for method in offered]


def read_values(method: Method, given: Mapping[str, str]) -> dict[str, Any]:
    """Read the parameters of a method from a request; those that are absent take their defaults.

    Raises
    ------
    InputError
        A word is not a number, lies outside its slider, or is none of the choices.

    Examples
    --------
    >>> l0 = methods([])[0]
    >>> read_values(l0, {"lam": "0.05"})
    {'lam': 0.05, 'kappa': 2.0}
    """
    return {
        control.name: _read_value(control, given.get(control.name)) for control in method.controls
    }


def bind(method: Method, values: Mapping[str, Any], device: str) -> Callable[[Image], Image]:
    """Return a method as a function of an image; a network is loaded now, not when it is called.

    Parameters
    ----------
    method : Method
        One of `methods`.
    values : mapping
        All its parameters, from `read_values`.
    device : str
        Where networks run.

    Returns
    -------
    callable
        Maps an image (H, W) or (H, W, 3), float32 in [0, 1], to its smoothed self, and raises what
        the operator does.

    Raises
    ------
    VocsmoothError
        As `csgisnet.prediction.loading.load`.
    """
    if method.is_network:
        network = _network(method.name, device, values.get("channel_order"), values.get("level"))
        return functools.partial(network.smooth, strength=values["strength"])
    return lambda image: np.asarray(smooth(image, method.name, **values), np.float32)


def command_line(method: Method, values: Mapping[str, Any], photograph: Path) -> str:
    """Return the command that smooths a photograph in the same way, quoted for a shell.

    Examples
    --------
    >>> l0 = methods([])[0]
    >>> command_line(l0, {"lam": 0.05, "kappa": 2.0}, Path("my photo.jpg"))
    "vocsmooth smooth 'my photo.jpg' --operator l0 --lam 0.05 --out smoothed"
    """
    if method.is_network:
        words = ["csgisnet", "predict", _as_argument(photograph), "--checkpoint", method.name]
    else:
        words = ["vocsmooth", "smooth", _as_argument(photograph), "--operator", method.name]
    for control in method.controls:
        if values[control.name] != control.default:
            words += [f"--{control.name.replace('_', '-')}", _spelled(values[control.name])]
    return shlex.join([*words, "--out", RESULTS])


def _controls(operator: str) -> tuple[Control, ...]:
    """Return the sliders of an operator, in the order of its signature."""
    found = []
    for name, parameter in inspect.signature(OPERATORS[operator]).parameters.items():
        default = parameter.default
        if name in RANGES[operator]:
            low, high = RANGES[operator][name]
            whole = isinstance(default, int)
            found.append(
                Control(
                    name=name,
                    default=default,
                    low=low,
                    high=high,
                    whole=whole,
                    logarithmic=not whole and high / low > 20,
                )
            )
        elif isinstance(default, str):
            found.append(Control(name=name, default=default, choices=_choices(operator, name)))
    return tuple(found)


def _controls_of_network(name: str) -> tuple[Control, ...]:
    """Return sliders for strength and level, and a choice only for another project's network."""
    low, high = STRENGTHS
    strength = Control(name="strength", default=1.0, low=low, high=high)
    weights = find_weights(name)
    if is_ours(weights):
        config = load_weights(weights, "network").config_as(NetworkConfig, weights)
        level = Control(name="level", default=config.default_level, low=0.0, high=1.0)
        return (strength, level) if config.level else (strength,)
    orders = get_args(ChannelOrder)
    return strength, Control(name="channel_order", default=orders[0], choices=orders)


def _choices(operator: str, name: str) -> tuple[str, ...]:
    """Return the words that a parameter takes, from its annotation."""
    return get_args(get_type_hints(OPERATORS[operator])[name])


def _read_value(control: Control, word: str | None) -> float | str:
    """Read one parameter from its text."""
    if word is None:
        return control.default
    if control.choices:
        if word not in control.choices:
            raise InputError(f"{control.name} must be one of {', '.join(control.choices)}.")
        return word
    try:
        value = int(word) if control.whole else float(word)
    except ValueError:
        raise InputError(f"{control.name} must be a number, got {word!r}.") from None
    if not control.low <= value <= control.high:
        raise InputError(
            f"{control.name} must be {control.low:g} to {control.high:g}, got {value:g}."
        )
    return value


def _spelled(value: float | str) -> str:
    """Write a value as people type it."""
    return value if isinstance(value, str) else f"{value:g}"


def _as_argument(path: Path) -> str:
    """Write a path for a command, where one that begins with a dash would be an option."""
    return f"./{path}" if str(path).startswith("-") else str(path)


@functools.lru_cache(maxsize=8)
def _network(
    name: str, device: str, channel_order: ChannelOrder | None, level: float | None
) -> Smoother:
    """Return a network, loaded when it is first asked for."""
    return load(name, device=device, channel_order=channel_order, level=level)
