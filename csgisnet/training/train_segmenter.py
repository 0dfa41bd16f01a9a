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
from csgisnet.networks.segmenter import Segmenter
from csgisnet.objective.losses import Batch
from csgisnet.training.config import Config, load_config
from csgisnet.training.data import BatchSource, DataConfig, filled
from csgisnet.training.optimise import make_optimizers, set_learning_rate, take_step
from csgisnet.training.progress import to_stderr
from vocsmooth import settings
from vocsmooth.arrays import to_float
from vocsmooth.classes import VOC_CLASSES, VOID
from vocsmooth.errors import DatasetError, InputError
from vocsmooth.shards import Split, open_dataset


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmenterSummary:
    """How the training ended."""

    steps: int
    seconds: float
    mean_iou: float
    """Mean intersection over union of the classes in the validation masks, on full-size labels."""
    path: Path
    """The weights."""


def train_segmenter(
    data_dir: Path,
    out_file: Path,
    config: Config | None = None,
    *,
    device: str = "auto",
    report: Callable[[str], None] = to_stderr,
) -> SegmenterSummary:
    """Train a DeepLabV3+ on inputs and labels of the split "train" and save its weights.

    Parameters
    ----------
    data_dir : Path
        Dataset of `vocsmooth build`, built from a tree with masks.
    out_file : Path
        Safetensors file for `csgisnet.checkpoints.segmenters.load_segmenter`; must not exist.
    config : Config, optional
        Settings, by default "compact"; ``segmenter``, ``seed``, ``optimizer``, ``schedule`` and
        ``augment`` matter, and of ``run`` the precision and the steps between lines of the log.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to train.
    report : callable
        Called with each line of the log.

    Raises
    ------
    InputError, DatasetError
        An argument cannot be used; nothing has been trained.
    TrainingError
        The loss is not finite.
    """
    began, config = time.monotonic(), config or load_config("compact")
    if config.segmenter.network.num_classes < len(VOC_CLASSES):
        raise ConfigError(
            f"segmenter.network.num_classes is {config.segmenter.network.num_classes}; masks hold "
            f"VOC's {len(VOC_CLASSES)} classes, background included. Set it to {len(VOC_CLASSES)}."
        )
    if out_file.exists():
        raise InputError(f"{out_file} exists. Give a new name, or remove it.")
    out_file.parent.mkdir(parents=True, exist_ok=True)
    dataset, chosen_device = open_dataset(data_dir), pick_device(device)
    data = DataConfig(
        patch=config.segmenter.patch, batch_size=config.segmenter.batch_size, negatives=("input",)
    )
    source = BatchSource(dataset, data, config.augment, seed=config.seed, device=chosen_device)
    for name in ("train", "val"):
        _check_masks(name, filled(dataset, name))
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        segmenter = place(Segmenter(config.segmenter.network), chosen_device)
        _fit(segmenter, source, config, chosen_device, report)
    iou = mean_iou(segmenter, dataset.split("val"), chosen_device)
    report(f"validation on full-size labels: mean IoU {iou:.3f}")
    record = {"config": settings.to_dict(config), "mean_iou": iou}
    save_segmenter(out_file, segmenter, record)
    return SegmenterSummary(
        steps=config.segmenter.steps,
        seconds=time.monotonic() - began,
        mean_iou=iou,
        path=out_file,
    )


def mean_iou(segmenter: Segmenter, split: Split, device: torch.device) -> float:
    """Return the mean intersection over union on a split's labels, over the classes in its masks.

    NaN if every mask is void everywhere.
    """
    classes = segmenter.config.num_classes
    counts = torch.zeros(classes, classes, dtype=torch.int64)
    segmenter.eval()
    for index in _one_sample_per_photograph(split):
        maps = split.read(index, ("label", "mask"))
        image = torch.from_numpy(to_float(maps["label"])).to(device).permute(2, 0, 1)[None]
        with torch.inference_mode():
            guess = segmenter(image)[0].argmax(dim=0).cpu()
        mask = torch.from_numpy(maps["mask"]).long()
        known = mask != VOID
        pairs = mask[known] * classes + guess[known]
        counts += torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    in_masks = counts.sum(dim=1) > 0
    both = counts.diagonal()
    union = counts.sum(dim=0) + counts.sum(dim=1) - both
    return (both[in_masks] / union[in_masks]).mean().item()


def _fit(
    segmenter: Segmenter,
    source: BatchSource,
    config: Config,
    device: torch.device,
    report: Callable[[str], None],
) -> None:
    """Train for the steps that the settings ask for."""
    steps = config.segmenter.steps
    optimizers = make_optimizers(segmenter.train(), config.optimizer)
    losses: list[Tensor] = []
    with contextlib.closing(source.batches(0, steps)) as batches:
        for step, batch in enumerate(batches):
            share = config.schedule.share(step, steps)
            set_learning_rate(optimizers, config.segmenter.lr * share)
            image = _mixed_images(batch)
            with use_precision(config.run.precision, device):
                logits = segmenter(image)
            loss = _cross_entropy(logits.float(), batch.mask)
            loss.backward()  # type: ignore[no-untyped-call]
            take_step(optimizers)
            losses.append(loss.detach())
            if (step + 1) % config.run.log_every == 0 or step + 1 == steps:
                mean = torch.stack(losses).mean().item()
                _check_finite(mean, step + 1)
                report(f"segmenter step {step + 1}/{steps}  cross-entropy {mean:.4f}")
                losses.clear()


def _check_masks(name: str, split: Split) -> None:
    """Raise DatasetError if every mask of the split is void everywhere."""
    masks = (split.read(index, ("mask",))["mask"] for index in _one_sample_per_photograph(split))
    if not any((mask != VOID).any() for mask in masks):
        raise DatasetError(
            f"The masks of the split {name!r} are void everywhere. Build the dataset from a "
            "tree with masks."
        )


def _cross_entropy(logits: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over a batch's known pixels; 0 if it has none."""
    loss = functional.cross_entropy(logits, mask, ignore_index=VOID, reduction="sum")
    return loss / (mask != VOID).sum().clamp(min=1)


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


def _one_sample_per_photograph(split: Split) -> list[int]:
    """Return the first sample of each photograph, in order; all its samples share one mask."""
    first: dict[str, int] = {}
    for index, photograph in enumerate(split.ids):
        first.setdefault(photograph, index)
    return list(first.values())
