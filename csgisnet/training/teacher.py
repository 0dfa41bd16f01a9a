"""Measure how well a segmenter knows the masks of a split, beside the best constant answer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from csgisnet.errors import ConfigError
from csgisnet.evaluation.samples import spread_evenly
from csgisnet.objective.targets import target_names, targets_of
from csgisnet.training.distributed import Processes
from vocsmooth.arrays import to_float
from vocsmooth.classes import VOC_CLASSES, VOID
from vocsmooth.settings import counted
from vocsmooth.shards import Split

_MARGIN = 0.01
"""Mean IoU by which a segmenter must exceed the best constant answer to count as better."""

_VALUES = 256
"""Values that a mask or a guess may have."""

_JUDGED = 64
"""Photographs on which a teacher is judged before a run: seconds, even on a CPU."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskScores:
    """Intersection over union (IoU), as means over the classes in the masks; NaN if all is void."""

    photographs: int
    mean_iou: float
    """Of the segmenter."""
    constant_iou: float
    """Of the best constant answer: every pixel is of the class that has the most pixels."""
    constant_class: str
    """That class."""

    @property
    def is_informed(self) -> bool:
        """Whether the segmenter is better than the best constant answer, by more than chance."""
        return self.mean_iou > self.constant_iou + _MARGIN

    def describe(self) -> str:
        """Return both numbers as part of a sentence."""
        return (
            f"mean IoU {self.mean_iou:.4f} (calling every pixel {self.constant_class!r} would have "
            f"{self.constant_iou:.4f})"
        )


def score_segmenter(
    segmenter: nn.Module, split: Split, processes: Processes, count: int = 0
) -> MaskScores:
    """Score a segmenter on the full-size labels of a split; all processes must call together.

    Parameters
    ----------
    segmenter : Module
        In eval mode, on the processes' device; returns class logits (B, K, H, W).
    split : Split
        One sample of each photograph is read; all its samples have the same label and mask.
    processes : Processes
        Who shares the work.
    count : int
        Photographs, spread evenly over the split; 0 takes all.
    """
    firsts = first_samples(split)
    chosen = [firsts[number] for number in spread_evenly(len(firsts), count)]
    pairs, num_classes = torch.zeros(_VALUES, _VALUES, dtype=torch.int64), 0
    for index in chosen[processes.rank :: processes.world]:
        maps = split.read(index, ("label", "mask"))
        image = torch.from_numpy(to_float(maps["label"])).permute(2, 0, 1)[None]
        with torch.inference_mode():
            logits = segmenter(image.to(processes.device))[0]
        num_classes = len(logits)
        target = targets_of(torch.from_numpy(maps["mask"]), num_classes)
        pairs += count_pairs(target, logits.argmax(dim=0).cpu())
    total = processes.total(pairs.to(processes.device)).cpu()
    return scores_of(total, len(chosen), target_names(num_classes))


def count_pairs(mask: Tensor, guess: Tensor) -> Tensor:
    """Count the pixels of each class (row) and guess (column), except void ones."""
    known = mask != VOID
    pairs = mask[known].long() * _VALUES + guess[known]
    return torch.bincount(pairs, minlength=_VALUES**2).reshape(_VALUES, _VALUES)


def scores_of(pairs: Tensor, photographs: int, names: Sequence[str] = VOC_CLASSES) -> MaskScores:
    """Return the scores that follow from `count_pairs`, summed over photographs."""
    in_masks, in_guesses, both = pairs.sum(dim=1), pairs.sum(dim=0), pairs.diagonal()
    present = in_masks > 0
    iou = both[present] / (in_masks + in_guesses - both)[present]
    constant = in_masks.max() / in_masks.sum() / present.sum()
    return MaskScores(
        photographs=photographs,
        mean_iou=iou.double().mean().item(),
        constant_iou=constant.item(),
        constant_class=names[int(in_masks.argmax())],
    )


def check_teacher(
    segmenter: nn.Module,
    split: Split,
    processes: Processes,
    report: Callable[[str], None],
    *,
    refuse: bool = True,
) -> None:
    """Refuse a teacher for the semantic term that knows nothing about the masks of a split.

    All processes must call together. Without `refuse` it is only warned of, as are masks that are
    void everywhere, on which no teacher can be checked.

    Raises
    ------
    ConfigError
        The segmenter is no better than the best constant answer.
    """
    scores = score_segmenter(segmenter, split, processes, _JUDGED)
    where = counted(scores.photographs, "validation photograph")
    if math.isnan(scores.constant_iou):
        report(
            f"warning: the masks of {where} are void everywhere, so the segmenter of the semantic "
            "term cannot be checked, and where training masks are void too the term teaches "
            "nothing. Leave it out with --ablate semantic, or build the dataset from a tree with "
            "masks."
        )
    elif not scores.is_informed:
        reason = (
            f"the segmenter of the semantic term has a {scores.describe()} on the masks "
            f"of {where}: it knows no more than that constant answer, so the term teaches "
            "nothing. Train a segmenter longer or on more masks (`csgisnet train-segmenter`, "
            "segmenter.steps), give another one, or leave the term out with --ablate semantic."
        )
        if refuse:
            raise ConfigError(
                f"{reason[0].upper()}{reason[1:]} To train with it all the same, set "
                "run.check_teacher to false."
            )
        report(f"warning: {reason}")


def first_samples(split: Split) -> list[int]:
    """Return the first sample of each photograph, in order."""
    first: dict[str, int] = {}
    for index, photograph in enumerate(split.ids):
        first.setdefault(photograph, index)
    return list(first.values())
