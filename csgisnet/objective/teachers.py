"""Load the teachers that a run's loss terms need from files; nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

from csgisnet.checkpoints.segmenters import load_features, load_segmenter
from csgisnet.errors import CheckpointError, ConfigError
from csgisnet.networks.features import LAYERS, SegmenterFeatures
from csgisnet.networks.folding import fold_batch_norm
from csgisnet.networks.segmenter import BOUNDARIES, OutputStride
from csgisnet.objective.config import LossConfig
from csgisnet.objective.forms import USING_LAYERS, needs_features
from csgisnet.objective.losses import Teachers
from vocsmooth.classes import VOC_CLASSES

_SEGMENTER_WAYS = (
    "train one with `csgisnet train-segmenter`, or give a public DeepLabV3+ MobileNet checkpoint "
    "for VOC; pass either with --segmenter"
)


def load_teachers(
    losses: LossConfig,
    segmenter: Path | None,
    features: Path | None,
    output_stride: OutputStride | None = None,
) -> Teachers:
    """Load the teachers that the terms in use need; a segmenter also serves as feature extractor.

    Parameters
    ----------
    losses : LossConfig
        Weights of the terms.
    segmenter : Path or None
        File for `csgisnet.checkpoints.segmenters.load_segmenter`.
    features : Path or None
        File for `csgisnet.checkpoints.segmenters.load_features`.
    output_stride : {8, 16}, optional
        Of a public segmenter whose file does not say it, see
        `csgisnet.checkpoints.segmenters.load_segmenter`.

    Raises
    ------
    ConfigError
        The teacher of a term is missing, or the contrast term does not have one weight for each
        layer of the extractor.
    CheckpointError
        A file is missing, damaged, or of something else, or the segmenter knows fewer classes than
        masks have.
    """
    if "semantic" in losses.terms and segmenter is None:
        raise ConfigError(
            f"The semantic term ({_amount(losses, 'semantic')}) needs a segmenter: "
            f"{_SEGMENTER_WAYS}. "
            "Or leave the term out with --ablate semantic."
        )
    if needs_features(losses) and segmenter is None and features is None:
        raise ConfigError(
            f"The contrast term ({_amount(losses, 'contrast')}) needs a feature extractor: give "
            f"torchvision's VGG-16 weights with --features, or a segmenter: {_SEGMENTER_WAYS}. "
            "Or leave the term out with --ablate contrast, or set losses.contrast_form = "
            '"directional", which needs none.'
        )
    uses_layers = needs_features(losses) and losses.contrast_form in USING_LAYERS
    if uses_layers and len(losses.contrast_layers) != LAYERS:
        raise ConfigError(
            f"losses.contrast_layers must have {LAYERS} weights, one for each layer of features, "
            f"got {len(losses.contrast_layers)}."
        )
    judge = None if segmenter is None else fold_batch_norm(load_segmenter(segmenter, output_stride))
    if "semantic" in losses.terms and judge is not None:
        _check_classes(judge.config.num_classes, segmenter)
    if features is not None:
        return Teachers(segmenter=judge, features=load_features(features, output_stride))
    return Teachers(segmenter=judge, features=None if judge is None else SegmenterFeatures(judge))


def _amount(losses: LossConfig, term: str) -> str:
    """Write a term's weight or share for a message."""
    share = losses.shares[term]
    return f"share {share}" if share else f"weight {getattr(losses, term)}"


def _check_classes(count: int, path: Path | None) -> None:
    """Refuse a segmenter that has no output for some class of the masks."""
    if count != BOUNDARIES and count < len(VOC_CLASSES):
        raise CheckpointError(
            f"{path} tells {count} classes apart; masks hold VOC's {len(VOC_CLASSES)}, background "
            "included. Give a segmenter of VOC's classes, or one of boundaries, or train one with "
            "`csgisnet train-segmenter`."
        )
