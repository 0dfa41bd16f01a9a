"""Segmenters and feature extractors as files: our own, and the public ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from csgisnet.checkpoints.format import (
    Weights,
    is_safetensors,
    load_into,
    load_weights,
    read_pickled,
    save_weights,
)
from csgisnet.errors import CheckpointError
from csgisnet.networks.features import SegmenterFeatures, VggFeatures
from csgisnet.networks.segmenter import Segmenter, SegmenterConfig
from vocsmooth import settings
from vocsmooth.files import AnyPath, as_path


def load_features(path: Path) -> VggFeatures | SegmenterFeatures:
    """Read torchvision's VGG-16 state dict, or any file that `load_segmenter` reads.

    Returns
    -------
    VggFeatures or SegmenterFeatures
        In eval mode on the CPU.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or neither VGG-16 nor a segmenter.
    """
    if not is_safetensors(path):
        tensors = read_pickled(path)
        if "features.0.weight" in tensors:
            return _build_vgg(tensors, path)
    return SegmenterFeatures(load_segmenter(path)).eval()


def _build_vgg(tensors: Mapping[str, Any], path: Path) -> VggFeatures:
    """Return VGG-16 features with these weights, without the deeper layers and the classifier."""
    with torch.device("meta"):
        vgg = VggFeatures()
    load_into(vgg, {name: tensors[name] for name in vgg.state_dict() if name in tensors}, path)
    return vgg.eval()


def save_segmenter(
    path: Path, segmenter: Segmenter, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a segmenter's weights and configuration, and `metadata` (JSON values) beside them."""
    weights = Weights(
        kind="segmenter",
        config=settings.to_dict(segmenter.config),
        metadata=dict(metadata or {}),
        tensors=segmenter.state_dict(),
    )
    save_weights(path, weights)


def load_segmenter(path: AnyPath, output_stride: Literal[8, 16] = 16) -> Segmenter:
    """Read a segmenter of ours, or a public DeepLabV3+ MobileNet checkpoint.

    Parameters
    ----------
    path : str or path-like
        File of `csgisnet train-segmenter`, or a pickled state dict, either bare or under the key
        "model_state".
    output_stride : {8, 16}
        Output stride of a public checkpoint, which does not record it.

    Returns
    -------
    Segmenter
        In eval mode on the CPU.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or not a segmenter.
    """
    path = as_path(path, "path")
    if is_safetensors(path):
        weights = load_weights(path, "segmenter")
        return _build(weights.config_as(SegmenterConfig, path), weights.tensors, path)
    tensors = read_pickled(path, "model_state")
    last = tensors.get("classifier.classifier.3.weight")
    if not isinstance(last, Tensor) or last.dim() != 4:
        raise CheckpointError(
            f"{path} holds no DeepLabV3+ segmenter: it lacks 'classifier.classifier.3.weight'. "
            "Give a public DeepLabV3+ MobileNet checkpoint, or train one with "
            "`csgisnet train-segmenter`."
        )
    try:
        config = SegmenterConfig(output_stride=output_stride, num_classes=last.shape[0])
    except ValueError as error:
        raise CheckpointError(f"{path} holds no segmenter of ours: {error}") from None
    return _build(config, tensors, path)


def _build(config: SegmenterConfig, tensors: Mapping[str, Any], path: Path) -> Segmenter:
    """Return a segmenter with these weights, in eval mode."""
    with torch.device("meta"):
        segmenter = Segmenter(config)
    load_into(segmenter, tensors, path)
    return segmenter.eval()
