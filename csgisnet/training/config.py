"""All settings of a training run, from one TOML file; each section lies beside its user."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import torch

from csgisnet.device import Precision, choose_precision
from csgisnet.networks.segmenter import SegmenterConfig
from csgisnet.networks.smoothing import NetworkConfig
from csgisnet.objective.config import TERMS, LossConfig
from csgisnet.training.augment import AugmentConfig
from csgisnet.training.data import DataConfig
from csgisnet.training.loggers import LoggerName
from csgisnet.training.optimise import OptimizerConfig, ScheduleConfig
from vocsmooth import settings
from vocsmooth.errors import InputError, UnknownNameError
from vocsmooth.files import AnyPath, as_path
from vocsmooth.overrides import override


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """How long a run is, and when it logs, validates and saves."""

    steps: int = 100_000
    """Optimizer steps."""
    accumulate: int = 1
    """Batches whose gradients are averaged into one step."""
    precision: Precision = "auto"
    """Precision of the networks' forward passes, see `precision_on`; losses and weights stay
    float32."""
    compile: bool = False
    """Compile the network (torch.compile): minutes at the start, faster steps afterwards."""
    freeze_statistics: bool = False
    """Normalise with the statistics that the network begins with, not with those of each batch.
    Set it for a network with a level: a batch mixes levels, which an image to smooth does not."""
    grow: bool = False
    """Make a network to begin with as large as `network` says, wherever that is larger, see
    `csgisnet.networks.growing`; else only a level and a finish that it lacks are added."""
    symmetric: bool = False
    """Keep the weights symmetric, so that permuting the channels of an image or inverting it does
    the same to its result, see `csgisnet.networks.symmetry`. Only for networks of this package."""
    log_every: int = 100
    """Steps between two lines of the log."""
    shares_every: int = 0
    """Steps between two measurements of each term's gradient; 0 for none. One costs about as much
    as a backward pass for each term."""
    check_teacher: bool = True
    """Refuse a segmenter for the semantic term that knows no more about the masks of the split
    "val" than a constant answer; otherwise it is only warned of."""
    validate_every: int = 5_000
    """Steps between two validations."""
    validate_samples: int = 0
    """Validation samples, spread evenly over the split; 0 takes all."""
    checkpoint_every: int = 1_000
    """Steps between two training states on disk."""
    keep_states: int = 2
    """Training states kept."""
    keep_best: int = 3
    """Best networks kept."""
    loggers: tuple[LoggerName, ...] = ("tensorboard",)
    """Programs that show the run, in addition to metrics.jsonl."""

    def __post_init__(self) -> None:
        for name in (
            "steps",
            "accumulate",
            "log_every",
            "validate_every",
            "checkpoint_every",
            "keep_states",
            "keep_best",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        for name in ("validate_samples", "shares_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}.")

    def precision_on(self, device: torch.device) -> Precision:
        """Return the precision of a run on `device`; "auto" is what `choose_precision` says.

        On processors too: the bundled network's first stage has the same validation curve in both
        precisions, within the noise of three seeds (benchmarks/results/seeds-compact.json). Of
        twelve pairs of the demo's short runs two ended 2 dB lower in bfloat16, with the same
        training loss: what was off were running statistics (seeds.json, seeds-zen5.json).
        """
        return choose_precision(self.precision, device).precision


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmenterRun:
    """Training of a segmenter on the masks of a dataset."""

    network: SegmenterConfig = dataclasses.field(default_factory=SegmenterConfig)
    """Size of the segmenter."""
    steps: int = 20_000
    """Optimizer steps."""
    batch_size: int = 16
    """Patches in a step, 2 or more: features pooled over a patch are normalised over the batch."""
    patch: int = 256
    """Side of a patch in pixels."""
    lr: float = 2e-3
    """Learning rate at the top of the schedule."""

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch_size", 2), ("patch", 16)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}.")
        if not self.lr > 0:
            raise ValueError(f"lr must be above 0, got {self.lr}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """All settings of a run."""

    seed: int = 1
    """Decides the initial weights, the order of samples and their views; 0 to 2^32 - 1."""
    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)
    losses: LossConfig = dataclasses.field(default_factory=LossConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    augment: AugmentConfig = dataclasses.field(default_factory=AugmentConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = dataclasses.field(default_factory=ScheduleConfig)
    run: RunConfig = dataclasses.field(default_factory=RunConfig)
    segmenter: SegmenterRun = dataclasses.field(default_factory=SegmenterRun)

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be 0 to 2^32 - 1, got {self.seed}.")

    def network_from(self, given: NetworkConfig) -> NetworkConfig:
        """Return what a network to begin with has to become."""
        wanted = self.network
        if self.run.grow:
            return wanted
        return dataclasses.replace(given, level=wanted.level, finish=given.finish or wanted.finish)

    def computed_in(self, precision: Precision) -> Config:
        """Return the settings with another precision."""
        return dataclasses.replace(self, run=dataclasses.replace(self.run, precision=precision))


def load_config(source: AnyPath, changes: Iterable[str] = ()) -> Config:
    """Read a TOML file, or one of the configurations that come with the package.

    Parameters
    ----------
    source : str or path-like
        "full" (the paper's network), "paper" (the same with the authors' losses), "compact" (for
        CPUs), "demo" and "classes" (minutes on two CPU cores), or the path of a TOML file.
        Keys that a file leaves out keep their defaults.
    changes : iterable of str
        Keys to change in it, such as "optimizer.lr=1e-4", see `vocsmooth.overrides.override`.

    Raises
    ------
    UnknownNameError
        There is no such configuration.
    InputError
        A key of the file or of a change is unknown, of the wrong type or out of range.
    """
    given = as_path(source, "config")
    bundled = settings.bundled_toml("csgisnet.configs")
    path = bundled.get(str(given), given)
    if not path.is_file():
        raise UnknownNameError(
            f"No configuration {str(given)!r}: give the path of a TOML file, or one of "
            f"{', '.join(bundled)}."
        )
    return override(settings.load_toml(Config, path), changes)


def as_config(config: Config | AnyPath) -> Config:
    """Return a configuration that may be given by its name or the path of its file.

    Raises
    ------
    TypeError
        None of these.
    UnknownNameError, InputError
        As `load_config`.
    """
    return config if isinstance(config, Config) else load_config(config)


def without_terms(config: Config, terms: tuple[str, ...]) -> Config:
    """Return the configuration with these loss terms off, for ablations.

    Raises
    ------
    UnknownNameError
        A name is not that of a term.
    InputError
        No term would be left.
    """
    for term in terms:
        if term not in TERMS:
            raise UnknownNameError(f"Unknown loss term {term!r}.{settings.nearest(term, TERMS)}")
    try:
        losses = config.losses.without(*terms)
    except ValueError as error:
        raise InputError(f"Without {', '.join(terms)} nothing is left to learn: {error}") from None
    return dataclasses.replace(config, losses=losses)
