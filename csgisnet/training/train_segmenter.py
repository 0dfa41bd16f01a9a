"""Train the semantic teacher on the masks of a dataset."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from csgisnet.checkpoints.segmenters import save_segmenter
from csgisnet.device import pick_device, place, use_precision
from csgisnet.errors import ConfigError, TrainingError
from csgisnet.networks.segmenter import BOUNDARIES, Segmenter
from csgisnet.objective.losses import Batch
from csgisnet.objective.targets import targets_of, weights_of_targets
from csgisnet.training.config import Config, as_config
from csgisnet.training.data import BatchSource, DataConfig, filled
from csgisnet.training.distributed import Processes, distribute, join_processes, synchronise
from csgisnet.training.lock import only_process
from csgisnet.training.optimise import make_optimizers, set_learning_rate, take_step
from csgisnet.training.progress import report_nothing, to_stderr
from csgisnet.training.teacher import first_samples, score_segmenter
from vocsmooth import settings
from vocsmooth.classes import VOC_CLASSES, VOID
from vocsmooth.errors import DatasetError, InputError
from vocsmooth.files import AnyPath, as_path
from vocsmooth.shards import Dataset, Split, open_dataset


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmenterSummary:
    """How the training ended."""

    leads: bool
    """Whether this is the process that reports; false in all but one of several."""
    steps: int
    seconds: float
    mean_iou: float
    """Mean intersection over union of the classes in the validation masks, on full-size labels."""
    constant_iou: float
    """The same for the best constant answer: every pixel is of the most frequent class."""
    path: Path
    """The weights."""


def train_segmenter(
    data_dir: AnyPath,
    out_file: AnyPath,
    config: Config | AnyPath | None = None,
    *,
    device: str = "auto",
    report: Callable[[str], None] = to_stderr,
) -> SegmenterSummary:
    """Train a DeepLabV3+ on inputs and labels of the split "train" and save its weights.

    Under torchrun, each process takes an equal share of every batch, and the first writes the file.

    Parameters
    ----------
    data_dir : str or path-like
        Dataset of `vocsmooth build`, built from a tree with masks.
    out_file : str or path-like
        Safetensors file for `csgisnet.checkpoints.segmenters.load_segmenter`; must not exist.
    config : Config, str or path-like, optional
        Settings, or the name or file of them, see `csgisnet.training.config.load_config`; by
        default "compact"; ``segmenter``, ``seed``, ``optimizer``, ``schedule`` and
        ``augment`` matter, of ``data`` the buffer of shards, and of ``run`` the precision and the
        steps between lines of the log.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to train.
    report : callable
        Called with each line of the log.

    Raises
    ------
    InputError, ConfigError, DatasetError
        An argument cannot be used, or another process trains for the same file; nothing has been
        trained.
    TrainingError
        The loss is not finite.
    """
    data_dir = as_path(data_dir, "data_dir")
    out_file = as_path(out_file, "out_file")
    config = as_config("compact" if config is None else config)
    num_classes = config.segmenter.network.num_classes
    if num_classes != BOUNDARIES and num_classes < len(VOC_CLASSES):
        raise ConfigError(
            f"segmenter.network.num_classes is {num_classes}; masks hold VOC's {len(VOC_CLASSES)} "
            f"classes, background included. Set it to {len(VOC_CLASSES)}, or to {BOUNDARIES} for "
            "a segmenter that tells boundaries from the inside of regions."
        )
    _refuse_existing(out_file)
    dataset = open_dataset(data_dir)
    for name in ("train", "val"):
        _check_masks(name, filled(dataset, name))
    with contextlib.ExitStack() as stack:
        processes = stack.enter_context(join_processes(pick_device(device), report))
        if processes.leads:
            out_file.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(only_process(out_file, f"training a segmenter for {out_file}"))
            _refuse_existing(out_file)
        else:
            report = report_nothing
        return _train(dataset, out_file, config, processes, report)


def _train(
    dataset: Dataset,
    out_file: Path,
    config: Config,
    processes: Processes,
    report: Callable[[str], None],
) -> SegmenterSummary:
    """Train, score and save, once all arguments have been checked."""
    began = time.monotonic()
    data = DataConfig(
        patch=config.segmenter.patch,
        batch_size=config.segmenter.batch_size,
        negatives=("input",),
        shuffle_buffer=config.data.shuffle_buffer,
    )
    source = BatchSource(
        dataset,
        data,
        config.augment,
        seed=config.seed,
        device=processes.device,
        rank=processes.rank,
        world=processes.world,
    )
    with torch.random.fork_rng([processes.device] if processes.device.type == "cuda" else []):
        torch.manual_seed(config.seed)
        segmenter = synchronise(
            place(Segmenter(config.segmenter.network), processes.device), processes
        )
        if processes.rank > 0:
            torch.manual_seed(config.seed + processes.rank)  # to drop other features than the first
        _fit(segmenter, source, config, processes, report)
    scores = score_segmenter(segmenter.eval(), dataset.split("val"), processes)
    report(f"validation on full-size labels: {scores.describe()}")
    if not scores.is_informed:
        report(
            "warning: the segmenter knows no more about the masks than that constant answer. "
            "Before it guides a network, train it longer (segmenter.steps) or on more masks."
        )
    if processes.leads:
        record = {"config": settings.to_dict(config), **dataclasses.asdict(scores)}
        save_segmenter(out_file, segmenter, record)
    return SegmenterSummary(
        leads=processes.leads,
        steps=config.segmenter.steps,
        seconds=time.monotonic() - began,
        mean_iou=scores.mean_iou,
        constant_iou=scores.constant_iou,
        path=out_file,
    )


def _fit(
    segmenter: Segmenter,
    source: BatchSource,
    config: Config,
    processes: Processes,
    report: Callable[[str], None],
) -> None:
    """Train for the steps that the settings ask for."""
    steps, precision = config.segmenter.steps, config.run.precision
    if precision == "auto" and processes.device.type == "cpu":
        precision = "float32"  # what bfloat16 does to a segmenter was never measured there
    optimizers = make_optimizers(segmenter.train(), config.optimizer)
    forward = distribute(segmenter, processes)
    losses: list[Tensor] = []
    with contextlib.closing(source.batches(0, steps)) as batches:
        for step, batch in enumerate(batches):
            share = config.schedule.share(step, steps)
            set_learning_rate(optimizers, config.segmenter.lr * share)
            image = _mixed_images(batch)
            with use_precision(precision, processes.device):
                logits = forward(image)
            target = targets_of(batch.mask, logits.shape[1])
            loss = _cross_entropy(logits.float(), target, processes)
            loss.backward()  # type: ignore[no-untyped-call]
            take_step(optimizers)
            losses.append(loss.detach())
            if (step + 1) % config.run.log_every == 0 or step + 1 == steps:
                mean = processes.mean(torch.stack(losses).mean()).item()
                _check_finite(mean, step + 1)
                report(f"segmenter step {step + 1}/{steps}  cross-entropy {mean:.4f}")
                losses.clear()


def _refuse_existing(out_file: Path) -> None:
    """Raise InputError if the file exists."""
    if out_file.exists():
        raise InputError(f"{out_file} exists. Give a new name, or remove it.")


def _check_masks(name: str, split: Split) -> None:
    """Raise DatasetError if every mask of the split is void everywhere."""
    masks = (split.read(index, ("mask",))["mask"] for index in first_samples(split))
    if not any((mask != VOID).any() for mask in masks):
        raise DatasetError(
            f"The masks of the split {name!r} are void everywhere. Build the dataset from a "
            "tree with masks."
        )


def _cross_entropy(logits: Tensor, mask: Tensor, processes: Processes) -> Tensor:
    """Return this process's share of a loss, whose mean over the processes is the loss.

    That is the mean over the known pixels of the whole batch, of which one process may have more
    than another; 0 if there are none.
    """
    weight = weights_of_targets(logits)
    loss = functional.cross_entropy(logits, mask, weight, ignore_index=VOID, reduction="sum")
    known = processes.mean((mask != VOID).sum().float())
    return loss / known.clamp(min=1 / processes.world)


def _mixed_images(batch: Batch) -> Tensor:
    """Return inputs and labels alternately: the teacher must judge textured and smooth images."""
    image = batch.input.clone()
    image[1::2] = batch.label[1::2]
    return image


def _check_finite(loss: float, step: int) -> None:
    """Raise TrainingError unless the loss is finite."""
    if not loss < float("inf"):
        raise TrainingError(
            f"The segmenter's loss is {loss} at step {step}. Lower segmenter.lr, or set "
            "run.precision to float32."
        )
