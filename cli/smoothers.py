"""What `csgisnet evaluate` compares: networks, folders of results, and operators."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from .progress import progress_bar

if TYPE_CHECKING:
    from csgisnet.evaluation.measure import SmoothFunction
    from csgisnet.evaluation.outputs import Outputs
    from csgisnet.evaluation.samples import Image, Samples


class Operator(NamedTuple):
    """An operator as the user asked for it."""

    name: str
    params: dict[str, Any]


def split_names(given: Sequence[str]) -> dict[str, str]:
    """Return paths by name; words are NAME=PATH, or a path, which is then its own name.

    A path that exists is one, even if it has "=" in it.
    """
    found: dict[str, str] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or Path(text).exists():
            name, path = text, text
        if not (name and path):
            raise click.UsageError(f"{text!r} is not of the form NAME=PATH.")
        if name in found:
            raise click.UsageError(f"Two are called {name!r}; give them names, as NAME=PATH.")
        found[name] = path
    return found


def refuse_same_names(*groups: Iterable[str]) -> None:
    """Refuse a name that two smoothers share, or that belongs to the untouched input."""
    from csgisnet.evaluation.measure import INPUT

    taken = {INPUT}
    for name in itertools.chain(*groups):
        if name in taken:
            raise click.UsageError(f"The name {name!r} is taken; give another, as NAME=PATH.")
        taken.add(name)


def find_networks(given: Mapping[str, str]) -> dict[str, Path]:
    """Return the files of weights by name."""
    from csgisnet.checkpoints.pretrained import find_weights

    return {name: find_weights(path) for name, path in given.items()}


def describe_networks(files: Mapping[str, Path]) -> dict[str, dict[str, str]]:
    """Describe the files of weights, for the report."""
    from vocsmooth.files import sha256_file

    return {name: {"file": str(path), "sha256": sha256_file(path)} for name, path in files.items()}


def load_networks(
    files: Mapping[str, Path], device: str, channel_order: Any
) -> dict[str, SmoothFunction]:
    """Return the networks by name, ready to smooth.

    In float32, so that a page has the same numbers whatever the processor. The order of channels is
    that of the files from other projects; if there are none, loading ours with it is an error.
    """
    from csgisnet.checkpoints.format import is_ours
    from csgisnet.prediction.loading import load

    ours = {name for name, path in files.items() if is_ours(path)}
    if len(ours) == len(files):
        ours = set()
    return {
        name: load(
            path,
            device=device,
            precision="float32",
            channel_order=None if name in ours else channel_order,
        ).smooth
        for name, path in files.items()
    }


def read_results(folders: Mapping[str, str], samples: Samples) -> dict[str, Outputs]:
    """Return the results of other methods, each checked against the samples."""
    from csgisnet.evaluation.outputs import outputs_of
    from vocsmooth.images.finding import find_by_name
    from vocsmooth.images.reading import read_rgb

    found = {}
    for name, folder in folders.items():
        files = find_by_name(folder)
        with progress_bar(f"checking {name}", len(samples.names)) as bar:
            found[name] = outputs_of(files, samples, read_rgb, f"{name} ({folder})", bar.update)
    return found


def parse_operators(given: Sequence[str]) -> dict[str, Operator]:
    """Return the operators by title: those given, or all with their defaults."""
    import numpy as np

    from vocsmooth.operators.table import OPERATORS, smooth

    if "none" in given:
        return {}
    chosen = {}
    for text in given or OPERATORS:
        name, _, rest = text.partition(":")
        params = dict(_parameter(part) for part in rest.split(",") if part)
        try:
            smooth(np.zeros((1, 1), np.float32), name, **params)  # before any image is read
        except (TypeError, ValueError) as error:
            raise click.UsageError(f"--operator {text}: {error}") from error
        chosen[text] = Operator(name, params)
    return chosen


def _parameter(text: str) -> tuple[str, Any]:
    """Split "lam=0.02"; a number becomes a number, anything else stays text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--operator: {text!r} is not of the form NAME=VALUE.")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def tune_operators(chosen: Iterable[Operator], samples: Samples) -> dict[str, dict[str, Any]]:
    """Return the best parameters of each operator, among its grid and those that the user gave."""
    from csgisnet.evaluation.tune import tune
    from vocsmooth.operators.tuning import combinations

    given: dict[str, list[dict[str, Any]]] = {}
    for operator in chosen:
        given.setdefault(operator.name, []).append(operator.params)
    tuned = {}
    for name, params in given.items():
        with progress_bar(f"tuning {name}", len(samples.names)) as bar:
            # The grid holds the defaults.
            candidates = [*combinations(name), *filter(None, params)]
            tuned[name] = tune(_bound(name, {}), candidates, samples, bar.update)
    return tuned


def tuned_title(name: str, params: Mapping[str, Any]) -> str:
    """Name a tuned operator."""
    from vocsmooth.settings import describe_operator

    return f"{describe_operator(name, params)}, tuned"


def bind_operators(
    chosen: Mapping[str, Operator], tuned: Mapping[str, dict[str, Any]]
) -> dict[str, SmoothFunction]:
    """Return the operators as given, each followed by its tuned version."""
    smoothers = {}
    for title, (name, params) in chosen.items():
        smoothers[title] = _bound(name, params)
        if name in tuned:
            smoothers[tuned_title(name, tuned[name])] = _bound(name, tuned[name])
    return smoothers


def _bound(name: str, params: Mapping[str, Any]) -> SmoothFunction:
    """Return an operator with its parameters bound."""
    return functools.partial(_smooth_as_written, name, **params)


def _smooth_as_written(name: str, image: Image, **params: Any) -> Image:
    """Smooth as `vocsmooth smooth` does, which clips values to [0, 1] when it writes a file."""
    import numpy as np

    from vocsmooth.operators.table import OPERATORS

    clipped: Image = np.clip(OPERATORS[name](image, **params), 0, 1)
    return clipped


def untuned_titles(
    chosen: Mapping[str, Operator], tuned: Mapping[str, dict[str, Any]]
) -> dict[str, list[str]]:
    """Return for each tuned operator the titles under which it is measured as given."""
    return {
        tuned_title(name, params): [title for title, o in chosen.items() if o.name == name]
        for name, params in tuned.items()
    }
