"""Training as it is usually written, which `train_step.py` compares with ours.

float32, NCHW, patches cut one by one in line, each loss term and each image with its own forward
pass through its teacher, SSIM as convolutions, unfused Adam.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from csgisnet.checkpoints.segmenters import load_segmenter
from csgisnet.networks.features import SegmenterFeatures
from csgisnet.networks.smoothing import Smoothing
from csgisnet.objective.config import LossConfig
from csgisnet.objective.losses import Batch, Teachers, edge_loss, l1_loss, semantic_loss
from csgisnet.training.config import Config
from csgisnet.training.step import new_network
from vocsmooth.shards import Dataset, SampleOrder


@dataclasses.dataclass(frozen=True, kw_only=True)
class Side:
    """One way to train, cut into stages."""

    batches: Iterator[Batch]
    forward: Callable[[Tensor], Smoothing]
    losses: Callable[[Smoothing, Batch], Tensor]
    optimizers: list[torch.optim.Optimizer]


def load_plain_teachers(path: Path, device: torch.device) -> Teachers:
    """The same teachers as they come from the file: normalisation apart, NCHW."""
    segmenter = load_segmenter(path).to(device)
    return Teachers(segmenter=segmenter, features=SegmenterFeatures(segmenter))


def plain_side(config: Config, dataset: Dataset, teachers: Teachers, device: torch.device) -> Side:
    """The network and losses as they are usually written."""
    network = new_network(config).to(device).train()
    return Side(
        batches=plain_batches(config, dataset, device),
        forward=network,
        losses=lambda s, b: plain_losses(s, b, teachers, config.losses),
        optimizers=[torch.optim.Adam(network.parameters(), config.optimizer.lr, foreach=False)],
    )


def plain_batches(config: Config, dataset: Dataset, device: torch.device) -> Iterator[Batch]:
    """Cut, flip and turn patches one by one with NumPy, in line with the training."""
    split, data = dataset.split("train"), config.data
    names = ("input", "label", "edge", "mask", *(n for n in data.negatives if n != "input"))
    order = SampleOrder(split.shard_sizes, seed=config.seed, buffer=data.shuffle_buffer)
    rng = np.random.default_rng(config.seed)
    for number in range(1 << 30):
        start = number * data.batch_size
        indices = order.stream(start, start + data.batch_size)[1]
        samples = []
        for index in indices:
            top, left = rng.integers(split.shapes[index] - data.patch + 1)
            maps = split.crop([index], [top], [left], data.patch, names)
            turns, flip = int(rng.integers(4)), bool(rng.integers(2))
            sample = {n: np.rot90(m[0], turns) for n, m in maps.items()}
            sample = {n: m[::-1] if flip else m for n, m in sample.items()}
            samples.append({n: torch.from_numpy(m.copy()) for n, m in sample.items()})
        maps_of = {n: torch.stack([s[n] for s in samples]).to(device) for n in names}
        images = {n: m.permute(0, 3, 1, 2).float() / 255 for n, m in maps_of.items() if m.ndim == 4}
        images = {n: m.contiguous() for n, m in images.items()}
        yield Batch(
            input=images["input"],
            label=images["label"],
            edge=maps_of["edge"][:, None].float(),
            mask=maps_of["mask"].long(),
            negatives=torch.stack([images[n] for n in data.negatives], dim=1),
            level=torch.zeros(len(samples), device=device),
        )


def plain_losses(s: Smoothing, batch: Batch, teachers: Teachers, config: LossConfig) -> Tensor:
    """Our objective, one term and one teacher pass after the other."""
    if teachers.features is None or teachers.segmenter is None:
        raise ValueError("The benchmark needs both teachers.")
    loss = torch.zeros((), device=s.result.device)
    for image, share in ((s.coarse, config.coarse), (s.result, 1.0)):
        loss = loss + share * config.l1 * l1_loss(image, batch.label)
        loss = loss + share * config.structure * plain_structure(image, batch.label)
    loss = loss + config.edge * edge_loss(s.edge, batch.edge)
    mine, label = teachers.features(s.result), teachers.features(batch.label)
    negatives = [teachers.features(image) for image in batch.negatives.unbind(dim=1)]
    for layer, weight in enumerate(config.contrast_layers):
        apart = distance(mine[layer], label[layer])
        bounded = [
            torch.minimum(distance(mine[layer], n[layer]), distance(label[layer], n[layer]))
            for n in negatives
        ]
        ratio = apart / (torch.stack(bounded).mean(dim=0) + config.contrast_eps)
        loss = loss + config.contrast * weight * ratio.mean()
    return loss + config.semantic * semantic_loss(teachers.segmenter(s.result), batch.mask)


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of each sample."""
    return (a - b).abs().mean(dim=(1, 2, 3))


def plain_structure(image: Tensor, label: Tensor) -> Tensor:
    """SSIM over four scales, each moment by a convolution with an 11 x 11 window."""
    axis = torch.arange(11, device=image.device) - 5.0
    line = torch.exp(-(axis**2) / (2 * 1.5**2))
    window = torch.outer(line, line) / line.sum() ** 2
    window = window.expand(3, 1, 11, 11)
    loss = image.new_zeros(())
    for scale in range(4):
        if scale:
            image = functional.max_pool2d(image, 2, ceil_mode=True)
            label = functional.max_pool2d(label, 2, ceil_mode=True)
        x, y, xx, yy, xy = (
            functional.conv2d(m, window, groups=3)
            for m in (image, label, image**2, label**2, image * label)
        )
        top = (2 * x * y + 0.01**2) * (2 * (xy - x * y) + 0.03**2)
        ssim = top / ((x * x + y * y + 0.01**2) * (xx - x * x + yy - y * y + 0.03**2))
        loss = loss + 1 - ssim.mean()
    return loss
