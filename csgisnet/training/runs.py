"""What a run trains with: given by the caller for a new run, read from its folder to resume one."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from csgisnet.checkpoints.networks import load_network, save_network
from csgisnet.checkpoints.own import load_module, save_module
from csgisnet.device import Precision
from csgisnet.errors import ConfigError
from csgisnet.networks.growing import grow
from csgisnet.networks.own import OwnNetwork
from csgisnet.networks.smoothing import SmoothingNetwork
from csgisnet.objective.losses import Teachers
from csgisnet.objective.teachers import load_teachers
from csgisnet.training.config import Config, load_config
from csgisnet.training.hooks import Own
from csgisnet.training.levels import load_simplifier
from csgisnet.training.lock import lock_path, only_process
from csgisnet.training.loggers import check_loggers
from csgisnet.training.sources import Sources, no_record, read_record, sources_of
from vocsmooth import settings
from vocsmooth.errors import InputError
from vocsmooth.files import AnyPath, as_path, is_utf8, remove_leftovers, write_json
from vocsmooth.folders import refuse_other_files
from vocsmooth.shards import Dataset, open_dataset

RUN_FILE = "run.json"
"""Records what a run began with: settings, dataset and teachers."""

_INITIAL_FILE = "initial.safetensors"
"""The weights that the run began with, unless they were random."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setup:
    """What a run trains with, once it has been checked."""

    config: Config
    sources: Sources
    dataset: Dataset
    """The dataset in `sources`, opened."""
    initial: SmoothingNetwork | None = None
    """The network it began with; None for random weights."""
    own: Own = dataclasses.field(default_factory=Own)
    """What the caller adds and no file can hold."""
    asked: Precision | None = None
    """The precision that the run was begun with, before `csgisnet.training.precisions` chose."""

    def __post_init__(self) -> None:
        check_loggers(self.config.run.loggers)
        self.own.check(self.config)

    @property
    def network(self) -> SmoothingNetwork | OwnNetwork | None:
        """The network to train; None for one of ours with random weights."""
        return self.own.network or self.initial

    @property
    def digest(self) -> str:
        """Digest of the dataset's recipe."""
        return settings.digest(self.dataset.recipe)

    def load_simplifier(self) -> SmoothingNetwork | None:
        """Load the network that makes the labels of level 1; by default the initial one does."""
        path = self.sources.simplifier
        return self.initial if path is None else load_simplifier(path, self.config.data)

    def load_teachers(self) -> Teachers:
        """Load the teachers of the loss terms; a loss of the caller's own has none."""
        if self.own.loss is not None:
            return Teachers()
        return load_teachers(
            self.config.losses,
            self.sources.segmenter,
            self.sources.features,
            self.sources.output_stride,
        )


def new_run(
    folder: Path,
    given: Sources,
    config: Config | None,
    initial: SmoothingNetwork | None,
    own: Own | None = None,
) -> Setup:
    """Check that a new run may begin in `folder`, and return what it trains with.

    Parameters
    ----------
    folder : Path
        Must be empty or not exist; nothing is written to it (see `claim_run`).
    given : Sources
        What to learn from; a dataset is needed.
    config : Config or None
        Settings; None takes "compact".
    initial : SmoothingNetwork or None
        Network to begin with, whose size replaces the one in `config` unless that lets it grow;
        None for random weights. A level or a finish that only `config` has is added to it.
    own : Own, optional
        What the caller brings along.

    Raises
    ------
    InputError
        The folder holds other files.
    ConfigError
        No dataset is given, or two networks are, or `own` does not go with the settings.
    DatasetError
        The dataset cannot be opened.
    """
    own = own or Own()
    if initial is not None and own.network is not None:
        raise ConfigError("Give a network of your own, or one of ours as initial, but not both.")
    dataset = _open(given)
    _refuse_other_files(folder)
    config = config or load_config("compact")
    if initial is not None:
        initial = grow(initial, config.network_from(initial.config), config.seed)
        config = dataclasses.replace(config, network=initial.config)
    return Setup(config=config, sources=given, dataset=dataset, initial=initial, own=own)


def resumed_run(
    folder: AnyPath,
    given: Sources,
    config: Config | None = None,
    initial: SmoothingNetwork | None = None,
    own: Own | None = None,
) -> Setup:
    """Return what the run in `folder` began with, having checked that what is given now agrees.

    Parameters
    ----------
    folder : str or path-like
        Folder of the run; nothing is written to it.
    given : Sources
        Must have the same content as the run's own, which take the place of those left out.
    config : Config or None
        Must equal the run's own settings; None accepts them.
    initial : SmoothingNetwork or None
        Must be None: the run continues from its own weights.
    own : Own, optional
        Must be what the run began with.

    Raises
    ------
    InputError
        `folder` does not hold a run, its record is damaged, or an initial network is given.
    ConfigError
        The settings, the dataset, a teacher or `own` are not those that the run began with.
    CheckpointError
        The network that the run began with is damaged.
    DatasetError
        The dataset cannot be opened.
    """
    folder = as_path(folder, "folder")
    path = folder / RUN_FILE
    record = read_record(path)
    own = own or Own()
    began_own = record.get("own", [])  # older runs could have none
    if began_own != own.names:
        raise ConfigError(
            f"The run in {folder} began with {_listed(began_own)} of the caller's own, given "
            f"{_listed(own.names)}. No file can hold them: give the same again to train()."
        )
    sources = sources_of(record, path, given)
    dataset = _open(sources)
    if initial is not None:
        raise InputError(
            f"The run in {folder} continues from its own weights. Leave out --init, or begin a "
            "new run with it."
        )
    file = folder / _INITIAL_FILE
    began_with = None
    if own.network is not None:
        load_module(file, own.network.network)
    elif file.exists():
        began_with = load_network(file)
    if config is not None and began_with is not None:
        config = dataclasses.replace(config, network=began_with.config)
    config = _config_of(record, path, config, settings.digest(dataset.recipe))
    asked = record.get("precision", config.run.precision)  # older runs did not record it
    return Setup(
        config=config, sources=sources, dataset=dataset, initial=began_with, own=own, asked=asked
    )


@contextlib.contextmanager
def claim_run(folder: Path, begin: Setup | None = None) -> Iterator[None]:
    """Keep other processes from training in a folder, which is created if it is missing.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    begin : Setup, optional
        What a new run trains with: it is recorded in the folder. None for a run to resume.

    Raises
    ------
    InputError
        Another process trains there, or has begun a run there since `new_run` looked; or the
        folder's name is not UTF-8, which TensorBoard cannot write to.
    """
    if not is_utf8(folder):
        raise InputError(f"{folder}: the name of a run's folder must be UTF-8. Give another.")
    folder.mkdir(parents=True, exist_ok=True)
    with only_process(folder / RUN_FILE, f"training in {folder}"):
        if begin is not None:
            _begin_run(folder, begin)
        yield


def _begin_run(folder: Path, setup: Setup) -> None:
    """Record in the folder what `resumed_run` reads."""
    _refuse_other_files(folder)
    remove_leftovers(folder)
    (folder / _INITIAL_FILE).unlink(missing_ok=True)  # left by a run that was killed here
    if setup.initial is not None:
        save_network(folder / _INITIAL_FILE, setup.initial)
    elif setup.own.network is not None:
        save_module(folder / _INITIAL_FILE, setup.own.network.network)
    record = {
        "dataset": setup.digest,
        "config": settings.to_dict(setup.config),
        "precision": setup.asked,
        "own": setup.own.names,
        **setup.sources.record(),
    }
    write_json(folder / RUN_FILE, record)


def _open(sources: Sources) -> Dataset:
    """Open the dataset; ConfigError if none is named."""
    if sources.data is None:
        raise ConfigError("No dataset to train on is known: give one with --data.")
    return open_dataset(sources.data)


def _config_of(record: dict[str, Any], path: Path, given: Config | None, digest: str) -> Config:
    """Return the settings that a run recorded, checked with its dataset against those of now."""
    try:
        began = settings.from_dict(Config, record["config"], str(path))
        its_digest = record["dataset"]
    except (AttributeError, KeyError, TypeError) as error:
        raise no_record(path, error) from None
    if its_digest != digest:
        raise ConfigError(
            f"The run in {path.parent} began on another dataset (recipe digest {its_digest}, "
            f"given {digest}). Give that dataset, or begin a new run."
        )
    if given is None:
        return began
    if given.run.precision == record.get("precision"):
        given = given.computed_in(began.run.precision)
    changes = _differences(settings.to_dict(began), settings.to_dict(given))
    if changes:
        raise ConfigError(
            f"The run in {path.parent} began with other settings: {'; '.join(changes)}. Leave "
            "the settings out to continue with its own, or begin a new run."
        )
    return began


def _listed(names: Iterable[str]) -> str:
    """Return names for a message."""
    return " and ".join(f"a {name}" for name in names) or "nothing"


def _refuse_other_files(folder: Path) -> None:
    """Refuse a folder that holds more than what `claim_run`, killed halfway, may have left."""
    begun = (_INITIAL_FILE, lock_path(folder / RUN_FILE).name)
    refuse_other_files(
        folder,
        lambda path: path.name in begun,
        "give a new folder for the run, or --resume to continue the run in it",
    )


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
