"""The folder of a run: what is in it, when it may be used, and which settings it belongs to."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from csgisnet.checkpoints.networks import load_network, save_network
from csgisnet.errors import ConfigError
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from csgisnet.training.config import Config, load_config
from vocsmooth import settings
from vocsmooth.errors import InputError
from vocsmooth.files import is_temporary, remove_leftovers, sha256_file, write_json
from vocsmooth.shards.index import INDEX_NAME

RUN_FILE = "run.json"
"""What a run belongs to."""

_INITIAL_FILE = "initial.safetensors"
"""The weights that the run began with, unless they were random."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sources:
    """What a run learns from."""

    data: Path | None = None
    """Folder of the dataset."""
    segmenter: Path | None = None
    """Weights of the segmenter."""
    features: Path | None = None
    """Weights of the feature extractor."""

    def given(self) -> dict[str, Path]:
        """Return those that there are, by name."""
        return {name: path for name, path in vars(self).items() if path is not None}


def settle_sources(folder: Path, given: Sources, *, resume: bool) -> Sources:
    """Return what a run learns from: as given, and to resume one, what else it began with.

    Raises
    ------
    InputError
        `resume` is on and there is no run in `folder`.
    ConfigError
        One of them is not the one that the run began with.
    """
    if not resume:
        return given
    path = folder / RUN_FILE
    record = _read_record(path).get("sources", {})  # of runs that did not note it, nothing is known
    try:
        recorded = {name: (Path(one["path"]), str(one["sha256"])) for name, one in record.items()}
        settled = Sources(**{name: known[0] for name, known in recorded.items()} | given.given())
    except (AttributeError, KeyError, TypeError) as error:
        raise _no_record(path, error) from None
    for name, now in settled.given().items() if recorded else ():
        before, digest = recorded.get(name, (None, None))
        if _identify(now) not in (digest, None):
            raise ConfigError(
                f"The run in {folder} began with {before or 'none'} as its {name}, and {now} is "
                f"another. Leave out --{name} or give the same, or begin a new run."
            )
    return settled


def settle_config(
    folder: Path,
    config: Config | None,
    *,
    dataset: str,
    resume: bool,
    network: NetworkConfig | None = None,
) -> Config:
    """Check that a run may begin in `folder` or be taken up there; return its settings.

    Parameters
    ----------
    folder : Path
        Of the run; nothing is written.
    config : Config or None
        Settings; None takes those of the run to resume, or else "compact".
    dataset : str
        Digest of the dataset's recipe.
    resume : bool
        Take up the run in `folder`.
    network : NetworkConfig, optional
        Size of the network that the run begins with, in place of the one in `config`.

    Raises
    ------
    InputError
        The folder holds a run and `resume` is off, or it is on and there is none.
    ConfigError
        The settings or the dataset are not those that the run began with.
    """
    if network is not None and not (resume and config is None):
        config = dataclasses.replace(config or load_config("compact"), network=network)
    if resume:
        return _resumed(folder / RUN_FILE, config, dataset)
    if folder.is_dir() and not all(_is_begun(path) for path in folder.iterdir()):
        raise InputError(
            f"{folder} is not empty. Give a new folder for the run, or --resume to go on with the "
            "run in it."
        )
    return config or load_config("compact")


def settle_initial(
    folder: Path, initial: SmoothingNetwork | None, *, resume: bool
) -> SmoothingNetwork | None:
    """Return the network that a run begins with, None for random weights.

    Parameters
    ----------
    folder : Path
        Of the run.
    initial : SmoothingNetwork or None
        What a new run shall begin with.
    resume : bool
        Take up the run in `folder`, and what that began with.

    Raises
    ------
    InputError
        A network is given for a run to resume.
    CheckpointError
        The one in `folder` is damaged.
    """
    if not resume:
        return initial
    if initial is not None:
        raise InputError(
            f"The run in {folder} goes on from its own weights. Leave out --init, or begin a new "
            "run with it."
        )
    path = folder / _INITIAL_FILE
    return load_network(path) if path.exists() else None


def begin_run(
    folder: Path,
    config: Config,
    *,
    dataset: str,
    sources: Sources,
    initial: SmoothingNetwork | None = None,
) -> None:
    """Make the folder of a new run and note what it belongs to and began with."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    (folder / _INITIAL_FILE).unlink(missing_ok=True)  # of one that was killed here
    if initial is not None:
        save_network(folder / _INITIAL_FILE, initial)
    record = {
        "dataset": dataset,
        "config": settings.to_dict(config),
        "sources": {
            name: {"path": str(path.resolve()), "sha256": _identify(path)}
            for name, path in sources.given().items()
        },
    }
    write_json(folder / RUN_FILE, record)


def _resumed(path: Path, config: Config | None, dataset: str) -> Config:
    """Return the settings of an earlier run, checked against those given now."""
    content = _read_record(path)
    try:
        began = settings.from_dict(Config, content["config"], str(path))
        its_dataset = content["dataset"]
    except (AttributeError, KeyError, TypeError) as error:
        raise _no_record(path, error) from None
    if its_dataset != dataset:
        raise ConfigError(
            f"The run in {path.parent} began on another dataset (recipe digest {its_dataset}, "
            f"given {dataset}). Give that dataset, or begin a new run."
        )
    changes = (
        [] if config is None else _differences(settings.to_dict(began), settings.to_dict(config))
    )
    if changes:
        raise ConfigError(
            f"The run in {path.parent} began with other settings: {'; '.join(changes)}. Leave "
            "the settings out to go on with its own, or begin a new run."
        )
    return began


def _read_record(path: Path) -> dict[str, Any]:
    """Return what a run noted when it began."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path.parent} holds no run to resume. Leave out --resume.") from None
    except ValueError as error:
        raise _no_record(path, error) from None
    if not isinstance(content, dict):
        raise _no_record(path, content)
    return content


def _is_begun(path: Path) -> bool:
    """Return whether a file is what `begin_run` leaves when it is killed."""
    return path.name == _INITIAL_FILE or is_temporary(path)


def _no_record(path: Path, found: object) -> InputError:
    """Return the error for a record that says something else than it should."""
    return InputError(f"{path} is no record of a run: {found!r}.")


def _identify(path: Path) -> str | None:
    """Return the SHA-256 of a file, or of a dataset's index, in which those of its shards are.

    None if it cannot be read: who opens it next says why.
    """
    try:
        return sha256_file(path / INDEX_NAME if path.is_dir() else path)
    except OSError:
        return None


def _differences(began: dict[str, Any], given: dict[str, Any], prefix: str = "") -> list[str]:
    """Return the keys that differ, with both values."""
    found = []
    for key, value in began.items():
        other = given.get(key)
        if isinstance(value, dict) and isinstance(other, dict):
            found += _differences(value, other, f"{prefix}{key}.")
        elif value != other:
            found.append(f"{prefix}{key} was {value!r}, given {other!r}")
    return found
