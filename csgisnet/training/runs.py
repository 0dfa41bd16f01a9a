"""The folder of a run: what a new run begins with, and what a resumed one began with."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from csgisnet.checkpoints.networks import load_network, save_network
from csgisnet.errors import ConfigError
from csgisnet.networks.smoothing import SmoothingNetwork
from csgisnet.training.config import Config, load_config
from vocsmooth import settings
from vocsmooth.errors import InputError
from vocsmooth.files import (
    is_temporary,
    refuse_other_files,
    remove_leftovers,
    sha256_file,
    write_json,
)
from vocsmooth.shards import Dataset, open_dataset
from vocsmooth.shards.index import INDEX_NAME

RUN_FILE = "run.json"
"""File that records the settings, the dataset and the teachers of a run."""

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
        """Return those that are given, by name."""
        return {name: path for name, path in vars(self).items() if path is not None}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Start:
    """Everything that a run begins with, checked; nothing has been written."""

    config: Config
    """All settings."""
    sources: Sources
    """What it learns from."""
    dataset: Dataset
    """The dataset among them, opened."""
    initial: SmoothingNetwork | None
    """Network with the first weights, None for random ones."""

    @property
    def digest(self) -> str:
        """Digest of the dataset's recipe, which tells datasets apart."""
        return settings.digest(self.dataset.recipe)


def new_run(
    folder: Path, sources: Sources, config: Config | None, initial: SmoothingNetwork | None
) -> Start:
    """Check that a new run may begin in `folder`, and return what it begins with.

    Parameters
    ----------
    folder : Path
        Of the run; new or empty.
    sources : Sources
        What to learn from.
    config : Config or None
        All settings; None takes "compact".
    initial : SmoothingNetwork or None
        Network to begin with; its size takes the place of the one in `config`.

    Raises
    ------
    InputError
        The folder holds something already.
    ConfigError
        No dataset is given.
    """
    dataset = _opened(sources)
    refuse_other_files(
        folder,
        _is_begun,
        "give a new folder for the run, or --resume to continue the run in it",
    )
    config = config or load_config("compact")
    if initial is not None:
        config = dataclasses.replace(config, network=initial.config)
    return Start(config=config, sources=sources, dataset=dataset, initial=initial)


def resumed_run(
    folder: Path, sources: Sources, config: Config | None, initial: SmoothingNetwork | None
) -> Start:
    """Return what the run in `folder` began with, checked against what is given now.

    Parameters
    ----------
    folder : Path
        Of the run.
    sources : Sources
        What is given again; the rest is taken from the run.
    config : Config or None
        Settings, if given again.
    initial : SmoothingNetwork or None
        Must be None: a run to resume has its own weights.

    Raises
    ------
    InputError
        There is no run in `folder`, or `initial` is given.
    ConfigError
        The settings, the dataset or a teacher are not those that the run began with.
    CheckpointError
        The network that the run began with is damaged.
    """
    path = folder / RUN_FILE
    record = _read_record(path)
    if initial is not None:
        raise InputError(
            f"The run in {folder} continues from its own weights. Leave out --init, or begin a new "
            "run with it."
        )
    sources = _recorded_sources(path, record, sources)
    dataset = _opened(sources)
    first = folder / _INITIAL_FILE
    initial = load_network(first) if first.exists() else None
    if config is not None and initial is not None:
        config = dataclasses.replace(config, network=initial.config)
    began = _recorded_config(path, record, config, settings.digest(dataset.recipe))
    return Start(config=began, sources=sources, dataset=dataset, initial=initial)


def begin_run(folder: Path, start: Start) -> None:
    """Make the folder of a new run, and record what the run belongs to and begins with."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    (folder / _INITIAL_FILE).unlink(missing_ok=True)  # of a run that was killed here
    if start.initial is not None:
        save_network(folder / _INITIAL_FILE, start.initial)
    record = {
        "dataset": start.digest,
        "config": settings.to_dict(start.config),
        "sources": {
            name: {"path": str(path.resolve()), "sha256": _identify(path)}
            for name, path in start.sources.given().items()
        },
    }
    write_json(folder / RUN_FILE, record)


def _opened(sources: Sources) -> Dataset:
    """Open the dataset of a run."""
    if sources.data is None:
        raise ConfigError("No dataset to train on: give one with --data.")
    return open_dataset(sources.data)


def _recorded_sources(path: Path, record: dict[str, Any], given: Sources) -> Sources:
    """Return what a run learns from: as given now, and else as recorded when it began."""
    try:
        recorded = {
            name: (Path(one["path"]), str(one["sha256"]))
            for name, one in record.get("sources", {}).items()  # the first versions recorded none
        }
        sources = Sources(**{name: known[0] for name, known in recorded.items()} | given.given())
    except (AttributeError, KeyError, TypeError) as error:
        raise _no_record(path, error) from None
    for name, now in sources.given().items() if recorded else ():
        before, digest = recorded.get(name, (None, None))
        if _identify(now) not in (digest, None):
            raise ConfigError(
                f"The run in {path.parent} began with {before or 'none'} as its {name}, and {now} "
                f"is another. Leave out --{name} or give the same, or begin a new run."
            )
    return sources


def _recorded_config(
    path: Path, record: dict[str, Any], given: Config | None, dataset: str
) -> Config:
    """Return the settings that a run began with; they and the dataset must not have changed."""
    try:
        began = settings.from_dict(Config, record["config"], str(path))
        its_dataset = record["dataset"]
    except (AttributeError, KeyError, TypeError) as error:
        raise _no_record(path, error) from None
    if its_dataset != dataset:
        raise ConfigError(
            f"The run in {path.parent} began on another dataset (recipe digest {its_dataset}, "
            f"given {dataset}). Give that dataset, or begin a new run."
        )
    if given is None:
        return began
    changes = _differences(settings.to_dict(began), settings.to_dict(given))
    if changes:
        raise ConfigError(
            f"The run in {path.parent} began with other settings: {'; '.join(changes)}. Leave "
            "the settings out to continue with its own, or begin a new run."
        )
    return began


def _read_record(path: Path) -> dict[str, Any]:
    """Return what a run recorded when it began."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path.parent} does not hold a run. Leave out --resume.") from None
    except ValueError as error:
        raise _no_record(path, error) from None
    if not isinstance(content, dict):
        raise _no_record(path, content)
    return content


def _is_begun(path: Path) -> bool:
    """Return whether a file is what `begin_run` leaves when it is killed."""
    return path.name == _INITIAL_FILE or is_temporary(path)


def _no_record(path: Path, found: object) -> InputError:
    """Return the error for a record that lacks something or is malformed."""
    return InputError(f"{path} is not the record of a run: {found!r}.")


def _identify(path: Path) -> str | None:
    """Return the SHA-256 of a file, or of a dataset's index, which holds those of its shards.

    None if it cannot be read: whoever opens it next says why.
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
