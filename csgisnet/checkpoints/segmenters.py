"""Save and load segmenters and feature extractors, our own and the public ones."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from csgisnet.checkpoints.fitting import load_into
from csgisnet.checkpoints.foreign import Foreign, read_foreign
from csgisnet.checkpoints.format import Weights, is_ours, load_weights, save_weights
from csgisnet.checkpoints.recognise import find_weight
from csgisnet.errors import CheckpointError
from csgisnet.networks.features import SegmenterFeatures, VggFeatures
from csgisnet.networks.segmenter import OutputStride, Segmenter, SegmenterConfig
from vocsmooth import settings
from vocsmooth.files import AnyPath, as_path

_STRIDE_KEYS = ("output_stride", "out_stride")
"""Names of the output stride among the settings that projects save."""

_STRIDE_IN_NAME = re.compile(r"(?<![a-z0-9])os(\d{1,4})(?!\d)", re.IGNORECASE)
"""The output stride in a file's name, as the public training script writes it."""


def load_features(
    path: Path, output_stride: OutputStride | None = None
) -> VggFeatures | SegmenterFeatures:
    """Read torchvision's VGG-16 state dict, or any file that `load_segmenter` reads.

    Parameters
    ----------
    path : Path
        The file; the state dict may be one of torch.save or safetensors.
    output_stride : {8, 16}, optional
        See `load_segmenter`.

    Returns
    -------
    VggFeatures or SegmenterFeatures
        In eval mode on the CPU.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or neither VGG-16 nor a segmenter.
    """
    if is_ours(path):
        return SegmenterFeatures(load_segmenter(path, output_stride)).eval()
    content = read_foreign(path, "model_state")
    if "features.0.weight" in content.tensors:
        return _build_vgg(content.tensors, path)
    return SegmenterFeatures(_public_segmenter(content, path, output_stride)).eval()


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


def load_segmenter(path: AnyPath, output_stride: OutputStride | None = None) -> Segmenter:
    """Read a segmenter of ours, or a public DeepLabV3+ MobileNet checkpoint.

    Parameters
    ----------
    path : str or path-like
        File of `csgisnet train-segmenter`, or another project's state dict (torch.save or
        safetensors), either bare or under a key such as "model_state".
    output_stride : {8, 16}, optional
        Output stride to use a public checkpoint with; by default the one it was trained with, if
        the settings in the file, or else its name (such as "voc_os16.pth"), say it. Our own files
        record theirs.

    Returns
    -------
    Segmenter
        In eval mode on the CPU.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or not a segmenter; nothing says its output stride, or it
        is a file of ours that records another.
    """
    path = as_path(path, "path")
    if not is_ours(path):
        return _public_segmenter(read_foreign(path, "model_state"), path, output_stride)
    weights = load_weights(path, "segmenter")
    config = weights.config_as(SegmenterConfig, path)
    if output_stride not in (None, config.output_stride):
        raise CheckpointError(
            f"{path} records that it was trained with output stride {config.output_stride}, given "
            f"{output_stride}. Leave the output stride out."
        )
    return _build(config, weights.tensors, path)


def _public_segmenter(
    content: Foreign, path: Path, output_stride: OutputStride | None
) -> Segmenter:
    """Return a segmenter with the weights of a public checkpoint."""
    last = find_weight(
        content.tensors,
        "classifier.classifier.3.weight",
        "a DeepLabV3+ segmenter",
        "Give a public DeepLabV3+ MobileNet checkpoint, or train one with "
        "`csgisnet train-segmenter`.",
        path,
    )
    stride: Any = output_stride or _stated_stride(content.about, path)
    try:
        config = SegmenterConfig(output_stride=stride, num_classes=last.shape[0])
    except ValueError as error:
        raise CheckpointError(f"{path} holds no segmenter of ours: {error}") from None
    return _build(config, content.tensors, path)


def _stated_stride(about: Any, path: Path) -> int:
    """Return the output stride that a public checkpoint was trained with, if it says so."""
    found = set(_strides_in(about, depth=3)) or set(map(int, _STRIDE_IN_NAME.findall(path.stem)))
    if len(found) != 1:
        raise CheckpointError(
            f"{path} does not say whether its output stride is 8 or 16, and its weights do not "
            "show it. Give the stride that it was trained with by --output-stride "
            "(output_stride= in Python); public checkpoints are often named after it, such as "
            "voc_os16.pth."
        )
    return found.pop()


def _strides_in(about: Any, depth: int) -> Iterator[int]:
    """Yield the output strides among settings, which may be nested."""
    if isinstance(about, Namespace):
        about = vars(about)
    if not isinstance(about, Mapping) or depth == 0:
        return
    for key, value in about.items():
        if key in _STRIDE_KEYS and re.fullmatch(r"\d{1,4}", str(value)):
            yield int(value)
        else:
            yield from _strides_in(value, depth - 1)


def _build(config: SegmenterConfig, tensors: Mapping[str, Any], path: Path) -> Segmenter:
    """Return a segmenter with these weights, in eval mode."""
    with torch.device("meta"):
        segmenter = Segmenter(config)
    load_into(segmenter, tensors, path)
    return segmenter.eval()
